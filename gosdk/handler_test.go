package mcpauthgosdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

func TestR71ToolsDoNotSeeTheToken(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		for _, jsonResponse := range []bool{false, true} {
			f := newFixture(t, setup{stateless: stateless, http: mcp.StreamableHTTPOptions{JSONResponse: jsonResponse}})
			client := f.dial(t, version, f.tokensOf("usr_ada").next, nil)
			got, err := call(t.Context(), client, "headers")
			if err != nil || strings.Contains(got, "Authorization") || strings.Contains(got, "Bearer") || !strings.Contains(got, "Content-Type") {
				t.Errorf("the tool sees %s, %v", got, err)
			}
		}
	})
}

func TestHandlerIsNeverOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true})
	for _, token := range []string{"", "x"} {
		if status := f.status(t, http.MethodPost, token, "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); status != http.StatusUnauthorized {
			t.Errorf("token %q: status %d, want 401", token, status)
		}
	}
}

// TestMiddlewareBeforeAttach has a middleware of the user's that runs before that of Attach. Its context is the one that the
// go-sdk keeps, not that of the call, so it has no session, rather than an old one.
func TestMiddlewareBeforeAttach(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		var mu sync.Mutex
		calls := 0
		f := newFixture(t, setup{stateless: stateless, attach: func(server *mcp.Server) {
			mcpauthgosdk.Attach(server)
			server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
				return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
					mu.Lock()
					calls++
					mu.Unlock()
					if session, err := mcpauth.SessionFromContext(ctx); !errors.Is(err, mcpauth.ErrNoSession) {
						t.Errorf("%s finds %v, %v", method, session, err)
					}
					return next(ctx, method, req)
				}
			})
		}})
		ada := f.tokensOf("usr_ada")
		client := f.dial(t, version, ada.next, nil)
		ada.id.Store("second")
		if got, err := call(t.Context(), client, "whoami"); err != nil || got != "usr_ada second" {
			t.Errorf("answer %q, %v", got, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if calls < 2 {
			t.Errorf("the middleware ran %d times", calls)
		}
	})
}

// TestServerOfTheCaller gives each user a separate server.
func TestServerOfTheCaller(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateless=%v", stateless), func(t *testing.T) {
			t.Parallel()
			servers := make(map[string]*mcp.Server)
			for _, user := range []string{"usr_ada", "usr_grace"} {
				server := mcp.NewServer(&mcp.Implementation{Name: user, Version: "1"}, nil)
				mcpauthgosdk.Attach(server)
				mcp.AddTool(server, &mcp.Tool{Name: "whose"}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
					return text(user), nil, nil
				})
				servers[user] = server
			}
			f := newFixture(t, setup{stateless: stateless, getServer: func(r *http.Request) *mcp.Server {
				if _, err := mcpauth.SessionFromContext(r.Context()); err == nil {
					t.Error("the context that the go-sdk keeps has a session")
				}
				session, err := mcpauthgosdk.Session(r)
				if err != nil {
					t.Error(err)
					return nil
				}
				return servers[session.UserID()]
			}})
			for user := range servers {
				client := f.connect(t, f.tokensOf(user).next)
				if got, err := call(t.Context(), client, "whose"); err != nil || got != user {
					t.Errorf("%s has the server of %q, %v", user, got, err)
				}
			}
		})
	}
	if _, err := mcpauthgosdk.Session(new(http.Request)); !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("without Handler: %v", err)
	}
}

// TestHostOfAProxy sends requests as a proxy on the same machine does, which may keep the Host header of the public URL.
func TestHostOfAProxy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true}) // of https://mcp.example.com
	for host, want := range map[string]int{
		"mcp.example.com":             http.StatusOK,
		"MCP.Example.COM":             http.StatusOK,
		"mcp.example.com:8443":        http.StatusOK, // as behind a proxy on another port
		"localhost:3001":              http.StatusOK,
		"evil.example":                http.StatusForbidden,
		"mcp.example.com.evil":        http.StatusForbidden,
		"evil.example:80":             http.StatusForbidden,
		"mcp.example.com@evil.com":    http.StatusForbidden,
		"[::1]:80":                    http.StatusOK,
		"mcp.example.com:evil.com:80": http.StatusForbidden,
	} {
		resp := f.send(t, http.MethodPost, f.env.Token(nil), "", callWhoami, "Host", host)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %s: status %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	for name, wrong := range map[string]func(){
		"Handler without a resource server": func() { mcpauthgosdk.Handler(nil, http.NotFoundHandler()) },
		"Handler without a handler":         func() { mcpauthgosdk.Handler(f.rs, nil) },
		"Hide without a policy":             func() { mcpauthgosdk.Hide(f.server, nil) },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.HasPrefix(said, "mcpauthgosdk: nil ") {
					t.Errorf("%s: %s", name, said)
				}
			}()
			wrong()
		}()
	}
}
