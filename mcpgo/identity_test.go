package mcpauthmcpgo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// TestSessionOfEachCall gives every request a token of its own: what the server's functions see is the one of the
// request that called them.
func TestSessionOfEachCall(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		var id atomic.Value
		id.Store("first")
		c := f.connect(t, version, func() string { return f.env.Token(map[string]any{"sub": ada, "jti": id.Load()}) })
		if hasSession := c.GetSessionId() != ""; hasSession != (!stateless && version == legacy) {
			t.Errorf("MCP session %q", c.GetSessionId())
		}
		ctx := t.Context()
		for name, ask := range map[string]func() (string, error){
			"tool": func() (string, error) { return callTool(ctx, c, "whoami") },
			"prompt": func() (string, error) {
				var req mcp.GetPromptRequest
				req.Params.Name = "whoami"
				result, err := c.GetPrompt(ctx, req)
				if err != nil {
					return "", err
				}
				return result.Description, nil
			},
			"resource": func() (string, error) { return readText(ctx, c, "whoami://me") },
			"template": func() (string, error) { return readText(ctx, c, "orders://7") },
			"completion": func() (string, error) {
				var req mcp.CompleteRequest
				req.Params.Ref = mcp.PromptReference{Type: "ref/prompt", Name: "whoami"}
				req.Params.Argument = mcp.CompleteArgument{Name: "x", Value: "y"}
				result, err := c.Complete(ctx, req)
				if err != nil {
					return "", err
				}
				return result.Completion.Values[0], nil
			},
		} {
			id.Store(name)
			if got, err := ask(); err != nil || got != ada+" "+name {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}

func readText(ctx context.Context, c *client.Client, uri string) (string, error) {
	var req mcp.ReadResourceRequest
	req.Params.URI = uri
	result, err := c.ReadResource(ctx, req)
	if err != nil {
		return "", err
	}
	text, ok := result.Contents[0].(mcp.TextResourceContents)
	if !ok {
		return "", fmt.Errorf("contents %+v", result.Contents)
	}
	return text.Text, nil
}

// TestR69EachCallSeesItsOwnUser runs two users, with a new token for every call, 100 calls each at once.
func TestR69EachCallSeesItsOwnUser(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		var tokens atomic.Int64
		var wg sync.WaitGroup
		for _, user := range []string{ada, grace} {
			c := f.connect(t, version, func() string {
				return f.env.Token(map[string]any{"sub": user, "jti": fmt.Sprint(tokens.Add(1))})
			})
			for range 4 {
				wg.Go(func() {
					for range 25 {
						if got, err := callTool(t.Context(), c, "whoami"); err != nil || !strings.HasPrefix(got, user+" ") {
							t.Errorf("%s saw %q, %v", user, got, err)
							return
						}
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestR85OnlyWhereItWasVerified has Handler behind the middleware of other resource servers: a session of another one is
// none, and of a related one it has to hold the scopes that Handler's requires.
func TestR85OnlyWhereItWasVerified(t *testing.T) {
	t.Parallel()
	env, other := mcpauthtest.NewEnvironment(), mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	t.Cleanup(other.Close)
	newRS := func(env *mcpauthtest.Environment) *mcpauth.ResourceServer {
		rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	a, b, twin := newRS(env), newRS(other), newRS(env)
	for name, c := range map[string]struct {
		in, own *mcpauth.ResourceServer
		claims  map[string]any
		want    int
	}{
		"the same":                      {a, a, nil, http.StatusOK},
		"another environment's":         {a, b, nil, http.StatusUnauthorized},
		"an equal one, which may judge": {a, twin, nil, http.StatusOK},
		"with more scopes":              {a, a.WithRequiredScopes("admin"), nil, http.StatusForbidden},
		"with more scopes, held":        {a, a.WithRequiredScopes("admin"), map[string]any{"scope": "admin"}, http.StatusOK},
		"with fewer scopes":             {a.WithRequiredScopes("admin"), a, map[string]any{"scope": "admin"}, http.StatusOK},
	} {
		ran := 0
		hooks := new(server.Hooks)
		hooks.AddBeforeAny(func(context.Context, any, mcp.MCPMethod, any) { ran++ })
		inner, err := mcpauthmcpgo.Handler(c.own, newServer(server.WithHooks(hooks)), mcpauthmcpgo.Config{Stateless: true})
		if err != nil {
			t.Fatal(err)
		}
		served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.in.Serve(w, r, inner.ServeHTTP) }))
		f := &fixture{env: env, url: served.URL}
		if status, body := f.send(t, call(env.Token(c.claims), "", legacy, "whoami")); status != c.want || (ran > 0) != (c.want == http.StatusOK) {
			t.Errorf("%s: status %d, want %d; mcp-go ran %d times: %s", name, status, c.want, ran, body)
		}
		served.Close()
	}
}

// TestR85AfterTheCall keeps a call's context for longer than the call.
func TestR85AfterTheCall(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: []server.ServerOption{server.WithTaskCapabilities(true, true, true)}})
		kept := make(chan context.Context, 1)
		f.mcp.AddTool(mcp.NewTool("keep"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			kept <- context.WithoutCancel(ctx)
			return mcp.NewToolResultText(caller(ctx)), nil
		})
		m := call(f.token(ada), f.sessionOf(t, ada, stateless, version), version, "keep")
		for _, task := range []string{"", `,"task":{}`} { // which this tool does not support
			m.params += task
			if status, body := f.send(t, m); status != http.StatusOK || !strings.Contains(body, ada) {
				t.Fatalf("status %d: %s", status, body)
			}
			ctx := await(t, "the call", kept)
			waitFor(t, "the session is gone", func() bool {
				_, err := mcpauth.SessionFromContext(ctx)
				return errors.Is(err, mcpauth.ErrNoSession)
			})
		}
	})
}

// TestR85AfterTheRequest keeps the request that ContextFunc was given.
func TestR85AfterTheRequest(t *testing.T) {
	t.Parallel()
	kept := make(chan *http.Request, 10)
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true, ContextFunc: func(ctx context.Context, r *http.Request) context.Context {
		if session, err := mcpauthmcpgo.Session(r); err != nil || session.UserID() != ada {
			t.Errorf("for the context: %v, %v", session, err)
		}
		kept <- r
		return ctx
	}}})
	f.send(t, call(f.token(ada), "", legacy, "whoami"))
	r := await(t, "the request", kept)
	if r.Header.Get("Authorization") != "" {
		t.Error("the function sees the token")
	}
	waitFor(t, "the session is gone", func() bool {
		_, err := mcpauthmcpgo.Session(r)
		return errors.Is(err, mcpauth.ErrNoSession)
	})
	past := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil))
	if _, err := mcpauthmcpgo.Session(r.WithContext(past)); !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("without Handler: %v", err)
	}
}

type (
	tenantKey struct{}
	spanKey   struct{}
)

// TestR96ValuesOfTheCallsRequest stores a tenant in front of Handler, by a header of each request: tools see that of
// their call, and what ContextFunc adds.
func TestR96ValuesOfTheCallsRequest(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{
			sessions: mcpauthmcpgo.Config{Stateless: stateless, ContextFunc: func(ctx context.Context, r *http.Request) context.Context {
				return context.WithValue(ctx, spanKey{}, "span of "+r.Header.Get("X-Tenant"))
			}},
			outer: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx := r.Context()
					if tenant := r.Header.Get("X-Tenant"); tenant != "" {
						ctx = context.WithValue(ctx, tenantKey{}, tenant)
					}
					next.ServeHTTP(w, r.WithContext(ctx))
				})
			},
		})
		f.mcp.AddTool(mcp.NewTool("tenant"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(fmt.Sprintf("%v, %v", ctx.Value(tenantKey{}), ctx.Value(spanKey{}))), nil
		})
		id := ""
		if !stateless && version == legacy {
			resp := f.open(t, message{token: f.token(ada), method: "initialize", id: 1, params: hello, header: http.Header{"X-Tenant": {"opener"}}}) //nolint:bodyclose // the end of the test does
			id = resp.Header.Get("Mcp-Session-Id")
		}
		for tenant, want := range map[string]string{"first": "first, span of first", "": `\u003cnil\u003e, span of `, "second": "second, span of second"} {
			m := call(f.token(ada), id, version, "tenant")
			m.header = http.Header{"X-Tenant": {tenant}}
			if _, body := f.send(t, m); !strings.Contains(body, `"text":"`+want+`"`) {
				t.Errorf("the call of tenant %q sees %s", tenant, body)
			}
		}
	})
}

// TestSessionOfOtherTransports calls without any HTTP request.
func TestSessionOfOtherTransports(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	c, err := client.NewInProcessClient(f.mcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	start(t, c, legacy)
	if got, err := callTool(t.Context(), c, "whoami"); err != nil || got != mcpauth.ErrNoSession.Error() {
		t.Errorf("in the same process: %q, %v", got, err)
	}
}
