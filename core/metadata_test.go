package mcpauth_test

import (
	"net/http"
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

// TestR16MetadataURL has addresses of the document, and the paths at which requests for it arrive.
func TestR16MetadataURL(t *testing.T) {
	t.Parallel()
	const wellKnown = "/.well-known/oauth-protected-resource"
	for _, c := range []struct {
		base, path, url string
		foreign         bool
		want            string // the paths of the documents whose resource is the endpoint
	}{
		{"https://h.example", "/mcp", "https://h.example" + wellKnown + "/mcp", false, wellKnown + "/mcp"},
		{"https://h.example", "/mcp", "https://h.example/meta", false, wellKnown + "/mcp /meta"},
		{"https://h.example/prod", "/mcp", "https://h.example/prod" + wellKnown + "/mcp", false, wellKnown + "/prod/mcp " + wellKnown + "/mcp"},
		{"https://h.example/prod", "/mcp", "https://h.example/prod" + wellKnown, false, wellKnown + "/prod/mcp " + wellKnown},
		{"https://h.example/prod", "/", "https://h.example/prod" + wellKnown, false, wellKnown + "/prod " + wellKnown},
		{"https://h.example/prod", "/mcp", "https://h.example/meta", false, wellKnown + "/prod/mcp /meta"},
		{"https://h.example/prod", "/mcp", "https://h.example/product", false, wellKnown + "/prod/mcp /product"},
		{"https://h.example/a/b", "/mcp", "https://h.example/a/meta", false, wellKnown + "/a/b/mcp /a/meta"},
		{"https://h.example", "/mcp", "https://docs.example/mcp", true, wellKnown + "/mcp"},
		{"https://h.example/prod", "/mcp", "https://docs.example/prod/meta", true, wellKnown + "/prod/mcp"},
		{"https://h.example/prod", "/mcp", "https://docs.example" + wellKnown + "/x", true, wellKnown + "/prod/mcp " + wellKnown + "/x"},
		{"https://h.example/prod", "/mcp", "https://docs.example" + wellKnown + "x", true, wellKnown + "/prod/mcp"},
	} {
		cfg := goodConfig()
		cfg.BaseURL, cfg.Path, cfg.MetadataURL, cfg.DangerouslyAllowForeignMetadataURL = c.base, c.path, c.url, c.foreign
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		var paths []string
		for _, route := range rs.MetadataRoutes() {
			if strings.HasPrefix(string(mcpauth.ReplyOf(route, "GET").Body), `{"resource":"`+rs.Resource()+`"`) {
				paths = append(paths, route.Path)
			}
		}
		if got := strings.Join(paths, " "); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.base, c.url, got, c.want)
		}
		for _, path := range paths {
			if d := rs.Authenticate(t.Context(), mcpauth.Request{Method: "GET", Path: path, Header: http.Header{}.Values}); d.Outcome != mcpauth.OutcomeMetadata {
				t.Errorf("%s: %s", path, d.Outcome)
			}
		}
		for _, path := range []string{"", "/", c.path, "/other"} {
			d := rs.WithRequiredScopes("a").Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: path, Header: http.Header{}.Values})
			if d.Outcome != mcpauth.OutcomeNoCredentials || !strings.HasSuffix(d.Reply.Header.Get("Www-Authenticate"), ` resource_metadata="`+c.url+`"`) {
				t.Errorf("%s at %q: %s, %v", c.url, path, d.Outcome, d.Reply.Header)
			}
		}
	}
}

// TestMetadataURLIsTaken has a router with another route at the path of Config.MetadataURL: the cure names that setting, and
// not the one of the other documents.
func TestMetadataURLIsTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ metadataURL, taken, cure string }{
		{baseURL + "/about", "/about", "Config.MetadataURL leads there; give each resource an address that no other route has"},
		{baseURL + "/about", "/.well-known/oauth-protected-resource/mcp", "is the resource mounted twice?"},
		{baseURL + "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/mcp", "is the resource mounted twice?"},
		{baseURL + "/about", "/.well-known/oauth-protected-resource", "at most one may serve the origin's document: set Config.OmitRootMetadata in the others"},
	} {
		cfg := goodConfig()
		cfg.MetadataURL = c.metadataURL
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		said := func() (said any) {
			defer func() { said = recover() }()
			rs.RegisterMetadata(func(path string, _ http.Handler) {
				if path == c.taken {
					panic("taken")
				}
			})
			return nil
		}()
		if text, _ := said.(string); !strings.Contains(text, c.taken+": taken; ") || !strings.HasSuffix(text, c.cure) {
			t.Errorf("%s at %s: %v", c.metadataURL, c.taken, said)
		}
	}
}
