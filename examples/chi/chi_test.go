// Package chi runs the adapters' suite on chi, as one of the routers that take http.Handlers and need no adapter of
// their own.
package chi

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	const silent = "chi replaces a route silently, and the interface that Mount takes has no way to ask"
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App { return app{chi.NewRouter()} },
		Deviations: map[string]string{
			"a route registered twice panics at start": silent,
			"two root documents panic at start":        silent,
			"a prefix that is not stripped":            silent,
		},
	})
}

type app struct{ *chi.Mux }

func (a app) Outer(name, value string) {
	a.Mux.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	})
}

func (a app) Recover() { a.Mux.Use(adaptertest.RecoverHTTP) } // chi's own passes http.ErrAbortHandler on

func (a app) Use(rs *mcpauth.ResourceServer)                   { a.Mux.Use(mcpauthhttp.Middleware(rs)) }
func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthhttp.Mount(a.Mux, rs, h) }
func (a app) MountMetadata(rs *mcpauth.ResourceServer)         { mcpauthhttp.MountMetadata(a.Mux, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	register := func(r chi.Router) {
		if guard != nil {
			r.Use(mcpauthhttp.Middleware(guard))
		}
		for _, rs := range more {
			r.Use(mcpauthhttp.Middleware(rs))
		}
		r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, handler(mcpauthhttp.Session(r)))
		})
	}
	if prefix == "" {
		a.Group(register)
		return
	}
	a.Route(prefix, register)
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Mux, listener) }
