package mcpauth_test

import (
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

func TestR2R3ResourceAndMetadataPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base, path     string
		resource       string
		local          string
		metadata, root string
	}{
		{"https://h.example", "", "https://h.example/mcp", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"},
		{"https://h.example/", "/mcp/", "https://h.example/mcp", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"},
		{"https://h.example:8443", "/a/b", "https://h.example:8443/a/b", "/a/b", "/.well-known/oauth-protected-resource/a/b", "/.well-known/oauth-protected-resource"},
		{"https://h.example/a/b", "/mcp", "https://h.example/a/b/mcp", "/mcp", "/.well-known/oauth-protected-resource/a/b/mcp", ""},
		{"https://h.example", "/", "https://h.example", "/", "/.well-known/oauth-protected-resource", ""},
		{"http://[::1]:3001", "/mcp", "http://[::1]:3001/mcp", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"},
		{"http://app.localhost:3000", "/mcp", "http://app.localhost:3000/mcp", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"},
		{"http://127.1.2.3:3001", "/mcp", "http://127.1.2.3:3001/mcp", "/mcp", "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"},
	} {
		cfg := goodConfig()
		cfg.BaseURL, cfg.Path = c.base, c.path
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Errorf("%s %s: %v", c.base, c.path, err)
			continue
		}
		var paths []string
		for _, route := range rs.MetadataRoutes() {
			paths = append(paths, route.Path)
		}
		want := strings.TrimSpace(c.metadata + " " + c.root)
		if got := strings.Join(paths, " "); rs.Resource() != c.resource || rs.Path() != c.local || got != want {
			t.Errorf("%s %s: resource %s at %s with metadata %s", c.base, c.path, rs.Resource(), rs.Path(), got)
		}
	}
}

// TestR5WithoutResourceID looks at the whole document: the authorization server is the environment itself.
func TestR5WithoutResourceID(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://acme.scalekit.com"],"bearer_methods_supported":["header"]}`
	if got := string(mcpauth.ReplyOf(rs.MetadataRoutes()[0], "GET").Body); got != want {
		t.Errorf("got %s", got)
	}
}

// TestMetadataRoutesAreACopy clears the slice that MetadataRoutes returned: the next caller gets all routes.
func TestMetadataRoutesAreACopy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	clear(f.rs.MetadataRoutes())
	if f.rs.MetadataRoutes()[0].Path == "" {
		t.Error("the caller's slice is the server's own")
	}
}
