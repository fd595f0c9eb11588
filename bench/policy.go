package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	policyBodyBytes = 1 << 10
	fewRules        = 10
	manyRules       = 1000
)

// policies measures what RequireOperations takes of a call that it lets through.
func policies(s *session) error {
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return err
	}
	guard := mcpauthhttp.Middleware(rs)
	few, err := withRules(rs, fewRules)
	if err != nil {
		return err
	}
	many, err := withRules(rs, manyRules)
	if err != nil {
		return err
	}
	before := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tool_0","arguments":{"text":"`
	body := before + strings.Repeat("x", policyBodyBytes-len(before)-len(`"}}}`)) + `"}}}`
	reads := readingBody()
	var rows []measure.Row
	for _, handler := range []struct {
		name string
		http.Handler
	}{
		{"unprotected", reads},
		{"Middleware", guard(reads)},
		{fmt.Sprintf("Middleware, RequireOperations, %d rules", fewRules), guard(few(reads))},
		{fmt.Sprintf("Middleware, RequireOperations, %s rules", measure.Count(manyRules)), guard(many(reads))},
	} {
		row, err := answering(handler.name, fixture.MCPServer(handler, body)(s.fixture.Token), http.StatusOK)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	results, rsa, err := s.interleave(rows)
	if err != nil {
		return err
	}

	s.printf("## The policy check\n\nA tools/call of %s bytes through net/http's Middleware, on a hit, and RequireOperations, to a handler that reads the body.\n"+
		"Every rule is a tool with a scope, which the caller has. Differences are those of the minima.\n\n", measure.Count(policyBodyBytes))
	table := measure.Table{Head: []string{"tools/call of 1 KB", "min us", "median us", "B/op", "allocs", "x RSA beyond unprotected", "allocs beyond unprotected"}}
	for i, r := range results {
		cells := []string{r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), "", ""}
		if i > 0 {
			cells[5] = fmt.Sprintf("%.3f", (r.Min()-results[0].Min())/rsa)
			cells[6] = measure.Count(r.Allocs - results[0].Allocs)
		}
		table.Add(cells...)
	}
	table.Print(s.out)

	bare, authenticated, checked, manyChecked := results[0], results[1], results[2], results[3]
	alone, aloneAllocs := (checked.Min()-authenticated.Min())/rsa, checked.Allocs-authenticated.Allocs
	s.target("the policy check of a tools/call of 1 KB, beyond authentication", "<= 0.100 x RSA", fmt.Sprintf("%.3f x RSA", alone), alone <= 0.1)
	s.target("the policy check of a tools/call of 1 KB: allocations", "<= 6", measure.Count(aloneAllocs), aloneAllocs <= 6)
	beyond, allocs := (checked.Min()-bare.Min())/rsa, checked.Allocs-bare.Allocs
	s.target("authentication on a hit and the policy check of a tools/call of 1 KB", "<= 0.100 x RSA", fmt.Sprintf("%.3f x RSA", beyond), beyond <= 0.1)
	s.target("authentication on a hit and the policy check: allocations", "<= 6", measure.Count(allocs), allocs <= 6)
	rules := manyChecked.Min() / checked.Min()
	s.target("the policy check with 1,000 rules, against 10", "<= 1.10", fmt.Sprintf("%.2f", rules), rules <= 1.1)
	return nil
}

// withRules returns RequireOperations with a policy of n tools.
func withRules(rs *mcpauth.ResourceServer, n int) (func(http.Handler) http.Handler, error) {
	tools := make(map[string]mcpauth.Rule, n)
	for i := range n {
		tools[fmt.Sprintf("tool_%d", i)] = mcpauth.Rule{Scopes: []string{"greet:read"}}
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: tools})
	if err != nil {
		return nil, err
	}
	return rs.RequireOperations(policy), nil
}

// readingBody returns a handler that reads the body, as every MCP server does, but keeps nothing of it.
func readingBody() http.Handler {
	buffer := make([]byte, 64<<10) // for one request at a time
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			_, err := r.Body.Read(buffer)
			if errors.Is(err, io.EOF) {
				w.WriteHeader(http.StatusOK)
				return
			}
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
		}
	})
}

// answering returns the row of a call, which has to be answered with status.
func answering(name string, call func() int, status int) (measure.Row, error) {
	if got := call(); got != status {
		return measure.Row{}, fmt.Errorf("%s answers with %d, not %d", name, got, status)
	}
	return measure.Row{Name: name, Run: func(n int) {
		for range n {
			if got := call(); got != status {
				panic(got)
			}
		}
	}}, nil
}
