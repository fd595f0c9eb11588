package adaptertest_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
)

// TestDecision runs the suite on the least that carries a decision: it is core itself that is tested here.
func TestDecision(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, func(_ testing.TB, rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() {
		routes := map[string]func(string) *mcpauth.Reply{}
		for _, route := range rs.MetadataRoutes() {
			routes[route.Path] = route.Reply
		}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != rs.Path() && routes[r.URL.Path] == nil {
				http.NotFound(w, r)
				return
			}
			decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
			if decision.Reply != nil {
				decision.WriteReply(w)
				return
			}
			decision.SetHeader(w.Header())
			handler.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), decision.Session)))
		})}
		go server.Serve(listener) //nolint:errcheck // it ends with Close
		return func() { _ = server.Close() }
	})
}
