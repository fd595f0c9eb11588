package mcpauth_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR85OperationsOfAnotherServer has RequireOperations behind the middleware of another resource server, and of related
// ones.
func TestR85OperationsOfAnotherServer(t *testing.T) {
	t.Parallel()
	a, b := newFixture(t, nil), newFixture(t, nil)
	for name, c := range map[string]struct {
		in, own *mcpauth.ResourceServer
		scope   string
		want    int
	}{
		"the same":                {a.rs, a.rs, "", http.StatusOK},
		"another environment's":   {a.rs, b.rs, "", http.StatusUnauthorized},
		"with more scopes":        {a.rs, a.rs.WithRequiredScopes("admin"), "", http.StatusForbidden},
		"with more scopes, held":  {a.rs, a.rs.WithRequiredScopes("admin"), "admin", http.StatusOK},
		"with other scopes":       {a.rs.WithRequiredScopes("read"), a.rs.WithRequiredScopes("admin"), "read", http.StatusForbidden},
		"with other scopes, held": {a.rs.WithRequiredScopes("read"), a.rs.WithRequiredScopes("admin"), "read admin", http.StatusOK},
	} {
		policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: scopeRules(map[string][]string{"x": {"x"}})})
		if err != nil {
			t.Fatal(err)
		}
		require := c.own.RequireOperations(policy)
		ran := false
		handler := require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		r.Header.Set("Authorization", "Bearer "+a.env.Token(m{"scope": c.scope}))
		w := httptest.NewRecorder()
		protect(c.in, handler).ServeHTTP(w, r)
		if w.Code != c.want || ran != (c.want == http.StatusOK) {
			t.Errorf("%s: status %d, want %d; the handler ran: %t", name, w.Code, c.want, ran)
		}
	}
}

// TestR85TestSessions has sessions of mcpauthtest in a request's context: they count for every resource server.
func TestR85TestSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for name, ctx := range map[string]context.Context{
		"a test's": mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil)),
		"none":     t.Context(),
		"hidden":   mcpauth.NewContext(mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil)), nil),
	} {
		w := httptest.NewRecorder()
		f.rs.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", nil), func(w http.ResponseWriter, r *http.Request) {
			session, err := mcpauth.SessionFromContext(r.Context())
			_, _ = fmt.Fprint(w, session.UserID(), err)
		})
		if allowed := w.Code == http.StatusOK; allowed != (name == "a test's") || allowed && w.Body.String() != "usr_1<nil>" {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
	}
}

// TestR85Nested has Serve inside of Serve, for one request: the inner one judges nothing again, and hands the outer one's
// writer on.
func TestR85Nested(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	var outer, inner http.ResponseWriter
	var kept []context.Context
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	f.rs.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
		outer = w
		kept = append(kept, r.Context())
		r.Header.Del("Authorization") // which a middleware may do, so that nothing behind it passes the token on
		f.rs.Serve(w, r, func(w http.ResponseWriter, r *http.Request) {
			inner = w
			kept = append(kept, r.Context())
		})
		if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
			t.Error("the session is gone when the inner Serve has returned")
		}
	})
	if inner == nil || inner != outer {
		t.Errorf("writers %p and %p", outer, inner)
	}
	for _, ctx := range kept {
		if _, err := mcpauth.SessionFromContext(ctx); !errors.Is(err, mcpauth.ErrNoSession) {
			t.Errorf("after the response: %v", err)
		}
		// A request with such a context, and without a token, is refused.
		w := httptest.NewRecorder()
		f.rs.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", nil), func(http.ResponseWriter, *http.Request) {})
		if w.Code != http.StatusUnauthorized {
			t.Errorf("status %d for a request in the context of one that is finished", w.Code)
		}
	}
}

// TestR85KeptSession puts a session that a request had into the context of another one, which comes without a token.
func TestR85KeptSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	var kept *mcpauth.Session
	status := func(ctx context.Context) int {
		w := httptest.NewRecorder()
		f.rs.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", nil), func(http.ResponseWriter, *http.Request) {})
		return w.Code
	}
	f.rs.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
		kept, _ = mcpauth.SessionFromContext(r.Context())
		if got := status(mcpauth.NewContext(r.Context(), kept)); got != http.StatusOK {
			t.Errorf("its own request: %d", got)
		}
		if got := status(mcpauth.NewContext(r.Context(), nil)); got != http.StatusUnauthorized {
			t.Errorf("hidden: %d", got)
		}
		if got := status(mcpauth.NewContext(r.Context(), authenticate(f.rs, f.env.Token(m{"sub": "usr_2"})).Session)); got != http.StatusUnauthorized {
			t.Errorf("another user's: %d", got)
		}
	})
	if kept == nil {
		t.Fatal("no session")
	}
	ctx := mcpauth.NewContext(t.Context(), kept)
	if session, err := mcpauth.SessionFromContext(ctx); session != kept || err != nil {
		t.Errorf("%v, %v", session, err)
	}
	if got := status(ctx); got != http.StatusUnauthorized {
		t.Errorf("later: %d", got)
	}
	d := authenticate(f.rs, f.env.Token(nil))
	ctx, end := d.NewContext(t.Context())
	if got := status(ctx); got != http.StatusOK {
		t.Errorf("of a decision: %d", got)
	}
	_ = end.Close()
	if got := status(ctx); got != http.StatusUnauthorized {
		t.Errorf("of a decision, finished: %d", got)
	}
}

// TestR88RecoveredAbort has a middleware in front that recovers from every panic, over both versions of HTTP.
func TestR88RecoveredAbort(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for name, c := range map[string]struct {
			handler http.HandlerFunc
			broken  bool
		}{
			"abort at once":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
			"abort a stream":  {func(w http.ResponseWriter, _ *http.Request) { begin(w); panic(http.ErrAbortHandler) }, true},
			"panic in one":    {func(w http.ResponseWriter, _ *http.Request) { begin(w); panic("oops") }, true},
			"Goexit in one":   {func(w http.ResponseWriter, _ *http.Request) { begin(w); runtime.Goexit() }, true},
			"panic before it": {func(http.ResponseWriter, *http.Request) { panic("oops") }, false},
		} {
			t.Run(fmt.Sprintf("HTTP/2 %t, %s", http2, name), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, nil)
				guarded := protect(f.rs, c.handler)
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						if recover() != nil {
							w.WriteHeader(http.StatusInternalServerError)
						}
					}()
					guarded.ServeHTTP(w, r)
				}))
				server.EnableHTTP2 = http2
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.StartTLS()
				defer server.Close()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
				resp, err := server.Client().Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if (err != nil) != c.broken || !c.broken && resp.StatusCode != http.StatusInternalServerError {
					t.Errorf("the client sees %v, %v", resp, err)
				}
			})
		}
	}
}

func begin(w http.ResponseWriter) {
	_, _ = io.WriteString(w, "half of an answer")
	_ = http.NewResponseController(w).Flush()
}

// TestR84HiddenConnection has a writer in front that hides the connection, so that no deadline can be set. The reply is
// still sent without waiting for the body.
func TestR84HiddenConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	guarded := protect(f.rs, http.NotFoundHandler())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || !resp.Close {
		t.Errorf("status %d, close %t", resp.StatusCode, resp.Close)
	}
}
