package mcpauth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A visit is what an adapter keeps for a request.
type visit struct {
	place string
	got   http.ResponseWriter
	err   error
}

func TestServeVisits(t *testing.T) {
	t.Parallel()
	rs := newOffline(t, nil)
	inner := mcpauth.ServeVisits(rs, func(v *visit, w http.ResponseWriter, _ *http.Request) { v.got = w })
	serve := mcpauth.ServeVisits(rs, func(v *visit, w http.ResponseWriter, r *http.Request) {
		v.got = w
		_, v.err = mcpauth.SessionFromContext(r.Context())
		if v.place == "panics" {
			panic("the handler's")
		}
		if nested := inner(w, r, visit{place: "inside"}); nested == nil || nested.got != w || nested.place != "inside" {
			t.Errorf("inside of a middleware of the same resource server: %+v", nested)
		}
		_, _ = io.WriteString(w, v.place)
	})

	w := httptest.NewRecorder()
	v := serve(w, withSession(t, http.MethodPost), visit{place: "first"})
	if v == nil || v.place != "first" || v.err != nil || w.Body.String() != "first" {
		t.Fatalf("an allowed request: %+v, %q", v, w.Body)
	}
	w = httptest.NewRecorder()
	if second := serve(w, withSession(t, http.MethodPost), visit{place: "second"}); second == v || v.place != "first" {
		t.Error("two requests share a visit")
	}
	if _, err := io.WriteString(v.got, "late"); err == nil || w.Body.String() != "second" {
		t.Errorf("the writer of an ended visit: %v, %q", err, w.Body)
	}

	w = httptest.NewRecorder()
	if v := serve(w, httptest.NewRequest(http.MethodPost, "/mcp", nil), visit{}); v != nil || w.Code != http.StatusUnauthorized {
		t.Errorf("a refused request: %+v, status %d", v, w.Code)
	}

	defer func() {
		if said := recover(); said != "the handler's" {
			t.Errorf("the panic of a handler became %v", said)
		}
	}()
	serve(httptest.NewRecorder(), withSession(t, http.MethodPost), visit{place: "panics"})
}

// TestAdaptersMistakes makes the mistakes that every adapter reports when the routes are set up.
func TestAdaptersMistakes(t *testing.T) {
	t.Parallel()
	rs := newOffline(t, nil)
	var none *mcpauth.ResourceServer
	free := func(string, http.Handler) {}
	for name, c := range map[string]struct {
		mistake func()
		says    string
	}{
		"Middleware":    {func() { none.RequireToken() }, "did mcpauth.New return an error?"},
		"Mount":         {func() { none.RegisterRoutes(http.NotFoundHandler(), free) }, "did mcpauth.New return an error?"},
		"MountMetadata": {func() { none.RegisterMetadata(free) }, "did mcpauth.New return an error?"},
		"visits":        {func() { mcpauth.ServeVisits(none, func(*visit, http.ResponseWriter, *http.Request) {}) }, "did mcpauth.New return an error?"},
		"no handler":    {func() { rs.RegisterRoutes(nil, free) }, "nil http.Handler"},
		"a taken endpoint": {func() {
			rs.RegisterRoutes(http.NotFoundHandler(), func(path string, _ http.Handler) { panic("conflict at " + path) })
		}, "conflict at /mcp"},
		"a taken document": {func() {
			rs.RegisterMetadata(func(path string, _ http.Handler) { panic("conflict at " + path) })
		}, "conflict at " + rs.MetadataRoutes()[0].Path + "; is the resource mounted twice?"},
		"a taken root document": {func() {
			rs.RegisterMetadata(func(path string, _ http.Handler) {
				if path == rs.MetadataRoutes()[1].Path {
					panic("conflict at " + path)
				}
			})
		}, "set Config.OmitRootMetadata in the others"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.says) {
					t.Errorf("it says %q, and not %q", said, c.says)
				}
			}()
			c.mistake()
		})
	}
}

// TestKeepRoute has the request that a router's context had in the end: itself, a copy with a pattern, or one without.
func TestKeepRoute(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/acme/mcp", nil)
	r.Pattern = "/acme/"
	last := r.Clone(t.Context())
	mcpauth.KeepRoute(r, r)
	mcpauth.KeepRoute(r, httptest.NewRequest(http.MethodPost, "/acme/mcp", nil)) // without a pattern
	mcpauth.KeepRoute(r, nil)
	mcpauth.KeepRoute(nil, last)
	if r.Pattern != "/acme/" {
		t.Errorf("the pattern became %q", r.Pattern)
	}
	last.Pattern = "/{tenant}/mcp"
	last.SetPathValue("tenant", "acme")
	mcpauth.KeepRoute(r, last)
	if r.Pattern != last.Pattern || r.PathValue("tenant") != "acme" {
		t.Errorf("the route is %q, %q", r.Pattern, r.PathValue("tenant"))
	}
	last = last.Clone(t.Context())
	last.Pattern = "/{tenant}/*"
	last.SetPathValue("*", "mcp") // as chi names what its star stands for
	mcpauth.KeepRoute(r, last)
	if r.Pattern != last.Pattern || r.PathValue("*") != "mcp" || r.PathValue("tenant") != "acme" {
		t.Errorf("the route is %q, %q, %q", r.Pattern, r.PathValue("tenant"), r.PathValue("*"))
	}
}
