package mcpauthhttp_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// TestUnstrippedRouteForOneMethod has a route of the application for one method at the path of a prefix that was not stripped:
// Mount leaves the path alone for all methods.
func TestUnstrippedRouteForOneMethod(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"POST /prod/mcp", "GET /prod/mcp", "TRACE /prod/mcp", "HEAD /prod/"} {
		method, _, _ := strings.Cut(own, " ")
		rs, _ := newResourceServer(t, func(cfg *mcpauth.Config) { cfg.BaseURL += "/prod" })
		mux := http.NewServeMux()
		mux.Handle(own, says("the application's"))
		mcpauthhttp.Mount(mux, rs, says("the endpoint"))
		if status, body := answer(mux, method, "/prod/mcp", ""); status != http.StatusOK || body != "the application's" {
			t.Errorf("%s: %d, %q", own, status, body)
		}
		if status, body := answer(mux, "DELETE", "/prod/mcp", ""); status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE with a route for %s: %d, %q", own, status, body)
		}
	}
}

// TestUnstrippedPathBelowARoute has routes of the application that take the path of a prefix that was not stripped without
// naming it: Mount leaves the path to them, unless they take every path.
func TestUnstrippedPathBelowARoute(t *testing.T) {
	t.Parallel()
	for own, taken := range map[string]bool{
		"/prod/": true, "POST /prod/": true, "/prod/{page}": true, "/{stage}/mcp": true, "/{a}/{b}": true, "/prod/{rest...}": true, "/{stage}/{rest...}": true,
		"mcp.example.com/prod/": true,
		"/":                     false, "POST /": false, "/{rest...}": false, "POST /{rest...}": false, "/{page}": false, "/product/": false,
	} {
		log := new(bytes.Buffer)
		rs, _ := newResourceServer(t, func(cfg *mcpauth.Config) {
			cfg.BaseURL += "/prod"
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		})
		mux := http.NewServeMux()
		mux.Handle(own, says("the application's"))
		mcpauthhttp.Mount(mux, rs, says("the endpoint"))
		want, lines := http.StatusNotFound, 1
		if taken {
			want, lines = http.StatusOK, 0
		}
		status, body := answer(mux, "POST", "/prod/mcp", "")
		if status != want || strings.Contains(body, "application") != taken {
			t.Errorf("%s: %d, %q", own, status, body)
		}
		if n := strings.Count(log.String(), "strip /prod"); n != lines {
			t.Errorf("%s: %d lines with the cure: %s", own, n, log)
		}
	}
}

// These routers can't be asked for their routes: they have no method Find, or one that finds something else than chi's.
type (
	silent  struct{ *http.ServeMux }
	shorter struct{ *http.ServeMux }
	another struct{ *http.ServeMux }
)

func (shorter) Find(_, _ string) string                  { return "" }
func (another) Find(_ *http.Request, _, _ string) string { return "" }

// TestUnstrippedPathOfAnotherRouter has routers that can't be asked: the path is left alone, because a route there might be
// replaced.
func TestUnstrippedPathOfAnotherRouter(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux
	for _, router := range []interface {
		mcpauthhttp.Router
		http.Handler
	}{silent{mux()}, shorter{mux()}, another{mux()}} {
		rs, _ := newResourceServer(t, func(cfg *mcpauth.Config) { cfg.BaseURL += "/prod" })
		mcpauthhttp.Mount(router, rs, says("the endpoint"))
		router.Handle("/prod/mcp", says("the application's"))
		if status, body := answer(router, "POST", "/prod/mcp", ""); status != http.StatusOK || body != "the application's" {
			t.Errorf("%T: %d, %q", router, status, body)
		}
	}
}
