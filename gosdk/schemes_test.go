package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// schemeRules has a public tool, one of users, one that needs scopes, and a hidden one.
var schemeRules = mcpauth.Rules{Tools: map[string]mcpauth.Rule{
	"help": {Public: true}, "whoami": {}, "read_order": {Scopes: []string{"orders:read"}}, "refund": {Hide: true, Scopes: []string{"refunds"}},
}}

// newSchemes returns a fixture with the shop and its schemes, whose pages have two tools. order says in which order Hide, Attach
// and AddSecuritySchemes are called.
func newSchemes(t *testing.T, stateless bool, order string, attach func(*mcp.Server)) *fixture {
	t.Helper()
	policy := policyOf(t, schemeRules)
	var server *mcp.Server
	f := newFixture(t, setup{
		stateless: stateless, mount: true, server: mcp.ServerOptions{PageSize: 2},
		config: func(cfg *mcpauth.Config) { cfg.Policy, cfg.RequiredScopes = policy, []string{"shop"} },
		attach: func(made *mcp.Server) { server = made },
	})
	addShop(server)
	if attach != nil {
		attach(server)
	}
	for _, part := range order {
		switch part {
		case 'H':
			mcpauthgosdk.Hide(server, policy)
		case 'A':
			mcpauthgosdk.Attach(server)
		case 'S':
			mcpauthgosdk.AddSecuritySchemes(server, f.rs, policy)
		}
	}
	return f
}

// schemes returns each tool that a client sees, with its _meta.
func schemes(ctx context.Context, client *mcp.ClientSession) (string, error) {
	var seen []string
	for tool, err := range client.Tools(ctx, nil) {
		if err != nil {
			return "", err
		}
		seen = append(seen, tool.Name+" "+marshal(tool.Meta))
	}
	slices.Sort(seen)
	return strings.Join(seen, "\n"), nil
}

const shopSchemes = `delete_order {"securitySchemes":[{"scopes":["shop"],"type":"oauth2"}]}
help {"securitySchemes":[{"type":"noauth"},{"scopes":["shop"],"type":"oauth2"}]}
read_order {"securitySchemes":[{"scopes":["shop","orders:read"],"type":"oauth2"}]}
whoami {"securitySchemes":[{"scopes":["shop"],"type":"oauth2"}]}`

// TestSecuritySchemes lists with each version of the protocol, with and without credentials, whatever the order of the calls.
func TestSecuritySchemes(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"HSA", "SHA", "AHS", "ASH"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			everyClient(t, func(t *testing.T, version string, stateless bool) {
				f := newSchemes(t, stateless, order, nil)
				client := f.dial(t, version, func() string { return f.env.Token(map[string]any{"scope": "shop"}) }, nil)
				for range 2 { // the schemes come once
					if got, err := schemes(t.Context(), client); err != nil || got != shopSchemes {
						t.Errorf("got %v\n%s", err, got)
					}
				}
			})
		})
	}
	f := newSchemes(t, true, "HSA", nil)
	body := f.raw(t, "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Mcp-Protocol-Version", "2025-11-25").body
	if !strings.Contains(body, `"_meta":{"securitySchemes":[{"type":"noauth"},{"type":"oauth2","scopes":["shop"]}]}`) {
		t.Errorf("without credentials: %s", body)
	}
}

// TestSecuritySchemesKeepMeta has tools with members of _meta, one of which is the schemes. What the server registered stays as it
// is, under the race detector.
func TestSecuritySchemesKeepMeta(t *testing.T) {
	t.Parallel()
	meta := map[string]mcp.Meta{
		"with_ui": {"ui": map[string]any{"resourceUri": "ui://x"}}, "own": {"securitySchemes": []any{"own"}, "x": 1}, "empty": {},
	}
	before := marshal(meta)
	f := newSchemes(t, true, "HSA", func(server *mcp.Server) {
		for name := range meta {
			mcp.AddTool(server, &mcp.Tool{Name: name, Meta: meta[name]}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
				return text(name), nil, nil
			})
		}
	})
	const oauth2 = `"securitySchemes":[{"scopes":["shop"],"type":"oauth2"}]`
	var wg sync.WaitGroup
	for range 4 {
		client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": "shop"}) })
		wg.Go(func() {
			for range 5 {
				got, err := schemes(t.Context(), client)
				for _, want := range []string{`with_ui {` + oauth2 + `,"ui":{"resourceUri":"ui://x"}}`, `own {"securitySchemes":["own"],"x":1}`, `empty {` + oauth2 + `}`} {
					if err != nil || !strings.Contains(got, want) {
						t.Errorf("got %v\n%s\nwant %s", err, got, want)
					}
				}
			}
		})
	}
	wg.Wait()
	if after := marshal(meta); after != before {
		t.Errorf("the tools' _meta became %s", after)
	}
}

// TestSecuritySchemesOfCachedLists has a middleware that returns the same object to all callers, and one that fails.
func TestSecuritySchemesOfCachedLists(t *testing.T) {
	t.Parallel()
	kept := &mcp.ListToolsResult{Meta: mcp.Meta{"kept": true}, Tools: []*mcp.Tool{
		{Name: "help", InputSchema: map[string]any{"type": "object"}}, {Name: "refund", InputSchema: map[string]any{"type": "object"}},
	}, Cacheable: mcp.Cacheable{TTLMs: 60_000, CacheScope: "public"}}
	before := marshal(kept)
	f := newSchemes(t, true, "SA", func(server *mcp.Server) {
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				switch method {
				case "tools/list":
					return kept, nil
				case "prompts/list":
					return nil, fmt.Errorf("broken")
				}
				return next(ctx, method, req)
			}
		})
	})
	var wg sync.WaitGroup
	for range 4 {
		client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": "shop"}) })
		wg.Go(func() {
			result, err := client.ListTools(t.Context(), nil)
			if err != nil || result.CacheScope != "public" || result.TTLMs != 60_000 || !strings.Contains(marshal(result), `"scopes":["shop","refunds"]`) {
				t.Errorf("%s, %v", marshal(result), err)
			}
			if _, err := client.ListPrompts(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "broken") {
				t.Errorf("an error became %v", err)
			}
		})
	}
	wg.Wait()
	if after := marshal(kept); after != before {
		t.Errorf("the object became %s", after)
	}
}

// TestSecuritySchemesOfAnotherPolicy has a policy that RequireOperations enforces: it makes nothing public.
func TestSecuritySchemesOfAnotherPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true})
	mcpauthgosdk.AddSecuritySchemes(f.server, f.rs, policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {Public: true}}}))
	client := f.connect(t, func() string { return f.env.Token(nil) })
	got, err := schemes(t.Context(), client)
	if want := "headers {\"securitySchemes\":[{\"type\":\"oauth2\"}]}\nwhoami {\"securitySchemes\":[{\"type\":\"oauth2\"}]}"; err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
}

// TestSecuritySchemesWithoutItsParts panics at the start.
func TestSecuritySchemesWithoutItsParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	for want, call := range map[string]func(){
		"mcpauth.New;":      func() { mcpauthgosdk.AddSecuritySchemes(f.server, nil, policyOf(t, schemeRules)) },
		"mcpauth.NewPolicy": func() { mcpauthgosdk.AddSecuritySchemes(f.server, f.rs, nil) },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover(), ";"); !strings.Contains(said, strings.TrimSuffix(want, ";")) {
					t.Errorf("got %s, want %s", said, want)
				}
			}()
			call()
		}()
	}
}
