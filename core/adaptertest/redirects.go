package adaptertest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// redirect sends requests for a path that a router may redirect, with headers that name another target, and reports any
// status that is not among statuses.
func (a *app) redirect(t *testing.T, target string, statuses ...int) {
	t.Helper()
	for _, method := range []string{"POST", "GET", "OPTIONS"} {
		resp := a.send(t, request{method: method, target: target, header: http.Header{
			"X-Forwarded-Prefix": {"/evil"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "Host": {"evil.example"},
		}})
		if location := resp.header.Get("Location"); strings.Contains(location, "evil") || !slices.Contains(statuses, resp.status) {
			t.Errorf("%s %s: status %d, Location %q; want one of %d", method, target, resp.status, location, statuses)
		}
	}
	if a.ran.Load() != 0 {
		t.Errorf("%s: the handler ran", target)
	}
}

// runRedirects asks for the paths of the endpoint and its metadata with a slash at the end. The metadata may be served
// there, too.
func runRedirects(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	for _, target := range []string{"/mcp/", metadataPath + "/", rootMetadata + "/"} {
		a.redirect(t, target, http.StatusNotFound, http.StatusOK, http.StatusNoContent)
	}
}

// runMoreSlashes asks for paths with slashes that http.ServeMux cleans, by a redirect to the path alone.
func runMoreSlashes(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	for _, target := range []string{"/mcp//", "//mcp", "/mcp///"} {
		a.redirect(t, target, http.StatusNotFound, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusUnauthorized)
	}
}

// runRedirectsOfRoot does the same with the middleware on the root, which guards all requests that the router passes on.
func runRedirectsOfRoot(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Use(a.rs)
	a.build.Handle("", "/other", userID, nil)
	a.serve(t)
	resp := a.send(t, request{target: "/other/", header: http.Header{"X-Forwarded-Prefix": {"/evil"}}})
	if resp.status != http.StatusUnauthorized {
		t.Errorf("status %d, Location %q; want 401", resp.status, resp.header.Get("Location"))
	}
}
