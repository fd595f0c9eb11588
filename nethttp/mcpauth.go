// Package mcpauthhttp protects MCP servers under net/http, and under every router that takes http.Handlers (chi, gorilla
// and the like), with a [mcpauth.ResourceServer]. It carries decisions; package mcpauth makes them.
package mcpauthhttp

import (
	"iter"
	"net/http"
	"net/url"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A Router is what the routes are registered with: an *http.ServeMux, a chi.Router. For routers of another shape, such as
// gorilla's, there is [Routes].
type Router interface {
	Handle(pattern string, handler http.Handler)
}

// methods are those for which an http.ServeMux gets a pattern each. One pattern for all methods would conflict with every
// catch-all for a single method, such as "GET /", because neither is the more specific one. GET is first, because it alone can
// conflict with a catch-all, that for HEAD: nothing is registered then.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodConnect, http.MethodDelete, http.MethodOptions, http.MethodPatch,
	http.MethodPost, http.MethodPut, http.MethodTrace,
}

// Mount protects the MCP endpoint at exactly rs.Path() and serves its metadata. Everything else that root serves stays
// open. What happens to a request is described at [mcpauth.ResourceServer.Serve].
//
// The endpoint takes all methods that root knows. An *http.ServeMux knows the nine of package net/http: a request with
// another one gets the mux's own answer, 405 or that of a catch-all route, and never reaches handler. Catch-all routes of
// any kind can be registered too, except "HEAD /" alone: with it no mux takes any route for GET.
//
// If BaseURL has a path, which a proxy in front is to strip, the endpoint's path with it in front answers 404, and logs the
// cure, unless root has a route for it already, such as /prod/ for /prod/mcp. That is so for an *http.ServeMux and for a
// chi.Router of version 5.2.0 or newer: other routers can't be asked for a route, and may replace it silently.
//
// root has to be the router of the whole origin, because the metadata routes belong to its root. Mount panics when rs or
// handler is nil, and when a route is registered already. An *http.ServeMux lets a pattern for all methods be registered
// after it, and gives it no request with one of the nine.
func Mount(root Router, rs *mcpauth.ResourceServer, handler http.Handler) {
	add := register(root)
	rs.RegisterRoutes(handler, func(path string, handler http.Handler) {
		if path != rs.UnstrippedPath() || isFree(root, path) {
			add(path, handler)
		}
	})
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] on single routes; around a whole router Middleware answers the metadata itself. root is as for [Mount].
func MountMetadata(root Router, rs *mcpauth.ResourceServer) {
	rs.RegisterMetadata(register(root))
}

// Routes returns what [Mount] registers, by path, for routers of another shape than [Router]: the endpoint, then the
// metadata, and last, if BaseURL has a path, the endpoint's path with that in front. Each path is to be matched exactly,
// for all methods. Going through them panics when rs or handler is nil. With gorilla:
//
//	for path, handler := range mcpauthhttp.Routes(rs, handler) {
//		router.Handle(path, handler)
//	}
func Routes(rs *mcpauth.ResourceServer, handler http.Handler) iter.Seq2[string, http.Handler] {
	return func(yield func(string, http.Handler) bool) {
		more := true
		rs.RegisterRoutes(handler, func(path string, handler http.Handler) { more = more && yield(path, handler) })
	}
}

// Middleware refuses every request that rs refuses, and runs next for the others, as [mcpauth.ResourceServer.Serve]
// describes.
//
// Around a whole router it is enough by itself: it answers the metadata paths, and guards all else. On one route it
// needs [MountMetadata] in addition, and the route has to take all methods, or CORS preflights never reach it. On a
// prefix it guards what the router sends there: the same file or upstream may have another path on a route that is open,
// such as /admin%2Fsecret.txt under a file server at the root. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) func(next http.Handler) http.Handler {
	return rs.RequireToken()
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(r *http.Request) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(r.Context())
}

// register returns a function that registers a handler for exactly one path.
func register(root Router) func(path string, handler http.Handler) {
	mux, ok := root.(*http.ServeMux)
	if !ok {
		return root.Handle
	}
	return func(path string, handler http.Handler) {
		pattern := path
		if path == "/" { // which is a prefix in a mux
			pattern = "/{$}"
		} else if _, taken := mux.Handler(&http.Request{Method: "ANY", URL: &url.URL{Path: path}}); taken == path {
			// The mux sees no conflict between a pattern for all methods and those for each.
			panic("mcpauthhttp: " + path + " is registered already")
		}
		for _, method := range methods { // before any is registered: a route that can't be had is left alone as a whole
			if _, taken := mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}}); taken == method+" "+pattern {
				panic("mcpauthhttp: " + taken + " is registered already")
			}
		}
		for _, method := range methods {
			mux.Handle(method+" "+pattern, handler)
		}
	}
}
