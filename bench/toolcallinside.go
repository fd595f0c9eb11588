package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

// toolCallsWithoutSocket measures the same handlers inside of this process: what is lost of life is won in precision.
func (s *session) toolCallsWithoutSocket() error {
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	var rows []measure.Row
	for _, server := range []struct{ name, mode string }{
		{"not shown", serveBare}, {"unprotected", serveBare}, {"mcpauth", serveOurs}, {"RequireBearerToken + coreos/go-oidc", servePeer},
	} {
		handler, err := toolHandler(server.mode, s.fixture.Config())
		if err != nil {
			return err
		}
		inside := fixture.MCPServer(handler, toolCallBody)
		call := inside(s.fixture.Token)
		if status := call(); status != http.StatusOK {
			return fmt.Errorf("%s: status %d without a socket", server.name, status)
		}
		if status := inside(s.fixture.Forged)(); server.mode != serveBare && status != http.StatusUnauthorized {
			return fmt.Errorf("%s: a forged token gets %d without a socket", server.name, status)
		}
		rows = append(rows, measure.Row{Name: server.name, Run: func(n int) {
			for range n {
				if status := call(); status != http.StatusOK {
					panic(status)
				}
			}
		}})
	}
	defer debug.SetGCPercent(debug.SetGCPercent(toolGCPercent))
	cores := runtime.GOMAXPROCS(1) // the goroutines of a call take turns, and the time is that of all of them
	options := s.options
	options.Rounds *= 8                              // the differences are small against the calls
	results := measure.Interleave(options, rows)[1:] // the first server of a process is faster than all later ones, ours or not
	runtime.GOMAXPROCS(cores)

	s.printf("The same handlers without a socket, on one core. \"More\" is the median of the differences within a round again.\n\n")
	more := func(i int) float64 {
		differences := make([]float64, len(results[i].Times))
		for round := range differences {
			differences[round] = results[i].Times[round] - results[0].Times[round]
		}
		return measure.Median(differences)
	}
	table := measure.Table{Head: []string{"tools/call, no socket", "min us", "median us", "B/op", "allocs", "us more", "allocs more"}}
	for i, r := range results {
		cells := []string{r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), "", ""}
		if i > 0 {
			cells[5], cells[6] = measure.Micro(more(i)), measure.Count(r.Allocs-results[0].Allocs)
		}
		table.Add(cells...)
	}
	table.Print(s.out)
	s.target("the same without a socket", "<= 8 us", measure.Micro(more(1))+" us", more(1) <= 8000)
	return nil
}
