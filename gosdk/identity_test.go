package mcpauthgosdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// TestR85OnlyWhereItWasVerified has Handler behind the middlewares of other resource servers. A session of an unrelated one
// does not count; one of a related server needs the scopes that Handler's server requires.
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
		"the same":                           {a, a, nil, http.StatusOK},
		"another environment's":              {a, b, nil, http.StatusUnauthorized},
		"an equal one, which decides itself": {a, twin, nil, http.StatusOK},
		"with more scopes":                   {a, a.WithRequiredScopes("admin"), nil, http.StatusForbidden},
		"with more scopes, held":             {a, a.WithRequiredScopes("admin"), map[string]any{"scope": "admin"}, http.StatusOK},
		"with fewer scopes":                  {a.WithRequiredScopes("admin"), a, map[string]any{"scope": "admin"}, http.StatusOK},
	} {
		ran := 0
		server := newServer(&mcp.ServerOptions{})
		mcpauthgosdk.Attach(server)
		streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { ran++; return server }, &mcp.StreamableHTTPOptions{Stateless: true})
		inner := mcpauthgosdk.Handler(c.own, streamable)
		served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.in.Serve(w, r, inner.ServeHTTP) }))
		f := &fixture{env: env, rs: c.own, url: served.URL}
		if status := f.status(t, http.MethodPost, env.Token(c.claims), "", callWhoami); status != c.want || (ran > 0) != (c.want == http.StatusOK) {
			t.Errorf("%s: status %d, want %d; the go-sdk ran %d times", name, status, c.want, ran)
		}
		served.Close()
	}
}

// TestR85WithoutHandler leaves Handler out. Then the tools see no session at all, and so not that of the user who opened the
// MCP session.
func TestR85WithoutHandler(t *testing.T) {
	t.Parallel()
	for _, attach := range []bool{true, false} {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			session, err := mcpauth.SessionFromContext(ctx)
			if err != nil {
				return nil, nil, err
			}
			return text(session.UserID()), nil, nil
		})
		if attach {
			mcpauthgosdk.Attach(server)
		}
		streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
		served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, streamable.ServeHTTP) }))
		t.Cleanup(served.Close)
		f := &fixture{env: env, rs: rs, url: served.URL}
		id := f.open(t, env.Token(map[string]any{"sub": "usr_ada"}))
		for _, user := range []string{"usr_grace", "usr_ada"} {
			got := f.whoami(t, env.Token(map[string]any{"sub": user}), id)
			if !strings.Contains(got, mcpauth.ErrNoSession.Error()) {
				t.Errorf("Attach %t: %s calls, and the tool sees %q", attach, user, got)
			}
		}
	}
}

// TestR85AfterTheCall keeps a call's context for longer than the call.
func TestR85AfterTheCall(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newFixture(t, setup{stateless: stateless})
		kept := make(chan context.Context, 1)
		mcp.AddTool(f.server, &mcp.Tool{Name: "keep"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			kept <- context.WithoutCancel(ctx)
			return text("done"), nil, nil
		})
		client := f.dial(t, version, f.tokensOf("usr_ada").next, nil)
		if _, err := call(t.Context(), client, "keep"); err != nil {
			t.Fatal(err)
		}
		if session, err := mcpauth.SessionFromContext(await(t, "the call", kept)); !errors.Is(err, mcpauth.ErrNoSession) {
			t.Errorf("after the call its context has %v, %v", session, err)
		}
	})
}

// TestR85AfterTheRequest keeps the request that opened an MCP session, in the function that chose its server.
func TestR85AfterTheRequest(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		kept := make(chan *http.Request, 10)
		var f *fixture
		f = newFixture(t, setup{stateless: stateless, getServer: func(r *http.Request) *mcp.Server {
			if session, err := mcpauthgosdk.Session(r); err != nil || session.UserID() != "usr_1" {
				t.Errorf("while the server is chosen: %v, %v", session, err)
			}
			kept <- r
			return f.server
		}})
		resp := f.send(t, http.MethodPost, f.env.Token(nil), "", callWhoami)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		r := await(t, "the request", kept)
		for end := time.Now().Add(deadline); ; {
			session, err := mcpauthgosdk.Session(r)
			if errors.Is(err, mcpauth.ErrNoSession) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("stateless %t: the request still has %v after its answer", stateless, session)
			}
		}
	}
}

type tenantKey struct{}

// TestR96ValuesOfTheCallsRequest stores a tenant in front of Handler, from a header of each request. Tools see the tenant of
// their own call, and the function that chooses a server sees that of its request.
func TestR96ValuesOfTheCallsRequest(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		var mu sync.Mutex
		var chosen []string
		var f *fixture
		f = newFixture(t, setup{
			stateless: stateless,
			outer: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx := r.Context()
					if tenant := r.Header.Get("X-Tenant"); tenant != "" {
						ctx = context.WithValue(ctx, tenantKey{}, tenant)
					}
					next.ServeHTTP(w, r.WithContext(ctx))
				})
			},
			getServer: func(r *http.Request) *mcp.Server {
				mu.Lock()
				defer mu.Unlock()
				chosen = append(chosen, fmt.Sprint(r.Context().Value(tenantKey{})))
				return f.server
			},
			attach: func(server *mcp.Server) {
				mcp.AddTool(server, &mcp.Tool{Name: "tenant"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
					tenant, _ := ctx.Value(tenantKey{}).(string)
					return text(fmt.Sprint(tenant, ctx.Value(spanKey{}))), nil, nil
				})
				mcpauthgosdk.Attach(server)
				server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
					return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
						return next(context.WithValue(ctx, spanKey{}, " span of "+method), method, req)
					}
				})
			},
		})
		token := f.env.Token(nil)
		id := ""
		if !stateless {
			resp := f.send(t, http.MethodPost, token, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`, "X-Tenant", "opener") //nolint:bodyclose // the end of the test does
			_, _ = io.Copy(io.Discard, resp.Body)
			id = resp.Header.Get("Mcp-Session-Id")
		}
		for _, tenant := range []string{"first", "", "second"} {
			resp := f.send(t, http.MethodPost, token, id, strings.Replace(callWhoami, "whoami", "tenant", 1), "X-Tenant", tenant) //nolint:bodyclose // as above
			body, _ := io.ReadAll(resp.Body)
			if want := tenant + " span of tools/call"; !strings.Contains(string(body), `"text":"`+want+`"`) {
				t.Errorf("stateless %t: the call of tenant %q sees %s", stateless, tenant, body)
			}
		}
		mu.Lock()
		if joined := strings.Join(chosen, " "); !strings.Contains(joined, "first <nil> second") && !strings.Contains(joined, "first first <nil> <nil> second second") {
			t.Errorf("stateless %t: the servers were chosen for %v", stateless, chosen)
		}
		mu.Unlock()
	}
}

type spanKey struct{}

// TestR69ForeignSessionIsLogged sends one user's request on another user's MCP session: it is refused and logged.
func TestR69ForeignSessionIsLogged(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), nil))
	}})
	id := f.open(t, f.env.Token(nil))
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		if status := f.status(t, method, f.env.Token(map[string]any{"sub": "usr_grace"}), id, callWhoami); status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", method, status)
		}
	}
	if got := f.whoami(t, f.env.Token(nil), id); got != "usr_1 " {
		t.Errorf("the owner sees %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "outcome=foreign_session"); n != 3 || !strings.Contains(log.String(), "session.user_id=usr_grace") {
		t.Errorf("logged %d times: %s", n, log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestR69TwoSessionIDs sends the ids of two MCP sessions in one request. A proxy in front may have checked the other one.
func TestR69TwoSessionIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	id := f.open(t, f.env.Token(nil))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(callWhoami))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Authorization": {"Bearer " + f.env.Token(nil)}, "Mcp-Session-Id": {id, "other"},
	}
	resp, err := (&http.Client{Timeout: 2 * deadline}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", resp.StatusCode)
	}
}

// TestR69SSE has the go-sdk's older transport, which does not tell whose request it is. Handler panics; if a wrapper hides
// the transport, its calls fail.
func TestR69SSE(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	sse := mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return f.server }, nil)
	func() {
		defer func() {
			if said := fmt.Sprint(recover()); !strings.Contains(said, "NewStreamableHTTPHandler") {
				t.Errorf("Handler of the SSE transport: %s", said)
			}
		}()
		mcpauthgosdk.Handler(f.rs, sse)
	}()

	hidden := httptest.NewServer(mcpauthgosdk.Handler(f.rs, http.HandlerFunc(sse.ServeHTTP)))
	t.Cleanup(hidden.Close)
	t.Cleanup(hidden.CloseClientConnections)
	transport := &mcp.SSEClientTransport{Endpoint: hidden.URL, HTTPClient: &http.Client{Transport: bearer(func() string { return f.env.Token(nil) })}}
	if client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(t.Context(), transport, nil); err == nil {
		got, err := call(t.Context(), client, "whoami")
		t.Errorf("a client is connected, and gets %q, %v", got, err)
		_ = client.Close()
	} else if !strings.Contains(err.Error(), "does not say who makes a call") {
		t.Errorf("the client is told %v", err)
	}
}
