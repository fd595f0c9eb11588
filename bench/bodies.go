package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	maxBody    = 4 << 20 // the default of MaxBodyBytes
	maxURI     = 8 << 10 // a longer one is refused
	patterns   = 1000
	bodyTarget = 1700 // x RSA: some 50 ms where a signature check takes 29 us
)

// A hostileBody asks for as much work as its kind can.
type hostileBody struct {
	name, body string
	status     int
}

// hostileBodies are those that took the longest of the many kinds in core's BenchmarkHostileBodies, and some of what tools
// may really be called with.
func hostileBodies() []hostileBody {
	argument := func(before, unit, after string) string {
		before = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":` + before
		after += "}}"
		return before + strings.Repeat(unit, (maxBody-len(before)-len(after))/len(unit)) + after
	}
	batch := func(most int, message string) string {
		n := min(most, (maxBody-2)/(len(message)+1))
		return "[" + strings.Repeat(message+",", n-1) + message + "]"
	}
	read := func(unit string) string {
		const scheme = "files:///"
		return `{"method":"resources/read","params":{"uri":"` + scheme + strings.Repeat(unit, (maxURI-len(scheme))/len(unit)) + `"}}`
	}
	lists := `{"method":"ping","params":{"notifications":{"resourceSubscriptions":["f"` + strings.Repeat(`,"f"`, 999) + `]}}}`
	return []hostileBody{
		{"a tool's argument: a string", argument(`"`, "x", `"`), http.StatusOK},
		{"a tool's argument: escapes", argument(`"`, `\u0061`, `"`), http.StatusOK},
		{"a tool's argument: members", argument(`{"":1`, `,"":1`, "}"), http.StatusOK},
		{"a tool's argument: numbers", argument("[1", ",1e1", "]"), http.StatusOK},
		{"a batch: lists of another method", batch(maxBody, lists), http.StatusBadRequest},
		{"a batch: reads of many segments", batch(500, read("a/")), http.StatusBadRequest},
		{"a batch: reads of percent signs", batch(maxBody, read("%25")), http.StatusBadRequest},
		{"a batch: reads of bad percent signs", batch(maxBody, read("%")), http.StatusBadRequest},
		{"a batch: reads with a query", batch(500, read("/needleneedl?")), http.StatusBadRequest},
		{"a batch: the shortest messages", batch(maxBody, "{}"), http.StatusBadRequest},
	}
}

// bodies measures the check of bodies that are made to cost time, against handing them on unread.
func bodies(s *session) error {
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // refusals are logged there
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return err
	}
	resources := make(map[string]mcpauth.Rule, patterns)
	for i := range patterns {
		resources[fmt.Sprintf("files:///{x}/n%d", i)] = mcpauth.Rule{Scopes: []string{fmt.Sprintf("scope:%d", i)}}
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Resources: resources})
	if err != nil {
		return err
	}
	reads := readingBody()
	checked := mcpauthhttp.Middleware(rs)(rs.RequireOperations(policy)(reads))
	all := hostileBodies()
	rows := make([]measure.Row, 0, 2*len(all))
	for _, hostile := range all {
		bare, err := answering(hostile.name, fixture.MCPServer(reads, hostile.body)(s.fixture.Token), http.StatusOK)
		if err != nil {
			return err
		}
		ours, err := answering(hostile.name, fixture.MCPServer(checked, hostile.body)(s.fixture.Token), hostile.status)
		if err != nil {
			return err
		}
		rows = append(rows, bare, ours)
	}
	results, rsa, err := s.interleave(rows)
	if err != nil {
		return err
	}

	s.printf("## Bodies that are made to cost time\n\nUp to %d MiB, which is the default of MaxBodyBytes, through Middleware and RequireOperations with %s patterns, beyond what it takes\n"+
		"an unprotected handler to read them. These were the slowest of some 400 that `go test -run - -bench HostileBodies ./core` has.\n"+
		"The target is 50 ms, as a ratio: %s x RSA.\n\n",
		maxBody>>20, measure.Count(patterns), measure.Count(bodyTarget))
	table := measure.Table{Head: []string{"body", "answer", "min ms", "median ms", "x RSA beyond reading"}}
	worst := 0.0
	for i, hostile := range all {
		bare, ours := results[2*i], results[2*i+1]
		beyond := (ours.Min() - bare.Min()) / rsa
		worst = max(worst, beyond)
		table.Add(hostile.name, fmt.Sprint(hostile.status), fmt.Sprintf("%.1f", ours.Min()/1e6), fmt.Sprintf("%.1f", ours.Median()/1e6), measure.Count(beyond))
	}
	table.Print(s.out)
	s.target("the worst body of 4 MiB, beyond reading it", "<= "+measure.Count(bodyTarget)+" x RSA", measure.Count(worst)+" x RSA", worst <= bodyTarget)
	return nil
}
