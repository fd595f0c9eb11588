package mcpauthhttp_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App { return &app{mux: http.NewServeMux()} }})
}

type app struct {
	mux   *http.ServeMux
	outer []func(http.Handler) http.Handler
}

func (a *app) Outer(name, value string) {
	a.outer = append(a.outer, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	})
}

func (a *app) Recover() { a.outer = append(a.outer, adaptertest.RecoverHTTP) }

func (a *app) Use(rs *mcpauth.ResourceServer) { a.outer = append(a.outer, mcpauthhttp.Middleware(rs)) }

func (a *app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthhttp.Mount(a.mux, rs, h) }

func (a *app) MountMetadata(rs *mcpauth.ResourceServer) { mcpauthhttp.MountMetadata(a.mux, rs) }

// Handle has a mux of its own for a group, which is as near as net/http gets to one.
func (a *app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, handler(mcpauthhttp.Session(r)))
	})
	for _, rs := range more {
		h = mcpauthhttp.Middleware(rs)(h)
	}
	pattern := path
	if prefix != "" {
		group := http.NewServeMux()
		group.Handle(path, h)
		pattern, h = prefix+"/", http.StripPrefix(prefix, group)
	}
	if guard != nil {
		h = mcpauthhttp.Middleware(guard)(h)
	}
	a.mux.Handle(pattern, h)
}

func (a *app) Serve(listener net.Listener) func() {
	var h http.Handler = a.mux
	for i := range a.outer {
		h = a.outer[len(a.outer)-1-i](h)
	}
	return adaptertest.ServeHTTP(h, listener)
}
