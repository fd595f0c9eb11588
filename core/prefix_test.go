package mcpauth_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestUnstrippedPath has public URLs, and the paths at which requests arrive if nothing is stripped.
func TestUnstrippedPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, path, want, cure string }{
		{"https://h.example", "/mcp", "", ""},
		{"https://h.example", "/", "", ""},
		{"https://h.example/prod", "/mcp", "/prod/mcp", "strip /prod, or set BASE_URL to https://h.example and Config.Path to /prod/mcp"},
		{"https://h.example/a/b/", "/c/mcp", "/a/b/c/mcp", "strip /a/b, or set BASE_URL to https://h.example and Config.Path to /a/b/c/mcp"},
		{"https://h.example/prod", "/", "/prod", "strip /prod, or set BASE_URL to https://h.example and Config.Path to /prod"},
	} {
		cfg := goodConfig()
		log := logTo(&cfg)
		cfg.BaseURL, cfg.Path = c.base, c.path
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := rs.UnstrippedPath(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.base, c.path, got, c.want)
		}
		if c.want == "" {
			continue
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, server := range []*mcpauth.ResourceServer{rs, rs.WithRequiredScopes("a")} {
					server.Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: c.want, Header: http.Header{}.Values})
				}
			})
		}
		wg.Wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), c.cure) {
			t.Errorf("%s %s: %d lines: %s", c.base, c.path, n, log)
		}
	}
}

// TestUnstrippedPathIsTaken has a router that panics for a route that it has already, and one that has the document there.
func TestUnstrippedPathIsTaken(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.BaseURL += "/prod"
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	rs.RegisterRoutes(http.NotFoundHandler(), func(path string, _ http.Handler) {
		if path == "/prod/mcp" {
			panic("taken")
		}
		paths = append(paths, path)
	})
	if got := strings.Join(paths, " "); got != "/mcp /.well-known/oauth-protected-resource/prod/mcp" {
		t.Errorf("%s", got)
	}
	cfg.MetadataURL = cfg.BaseURL + "/prod/mcp"
	if rs, err = mcpauth.New(cfg); err != nil || rs.UnstrippedPath() != "" {
		t.Errorf("%q, %v", rs.UnstrippedPath(), err)
	}
}

// TestUnstrippedPathIsTakenByAPattern has the patterns of routes as gin and echo write them.
func TestUnstrippedPathIsTakenByAPattern(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	plain, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseURL += "/prod"
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]bool{
		"/prod/mcp": true, "/prod/*": true, "/prod/*rest": true, "/prod/m*": true, "/pro*": true, "/:stage/mcp": true, "/:a/:b": true, "/prod/:x": true,
		"/:stage/*": true, "/p:stage/m:x": true,
		"/*": false, "/*all": false, "": false, "/": false, "/:a": false, "/:a/:b/:c": false, "/prod/mcp/": false, "/prod/mcp/*": false,
		"/prod/mcp/:id": false, "/prod": false, "/product/:x": false, "/:stage/mcpx": false, "/prod/mcp:x": false, "/PROD/mcp": false,
	} {
		if got := rs.UnstrippedPathIsTaken(slices.Values([]string{"/mcp", pattern})); got != want {
			t.Errorf("%q: %t", pattern, got)
		}
		if plain.UnstrippedPathIsTaken(slices.Values([]string{pattern})) {
			t.Errorf("%q takes the path of no prefix", pattern)
		}
	}
}
