package adaptertest_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
)

// TestDecision runs the suite on the smallest possible adapter, so that core itself is tested here.
func TestDecision(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App {
		return &mini{carry: carry, mount: endpoint, mux: http.NewServeMux()}
	}})
}

// A carrier is an adapter's middleware, right or wrong.
type carrier func(rs *mcpauth.ResourceServer, next http.Handler) http.Handler

func carry(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rs.Serve(w, r, func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
	})
}

func endpoint(rs *mcpauth.ResourceServer, handler http.Handler) http.Handler {
	return rs.Endpoint(handler)
}

// A mini is the smallest possible framework.
type mini struct {
	carry carrier // of middlewares
	mount carrier // of the endpoint
	mux   *http.ServeMux
	outer []func(http.Handler) http.Handler
}

func newMini(carry carrier) func() adaptertest.App {
	return func() adaptertest.App { return &mini{carry: carry, mount: carry, mux: http.NewServeMux()} }
}

func (m *mini) Outer(name, value string) {
	m.outer = append(m.outer, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			next.ServeHTTP(w, r)
		})
	})
}

func (m *mini) Recover() { m.outer = append(m.outer, adaptertest.RecoverHTTP) }

func (m *mini) Use(rs *mcpauth.ResourceServer) {
	_ = rs.Path() // panics when there is none
	m.outer = append(m.outer, func(next http.Handler) http.Handler { return m.carry(rs, next) })
}

func (m *mini) Mount(rs *mcpauth.ResourceServer, handler http.Handler) {
	if handler == nil {
		panic("no handler")
	}
	m.mux.Handle(strings.TrimSuffix(rs.Path(), "/")+map[bool]string{true: "/{$}"}[rs.Path() == "/"], m.mount(rs, handler))
	m.MountMetadata(rs)
	if unstripped := rs.UnstrippedPath(); unstripped != "" {
		m.outer = append(m.outer, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == unstripped {
					rs.LogUnstripped(r.Context())
				}
				next.ServeHTTP(w, r)
			})
		})
	}
}

func (m *mini) MountMetadata(rs *mcpauth.ResourceServer) {
	for _, route := range rs.MetadataRoutes() {
		if _, taken := m.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: route.Path}}); taken == route.Path {
			panic(route.Taken())
		}
		m.mux.Handle(route.Path, m.carry(rs, nil))
	}
}

func (m *mini) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, handler(mcpauth.SessionFromContext(r.Context())))
	})
	if guard != nil {
		for _, rs := range append([]*mcpauth.ResourceServer{guard}, more...) {
			h = m.carry(rs, h)
		}
	}
	m.mux.Handle(prefix+path, h)
}

func (m *mini) Serve(listener net.Listener) func() {
	var h http.Handler = m.mux
	for i := range m.outer {
		h = m.outer[len(m.outer)-1-i](h)
	}
	return adaptertest.ServeHTTP(h, listener)
}
