package mcpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR97Lines looks at every CORS header of a response, to requests of web pages (with an Origin header) and to others.
func TestR97Lines(t *testing.T) {
	t.Parallel()
	const ours = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After"
	for name, c := range map[string]struct {
		origins []string // allowed
		origin  string   // of the request
		outer   http.Header
		handler http.Header
		want    http.Header
	}{
		"a page": {
			origin: baseURL, handler: http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Max-Age": {"1", "2"}},
			want: http.Header{"Access-Control-Allow-Origin": {baseURL}, "Access-Control-Expose-Headers": {ours}, "Access-Control-Max-Age": {"1"}, "Vary": {"Origin"}},
		},
		"a page, with a middleware in front": {
			origin: baseURL, outer: http.Header{"Access-Control-Allow-Origin": {"https://a.example"}, "Access-Control-Expose-Headers": {"X-A", "retry-after,X-B,, x-a"}, "Vary": {"Accept-Encoding"}},
			want: http.Header{"Access-Control-Allow-Origin": {baseURL}, "Access-Control-Expose-Headers": {ours + ", X-A, X-B"}, "Vary": {"Accept-Encoding", "Origin"}},
		},
		"not a page": {
			handler: http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"X-A"}, "Access-Control-Allow-Credentials": {"true"}},
			want:    http.Header{"Vary": {"Origin"}},
		},
		"not a page, with a middleware in front": {
			outer:   http.Header{"Access-Control-Allow-Origin": {"https://a.example"}, "Access-Control-Expose-Headers": {"X-A", "X-B"}},
			handler: http.Header{"Access-Control-Allow-Origin": {"*"}},
			want:    http.Header{"Access-Control-Allow-Origin": {"https://a.example"}, "Access-Control-Expose-Headers": {"X-A, X-B"}, "Vary": {"Origin"}},
		},
		"every page": {
			origins: []string{"*"}, origin: "https://any.example", handler: http.Header{"Access-Control-Allow-Origin": {"https://b.example"}, "Access-Control-Allow-Credentials": {"true"}},
			want: http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {ours}},
		},
		"every page is allowed, and the request is not from a page": {
			origins: []string{"*"}, outer: http.Header{"Access-Control-Allow-Credentials": {"true"}}, handler: http.Header{"Access-Control-Allow-Origin": {"*"}},
			want: http.Header{},
		},
		"Vary that says it all": {
			origin: baseURL, handler: http.Header{"Vary": {"Accept, origin"}},
			want: http.Header{"Access-Control-Allow-Origin": {baseURL}, "Access-Control-Expose-Headers": {ours}, "Vary": {"Accept, origin"}},
		},
		"Vary of everything": {
			origin: baseURL, handler: http.Header{"Vary": {"*"}},
			want: http.Header{"Access-Control-Allow-Origin": {baseURL}, "Access-Control-Expose-Headers": {ours}, "Vary": {"*"}},
		},
		"spelled otherwise": {
			origin: baseURL, handler: http.Header{"access-control-allow-origin": {"*"}, "ACCESS-CONTROL-ALLOW-METHODS": {"PUT"}, "Access-Control-Allow-Headers": {"a", "b"}},
			want: http.Header{"Access-Control-Allow-Origin": {baseURL}, "Access-Control-Expose-Headers": {ours}, "Access-Control-Allow-Headers": {"a, b"}, "Vary": {"Origin"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.AllowedOrigins = c.origins })
			r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
			r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			for name, lines := range c.outer {
				w.Header()[name] = slices.Clone(lines)
			}
			f.rs.Serve(w, r, func(w http.ResponseWriter, _ *http.Request) {
				for name, lines := range c.handler {
					w.Header()[name] = append(w.Header()[name], lines...)
				}
			})
			got := w.Header()
			for name := range c.want {
				if !slices.Equal(got[name], c.want[name]) {
					t.Errorf("%s: %q, want %q", name, got[name], c.want[name])
				}
			}
			for name := range got {
				if strings.HasPrefix(strings.ToLower(name), "access-control-") && c.want[name] == nil || name == "Vary" && c.want[name] == nil {
					t.Errorf("%s: %q, want none", name, got[name])
				}
			}
		})
	}
}

// TestR97EarlyHints looks at the headers of an informational response, which pages never see and proxies may keep.
func TestR97EarlyHints(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Access-Control-Allow-Origin", "*")
		w.Header().Add("Access-Control-Allow-Credentials", "true")
		w.WriteHeader(http.StatusEarlyHints)
	})))
	defer server.Close()
	var hints http.Header
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		hints = http.Header(header)
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	req.Header.Set("Origin", baseURL)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, header := range []http.Header{hints, resp.Header} {
		if got := header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != baseURL || header["Access-Control-Allow-Credentials"] != nil {
			t.Errorf("%v", header)
		}
	}
}

// TestR97InPlace has a handler that changes the values which a middleware in front has set.
func TestR97InPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	w := httptest.NewRecorder()
	w.Header()["Access-Control-Expose-Headers"] = []string{"X-A"}
	f.rs.Serve(w, r, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Access-Control-Expose-Headers"][0] = "X-B" })
	if got := w.Header()["Access-Control-Expose-Headers"]; !slices.Equal(got, []string{"X-A"}) {
		t.Errorf("%q", got)
	}
}
