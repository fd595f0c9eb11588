package mcpauthhttp_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func newResourceServer(t *testing.T, change func(*mcpauth.Config)) (*mcpauth.ResourceServer, *mcpauthtest.Environment) {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config("https://mcp.example.com")
	if change != nil {
		change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs, env
}

func answer(handler http.Handler, method, target, token string) (status int, body string) {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "mcp.example.com"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// TestMountBesideCatchAlls has routes that take everything but the endpoint, registered before it and after it.
func TestMountBesideCatchAlls(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp", "/"} {
		for _, catchAll := range []string{"GET /", "/", "POST /", "GET /{rest...}", "GET /{page}", "DELETE /", "mcp.example.com/assets/", "GET /.well-known/"} {
			for _, first := range []bool{true, false} {
				if path == "/" && strings.HasSuffix(catchAll, "{rest...}") {
					continue // GET /{$} and GET /{rest...} do not conflict either, but there is nothing more to see
				}
				rs, env := newResourceServer(t, func(cfg *mcpauth.Config) { cfg.Path = path })
				mux := http.NewServeMux()
				if first {
					mux.Handle(catchAll, says("the page"))
				}
				mcpauthhttp.Mount(mux, rs, says("the endpoint"))
				if !first {
					mux.Handle(catchAll, says("the page"))
				}
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"} {
					if status, _ := answer(mux, method, path, ""); status != http.StatusUnauthorized {
						t.Errorf("%s first=%t: %s %s is answered with %d", catchAll, first, method, path, status)
					}
				}
				if status, body := answer(mux, "GET", path, env.Token(nil)); status != http.StatusOK || body != "the endpoint" {
					t.Errorf("%s first=%t: with a token %d, %q", catchAll, first, status, body)
				}
				metadata := rs.MetadataRoutes()[0].Path
				if status, body := answer(mux, "GET", metadata, ""); status != http.StatusOK || !strings.HasPrefix(body, `{"resource"`) {
					t.Errorf("%s first=%t: metadata %d, %q", catchAll, first, status, body)
				}
				for _, method := range []string{"PURGE", "PROPFIND", "get", "QUERY"} {
					if _, body := answer(mux, method, path, env.Token(nil)); body == "the endpoint" {
						t.Errorf("%s first=%t: %s reaches the handler", catchAll, first, method)
					}
				}
			}
		}
	}
}

// TestRoutes registers what Routes returns with a router of another shape.
func TestRoutes(t *testing.T) {
	t.Parallel()
	rs, env := newResourceServer(t, nil)
	routes := maps.Collect(mcpauthhttp.Routes(rs, says("the endpoint")))
	if len(routes) != 3 {
		t.Errorf("%d routes, want the endpoint and two documents", len(routes))
	}
	if status, _ := answer(routes["/mcp"], "POST", "/mcp", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	if _, body := answer(routes["/mcp"], "POST", "/mcp", env.Token(nil)); body != "the endpoint" {
		t.Errorf("with a token: %q", body)
	}
	for _, route := range rs.MetadataRoutes() {
		if status, _ := answer(routes[route.Path], "GET", route.Path, ""); status != http.StatusOK {
			t.Errorf("%s: %d", route.Path, status)
		}
	}
	for range mcpauthhttp.Routes(rs, says("")) {
		break // which has to be possible
	}
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "taken: "+rs.MetadataRoutes()[1].Path+"; ") {
			t.Errorf("a router that panics inside of the loop: %s", said)
		}
	}()
	for path := range mcpauthhttp.Routes(rs, says("")) {
		if path == rs.MetadataRoutes()[1].Path {
			panic("taken: " + path)
		}
	}
}
