package main

import (
	"context"
	"fmt"
	"runtime"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const callers = 64 // whose tokens are in use at the same time

// scaling measures hits on one core and on all.
func scaling(s *session) error {
	cores := runtime.GOMAXPROCS(0)
	s.printf("## Scaling\n\nHits on one core and on all %d of them: by one token, whose cache entry all cores share, and by %d tokens, turn by\n"+
		"turn. The time is that of the whole divided by the number of calls.\n\n", cores, callers)
	if cores == 1 {
		s.printf("There was one core only.\n\n")
		return nil
	}
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return err
	}
	one := authenticating(rs, s.fixture.Token, mcpauth.OutcomeAllowed)
	requests := make([]mcpauth.Request, 0, callers)
	for _, token := range s.fixture.Tokens(callers) {
		requests = append(requests, fixture.Request(token))
	}
	many := func(n int) {
		for i := range n {
			if d := rs.Authenticate(context.Background(), requests[i%callers]); d.Outcome != mcpauth.OutcomeAllowed {
				panic(d.Outcome)
			}
		}
	}
	results := measure.Interleave(s.options, []measure.Row{
		{Name: "1 token", Run: one},
		{Name: "1 token", Run: onAllCores(one)},
		{Name: fmt.Sprintf("%d tokens", callers), Run: many},
		{Name: fmt.Sprintf("%d tokens", callers), Run: onAllCores(many)},
	})
	table := measure.Table{Head: []string{"hits", "1 core, min us", "median us", fmt.Sprintf("%d cores, min us", cores), "median us", "ratio of the minima"}}
	for i := 0; i < len(results); i += 2 {
		serial, parallel := results[i], results[i+1]
		r := parallel.Min() / serial.Min()
		table.Add(serial.Name, measure.Micro(serial.Min()), measure.Micro(serial.Median()),
			measure.Micro(parallel.Min()), measure.Micro(parallel.Median()), fmt.Sprintf("%.2f", r))
		limit := 1.2 / float64(cores)
		s.target(fmt.Sprintf("hits by %s, %d cores against 1", serial.Name, cores), fmt.Sprintf("<= %.2f", limit), fmt.Sprintf("%.2f", r), r <= limit)
	}
	table.Print(s.out)
	return nil
}
