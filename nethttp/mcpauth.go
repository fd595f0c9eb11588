// Package mcpauthhttp protects MCP servers under net/http, and under every router that takes http.Handlers (chi, gorilla
// and the like), with a [mcpauth.ResourceServer]. It carries decisions; package mcpauth makes them.
package mcpauthhttp

import (
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A Router is what the routes are registered with: an *http.ServeMux, a chi.Router.
type Router interface {
	Handle(pattern string, handler http.Handler)
}

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else that
// root serves stays open. A stream of the endpoint ends with its token ([mcpauth.ResourceServer.EndWithToken]).
//
// root has to be the router of the whole origin, because the metadata routes belong to its root. Mount panics when rs or
// handler is nil and, as http.ServeMux does, when a route is registered twice.
func Mount(root Router, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthhttp: nil handler")
	}
	protected := guard(rs, func(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) {
		rs.Serve(w, r, session, handler)
	})
	if rs.Path() == "/" { // which http.ServeMux takes for a prefix
		endpoint := protected
		protected = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				http.NotFound(w, r)
				return
			}
			endpoint.ServeHTTP(w, r)
		})
	}
	root.Handle(rs.Path(), protected)
	MountMetadata(root, rs)
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed beside
// [Middleware] on single routes; around a whole router Middleware answers the metadata itself. root is as for [Mount].
func MountMetadata(root Router, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	for _, route := range rs.MetadataRoutes() {
		root.Handle(route.Path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			decision := mcpauth.Decision{Reply: route.Reply(r.Method)}
			decision.WriteReply(w)
		}))
	}
}

// Middleware refuses every request that rs refuses, and runs next for the others, with the session in the request's
// context.
//
// Around a whole router it is enough by itself: it answers the metadata paths, and guards all else. On one route it
// needs [MountMetadata] beside it, and the route has to take all methods, or CORS preflights never reach it. It panics
// when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) func(next http.Handler) http.Handler {
	mustBeSet(rs)
	return func(next http.Handler) http.Handler {
		return guard(rs, func(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) {
			next.ServeHTTP(w, r.WithContext(mcpauth.NewContext(r.Context(), session)))
		})
	}
}

// guard refuses every request that rs refuses, and runs allowed for the others.
func guard(rs *mcpauth.ResourceServer, allowed func(w http.ResponseWriter, r *http.Request, session *mcpauth.Session)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
		if decision.Reply != nil {
			decision.WriteReply(w)
			return
		}
		decision.SetHeader(w.Header())
		allowed(w, r, decision.Session)
	})
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(r *http.Request) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(r.Context())
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthhttp: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
