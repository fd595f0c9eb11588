package main

import (
	"fmt"
	"net/http"
	"slices"

	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

// A stack is a router with a middleware and a handler, and the row of the same without the middleware.
type stack struct {
	name   string
	server fixture.Server
	bare   int // the index of that row; its own for a bare one
	limit  int // the most allocations beyond it that are aimed at; 0 for none
}

// handlers measures whole handlers.
func handlers(s *session) error {
	stacks, err := s.stacks()
	if err != nil {
		return err
	}
	rows := make([]measure.Row, 0, len(stacks))
	for i, stack := range stacks {
		call := stack.server(s.fixture.Token)
		if status := call(); status != http.StatusOK {
			return fmt.Errorf("%s answers a good token with %d", stack.name, status)
		}
		if stack.bare != i {
			for _, bad := range []string{"", fixture.Flip(s.fixture.Token), s.fixture.Forged} {
				if status := stack.server(bad)(); status != http.StatusUnauthorized && status != http.StatusBadRequest {
					return fmt.Errorf("%s answers a bad token with %d", stack.name, status)
				}
			}
		}
		rows = append(rows, measure.Row{Name: stack.name, Run: func(n int) {
			for range n {
				if status := call(); status != http.StatusOK {
					panic(status)
				}
			}
		}})
	}
	results, rsa, err := s.interleave(rows)
	if err != nil {
		return err
	}

	s.printf("## Whole handlers\n\n" +
		"One request from the router to the handler and back, without a socket; the request and the response writer are reused.\n" +
		"Every handler finds out who is calling, except the bare ones, and writes the same 36 bytes. \"Beyond bare\" compares with the\n" +
		"same router and handler without any middleware; it is the difference of the minima. mcpauth is measured on a hit. The other\n" +
		"middlewares have no cache; echo-jwt, contrib/jwt and gin-jwt are golang-jwt v5 inside, with the policy of the table above. A\n" +
		"Mount serves an `http.Handler`, without a middleware in between; its bare row is the router's own wrapper of handlers, and under fiber the\n" +
		"bridge of mcpauthfiber.\n\n")
	table := measure.Table{Head: []string{"whole handler", "min us", "median us", "B/op", "allocs", "us beyond bare", "allocs beyond bare"}}
	for i, r := range results {
		cells := []string{r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), "", ""}
		if bare := results[stacks[i].bare]; stacks[i].bare != i {
			cells[5], cells[6] = measure.Micro(r.Min()-bare.Min()), measure.Count(r.Allocs-bare.Allocs)
			if limit := stacks[i].limit; limit > 0 {
				s.target(r.Name+" on a hit, beyond bare: allocations", fmt.Sprintf("<= %d", limit), cells[6], r.Allocs-bare.Allocs <= float64(limit))
				beyond := (r.Min() - bare.Min()) / rsa
				s.target(r.Name+" on a hit, beyond bare", "<= 0.045 x RSA", fmt.Sprintf("%.3f x RSA", beyond), beyond <= 0.045)
			}
		}
		table.Add(cells...)
	}
	table.Print(s.out)
	s.bridgeTargets(results)
	return nil
}

const (
	bridgedRow = "fiber, bare http.Handler"
	adaptorRow = "fiber, bare http.Handler, fiber's adaptor"
)

// bridgeTargets compares our bridge from fasthttp to an http.Handler with fiber's own.
func (s *session) bridgeTargets(results []measure.Result) {
	find := func(name string) *measure.Result {
		return &results[slices.IndexFunc(results, func(r measure.Result) bool { return r.Name == name })]
	}
	bridged, adaptor := find(bridgedRow), find(adaptorRow)
	times := bridged.Min() / adaptor.Min()
	s.target("http.Handler under fiber, against fiber's own adaptor", "<= 1.70 x", fmt.Sprintf("%.2f x", times), times <= 1.7)
	s.target("http.Handler under fiber: allocations", "<= 20", measure.Count(bridged.Allocs), bridged.Allocs <= 20)
}

// stacks returns all rows, each bare one in front of what is compared with it.
func (s *session) stacks() ([]stack, error) {
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return nil, err
	}
	peers, err := newPeerServers(s.fixture)
	if err != nil {
		return nil, err
	}
	limits := map[string]int{
		"net/http Middleware": 2, "gin Middleware": 2, "echo Middleware": 3, "echov5 Middleware": 2, "fiber Middleware": 1, "fasthttp Middleware": 1,
	}
	var stacks []stack
	for _, pair := range fixture.Pairs(rs) {
		bare := len(stacks)
		stacks = append(stacks,
			stack{name: pair.BareName, server: pair.Bare, bare: bare},
			stack{name: pair.Name, server: pair.Ours, bare: bare, limit: limits[pair.Name]})
		switch pair.Name {
		case "net/http Mount": // the go-sdk's view of the session is made on top of ours
			wrap := func(h http.Handler) http.Handler { return mcpauthhttp.Middleware(rs)(mcpauthgosdk.Handler(rs, h)) }
			stacks = append(stacks, stack{name: "net/http Middleware + mcpauthgosdk.Handler", server: fixture.NetHTTP(wrap, goSDKSubject)})
		case "fiber Mount":
			stacks = append(stacks, stack{name: adaptorRow, server: fixture.FiberAdaptor(), bare: len(stacks)})
		}
		for _, peer := range peers[pair.Name] {
			stacks = append(stacks, stack{name: peer.name, server: peer.server, bare: bare})
		}
	}
	return stacks, nil
}
