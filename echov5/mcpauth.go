// Package mcpauthechov5 protects MCP servers under echo v5 with a [mcpauth.ResourceServer]. It carries decisions; package
// mcpauth makes them. For echo v4 there is mcpauthecho.
package mcpauthechov5

import (
	"iter"
	"net/http"
	"strings"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else that root
// serves stays open. What happens to a request is described at [mcpauth.ResourceServer.Serve].
//
// root has to serve the root of the origin. The virtual hosts of echo.NewVirtualHostHandler are Echos of their own: mount on
// each of those that are to have the endpoint.
//
// If BaseURL has a path, which a proxy in front is to strip, the endpoint's path with it in front answers 404, and logs the
// cure, unless root has a route for it already, such as /:stage/mcp.
//
// Mount panics when rs or handler is nil, and when root has a route for one of the paths already. A route that is
// registered after it, for the same path and one method, gets the requests with that method, without the middleware: echo
// takes it silently.
func Mount(root *echo.Echo, rs *mcpauth.ResourceServer, handler http.Handler) {
	add := register(root)
	rs.RegisterRoutes(handler, func(path string, handler http.Handler) {
		if path != rs.UnstrippedPath() || !rs.UnstrippedPathIsTaken(patterns(root)) {
			add(path, handler)
		}
	})
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] in a group or on single routes; on the root Middleware answers the metadata itself. root and the panics are
// as for [Mount].
func MountMetadata(root *echo.Echo, rs *mcpauth.ResourceServer) {
	rs.RegisterMetadata(register(root))
}

// Middleware answers every request that rs refuses, and calls the next handler for the others, as
// [mcpauth.ResourceServer.Serve] describes. Until that handler has returned, c.Request() carries the session, and
// c.Response() is the writer that Serve hands on; from then on request and response are what they were before.
//
// With e.Use it is enough by itself: it answers the metadata paths, and guards all else, unknown routes included. In a
// group or on one route it needs [MountMetadata] in addition, and the route has to take all methods (Any), or CORS
// preflights never reach it. A group guards its routes, not what they serve: the same file or upstream may have another
// path on a static or proxy route that is open, such as /admin%2Fsecret.txt. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) echo.MiddlewareFunc {
	serve := mcpauth.ServeVisits(rs, (*visit).enter)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			v := serve(outside(c), c.Request(), visit{c: c, next: next})
			if v == nil {
				return nil
			}
			return v.err
		}
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c *echo.Context) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Request().Context())
}

// patterns are those of all routes, but for those that echo adds to each group with a middleware, to answer 404.
func patterns(root *echo.Echo) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, route := range root.Router().Routes() {
			if route.Method != echo.RouteNotFound && !yield("/"+strings.TrimPrefix(route.Path, "/")) {
				return
			}
		}
	}
}

// register returns a function that registers a handler for all methods of a path that no other has. A route for one method
// would win over it.
func register(root *echo.Echo) func(path string, handler http.Handler) {
	return func(path string, handler http.Handler) {
		for _, route := range root.Router().Routes() {
			if "/"+strings.TrimPrefix(route.Path, "/") == path {
				panic("mcpauthechov5: " + route.Method + " " + path + " is registered already")
			}
		}
		root.Any(path, func(c *echo.Context) error {
			handler.ServeHTTP(outside(c), c.Request())
			return nil
		})
	}
}
