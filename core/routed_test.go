package mcpauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestPatternIsVisible has instrumentation in front of a middleware, and a mux behind it: the pattern that the mux has found
// is in the request that the instrumentation knows, also after a panic, and so are the values of its wildcards.
func TestPatternIsVisible(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"x": {}}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{tenant}/mcp/{rest...}", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.PathValue("rest") == "panic" {
			panic(http.ErrAbortHandler)
		}
	})
	check := f.rs.RequireOperations(policy)
	visit := mcpauth.ServeVisits(f.rs, func(_ *struct{}, w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) })
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for name, handler := range map[string]http.Handler{
		"Middleware":                            f.rs.RequireToken()(mux),
		"RequireOperations":                     check(mux),
		"both":                                  f.rs.RequireToken()(check(mux)),
		"two middlewares":                       f.rs.RequireToken()(f.rs.WithRequiredScopes("a").RequireToken()(mux)),
		"ServeVisits":                           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { visit(w, r, struct{}{}) }),
		"a middleware of another in the middle": f.rs.RequireToken()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { check(mux).ServeHTTP(w, r) })),
	} {
		for _, c := range []struct {
			rest, body string
			token      bool
			want       string
		}{
			{"x/y", ping, true, "POST /{tenant}/mcp/{rest...} acme x/y"},
			{"x", "", true, "POST /{tenant}/mcp/{rest...} acme x"},
			{"panic", ping, true, "POST /{tenant}/mcp/{rest...} acme panic"},
			{"x", ping, false, "  "},
		} {
			r := httptest.NewRequest(http.MethodPost, "/acme/mcp/"+c.rest, strings.NewReader(c.body))
			if c.body == "" {
				r.Body = http.NoBody
			}
			if c.token {
				r.Header.Set("Authorization", "Bearer "+f.env.Token(m{"scope": "a"}))
			}
			func() {
				defer func() { _ = recover() }()
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}()
			if got := r.Pattern + " " + r.PathValue("tenant") + " " + r.PathValue("rest"); got != c.want {
				t.Errorf("%s, %s: %q, want %q", name, c.rest, got, c.want)
			}
		}
	}
}

// TestPatternInFront has a mux in front of the middleware and another one behind: the inner one has the last word, as it has
// without a middleware in between.
func TestPatternInFront(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	none := http.NewServeMux()
	inner := http.NewServeMux()
	inner.HandleFunc("/mcp/{id}", func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"another mux":         {inner, "/mcp/{id} 7"},
		"a handler":           {http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "/mcp/ "},
		"a mux that has none": {none, " "},
	} {
		outer := http.NewServeMux()
		outer.Handle("/mcp/", f.rs.RequireToken()(c.handler))
		r := httptest.NewRequest(http.MethodPost, "/mcp/7", nil)
		r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
		outer.ServeHTTP(httptest.NewRecorder(), r)
		if got := r.Pattern + " " + r.PathValue("id"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPatternAndLateReaders has a handler whose goroutine still reads the values of the path when the handler has returned:
// what r and the handler's request have in common is not written.
func TestPatternAndLateReaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	begun, read := make(chan struct{}), make(chan string, 1)
	protected := f.rs.RequireToken()(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Pattern = "/{tenant}/mcp" // as a router does that is mounted below another one, such as chi's
		r.SetPathValue("tenant", "acme")
		go func() {
			close(begun)
			tenant := ""
			for range 1000 {
				tenant = r.PathValue("tenant")
			}
			read <- tenant
		}()
		<-begun
	}))
	r := httptest.NewRequest(http.MethodPost, "/acme/mcp", nil)
	r.SetPathValue("*", "acme/mcp") // of the router in front; the copies of r share it
	r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	protected.ServeHTTP(httptest.NewRecorder(), r)
	if got := await(t, "the late reader", read) + r.PathValue("tenant") + r.Pattern; got != "acmeacme/{tenant}/mcp" {
		t.Errorf("%q", got)
	}
}
