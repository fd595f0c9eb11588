// Package gorilla runs the adapters' suite on gorilla/mux, whose Handle returns the route: what Mount can't take, Routes
// gives.
package gorilla

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gorilla/mux"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	const silent = "of two routes for one path gorilla takes the first, silently"
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App { return &app{router: mux.NewRouter()} },
		Deviations: map[string]string{
			"a route registered twice panics at start": silent,
			"two root documents panic at start":        silent,
		},
	})
}

// An app has its middlewares around the router: those that gorilla's Use adds run for routes that match, and for no
// others.
type app struct {
	router *mux.Router
	outer  []func(http.Handler) http.Handler
}

func (a *app) Outer(name, value string) {
	a.outer = append(a.outer, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	})
}

func (a *app) Recover()                       { a.outer = append(a.outer, adaptertest.RecoverHTTP) }
func (a *app) Use(rs *mcpauth.ResourceServer) { a.outer = append(a.outer, mcpauthhttp.Middleware(rs)) }

func (a *app) Mount(rs *mcpauth.ResourceServer, h http.Handler) {
	for path, handler := range mcpauthhttp.Routes(rs, h) {
		a.router.Handle(path, handler)
	}
}

func (a *app) MountMetadata(rs *mcpauth.ResourceServer) {
	for _, route := range rs.MetadataRoutes() {
		a.router.Handle(route.Path, route)
	}
}

func (a *app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	router := a.router
	if prefix != "" {
		router = router.PathPrefix(prefix).Subrouter()
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, handler(mcpauthhttp.Session(r)))
	})
	for _, rs := range more {
		h = mcpauthhttp.Middleware(rs)(h)
	}
	if guard != nil {
		h = mcpauthhttp.Middleware(guard)(h)
	}
	router.Handle(path, h)
}

func (a *app) Serve(listener net.Listener) func() {
	var h http.Handler = a.router
	for i := range a.outer {
		h = a.outer[len(a.outer)-1-i](h)
	}
	return adaptertest.ServeHTTP(h, listener)
}
