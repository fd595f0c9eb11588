package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	listedTools = 1000
	listTarget  = 34 // x RSA, which is 1 ms
)

// lists measures what Hide takes of an answer to tools/list.
func lists(s *session) error {
	whole, hidden, req, err := s.listHandlers()
	if err != nil {
		return err
	}
	rows := []measure.Row{
		listing("as it is", whole, req, listedTools),
		listing("Hide, a caller with a token", hidden, req, listedTools*3/4),
		listing("Hide, a caller without one", hidden, &mcp.ServerRequest[*mcp.ListToolsParams]{Params: &mcp.ListToolsParams{}}, listedTools*3/4),
	}
	results, rsa, err := s.interleave(rows)
	if err != nil {
		return err
	}

	s.printf("## Lists\n\nA list of %s tools, from the go-sdk's handler of it, by the rules of a policy. Of the tools, a half have a scope that the caller\n"+
		"with a token has, a quarter have one that it lacks, and stay, and a quarter a role that it lacks, and are taken out. Differences\n"+
		"are those of the minima.\n\n", measure.Count(listedTools))
	table := measure.Table{Head: []string{"tools/list", "min us", "median us", "B/op", "allocs", "x RSA beyond the list as it is"}}
	for i, r := range results {
		cells := []string{r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), ""}
		if i > 0 {
			cells[5] = fmt.Sprintf("%.2f", (r.Min()-results[0].Min())/rsa)
		}
		table.Add(cells...)
	}
	table.Print(s.out)
	beyond := (max(results[1].Min(), results[2].Min()) - results[0].Min()) / rsa
	s.target("a list of 1,000 tools by rules, beyond the list", fmt.Sprintf("<= %d x RSA", listTarget), fmt.Sprintf("%.1f x RSA", beyond), beyond <= listTarget)
	return nil
}

// listing is the row of a handler that lists tools.
func listing(name string, list mcp.MethodHandler, req mcp.Request, want int) measure.Row {
	return measure.Row{Name: name, Run: func(n int) {
		for range n {
			result, err := list(context.Background(), "tools/list", req)
			if tools, ok := result.(*mcp.ListToolsResult); !ok || err != nil || len(tools.Tools) != want {
				panic(fmt.Sprint(name, ": ", err))
			}
		}
	}}
}

// listHandlers returns the handler of a list, the same behind Hide, and a request for it with the session of the fixture's
// token.
func (s *session) listHandlers() (whole, hidden mcp.MethodHandler, req mcp.Request, err error) {
	all := &mcp.ListToolsResult{}
	rules := make(map[string]mcpauth.Rule, listedTools)
	for i := range listedTools {
		name := fmt.Sprintf("tool_%d", i)
		all.Tools = append(all.Tools, &mcp.Tool{Name: name})
		rules[name] = []mcpauth.Rule{
			{Scopes: []string{"greet:read"}}, {Scopes: []string{"admin:read"}}, {Scopes: []string{"greet:read", "greet:write"}}, {Roles: []string{"admin"}},
		}[i%4]
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: rules})
	if err != nil {
		return nil, nil, nil, err
	}
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return nil, nil, nil, err
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "bench", Version: "0.1.0"}, nil)
	addGreet(server, func(context.Context, *mcp.CallToolRequest) string { return "" }) // a server without tools refuses to list them
	whole = func(context.Context, string, mcp.Request) (mcp.Result, error) { return all, nil }
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "tools/list" {
				return whole(ctx, method, req)
			}
			return next(ctx, method, req)
		}
	})
	mcpauthgosdk.Hide(server, policy)
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		hidden = next
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			req = r
			return next(ctx, method, r)
		}
	})
	mux := http.NewServeMux()
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, streamable))
	status := fixture.MCPServer(mux, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`)(s.fixture.Token)()
	if status != http.StatusOK || req == nil {
		return nil, nil, nil, fmt.Errorf("tools/list: status %d", status)
	}
	return whole, hidden, req, nil
}
