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
	defer debug.SetGCPercent(debug.SetGCPercent(toolGCPercent))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the goroutines of a call take turns, and the time is that of all of them
	var results [][]measure.Result
	for range toolHandlerStarts {
		rows, err := s.toolHandlerRows()
		if err != nil {
			return err
		}
		options := s.options
		options.Rounds *= 2                                              // the differences are small against the calls
		results = append(results, measure.Interleave(options, rows)[1:]) // the first server of a process is faster than all later ones, ours or not
	}

	s.printf("## A tools/call without a socket\n\nThe handlers alone, on one core, made anew %d times. \"More\" is the median again, of the medians of the differences within a round.\n"+
		"What a call takes more over a socket than here, it waits for memory that the kernel and the go-sdk drove out of the caches.\n\n", toolHandlerStarts)
	more := func(row int) float64 {
		medians := make([]float64, len(results))
		for start, result := range results {
			differences := make([]float64, len(result[row].Times))
			for round := range differences {
				differences[round] = result[row].Times[round] - result[0].Times[round]
			}
			medians[start] = measure.Median(differences)
		}
		return measure.Median(medians)
	}
	table := measure.Table{Head: []string{"tools/call, no socket", "min us", "median us", "B/op", "allocs", "us more", "allocs more"}}
	for i, r := range results[0] {
		times := &measure.Result{}
		for _, result := range results {
			times.Times = append(times.Times, result[i].Times...)
		}
		cells := []string{r.Name, measure.Micro(times.Min()), measure.Micro(times.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), "", ""}
		if i > 0 {
			cells[5], cells[6] = measure.Micro(more(i)), measure.Count(r.Allocs-results[0][0].Allocs)
		}
		table.Add(cells...)
	}
	table.Print(s.out)
	return nil
}

// toolHandlerStarts is how often the handlers are made anew, as starts is for the servers.
const toolHandlerStarts = 10

func (s *session) toolHandlerRows() (rows []measure.Row, err error) {
	for _, server := range []struct{ name, mode string }{
		{"not shown", serveBare},
		{"unprotected", serveBare},
		{"unprotected, mcpauthgosdk.Attach", serveAttached},
		{"mcpauth", serveOurs},
		{"RequireBearerToken + coreos/go-oidc", servePeer},
	} {
		handler, err := toolHandler(server.mode, s.fixture.Config())
		if err != nil {
			return nil, err
		}
		inside := fixture.MCPServer(handler, toolCallBody)
		call := inside(s.fixture.Token)
		if status := call(); status != http.StatusOK {
			return nil, fmt.Errorf("%s: status %d without a socket", server.name, status)
		}
		if status := inside(s.fixture.Forged)(); protects(server.mode) && status != http.StatusUnauthorized {
			return nil, fmt.Errorf("%s: a forged token gets %d without a socket", server.name, status)
		}
		rows = append(rows, measure.Row{Name: server.name, Run: func(n int) {
			for range n {
				if status := call(); status != http.StatusOK {
					panic(status)
				}
			}
		}})
	}
	return rows, nil
}
