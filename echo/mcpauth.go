// Package mcpauthecho protects MCP servers under echo with a [mcpauth.ResourceServer]. It carries decisions; package
// mcpauth makes them.
package mcpauthecho

import (
	"iter"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A Router is an *echo.Echo, or what its method Host returns for one of its virtual hosts. Nothing can
// be mounted on a group with a prefix.
type Router interface {
	Any(path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) []*echo.Route
}

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods that echo knows, and serves its metadata.
// Everything else that root serves stays open. What happens to a request is described at [mcpauth.ResourceServer.Serve].
//
// An Echo does not serve its own routes on its virtual hosts: mount on each of those that are to have the endpoint, with
// the group that e.Host returned.
//
// If BaseURL has a path, which a proxy in front is to strip, the endpoint's path with it in front answers 404, and logs the
// cure, unless root has a route for it already, such as /:stage/mcp. That is so for an Echo, and not for its virtual hosts.
//
// Mount panics when rs or handler is nil, when root is a group with a prefix, and when one of the routes is there already:
// echo would replace it silently, as it does with Mount's when the same route is registered after it, and, on a virtual
// host, before it.
//
// Keep echo's middleware.Timeout away from the endpoint. It can't stream, and panics where no Recover can catch it.
func Mount(root Router, rs *mcpauth.ResourceServer, handler http.Handler) {
	add := register(root)
	rs.RegisterRoutes(handler, func(path string, handler http.Handler) {
		if e, tells := root.(*echo.Echo); path != rs.UnstrippedPath() || tells && !rs.UnstrippedPathIsTaken(patterns(e)) {
			add(path, handler)
		}
	})
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] in a group or on single routes; on the root Middleware answers the metadata itself. root, which has to
// serve the root of the origin, and the panics are as for [Mount].
func MountMetadata(root Router, rs *mcpauth.ResourceServer) {
	rs.RegisterMetadata(register(root))
}

// Middleware answers every request that rs refuses, and calls the next handler for the others, as
// [mcpauth.ResourceServer.Serve] describes. Until that handler has returned, c.Request() carries the session; from then
// on request and response are what they were before.
//
// With e.Use it is enough by itself: it answers the metadata paths, and guards all else, unknown routes included. In a
// group or on one route it needs [MountMetadata] in addition, and the route has to take all methods (Any), or CORS
// preflights never reach it. A group guards its routes, not what they serve: the same file or upstream may have another
// path on a static or proxy route that is open, such as /admin%2Fsecret.txt. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) echo.MiddlewareFunc {
	serve := mcpauth.ServeVisits(rs, (*visit).enter)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			v := serve((*response)(c.Response()), c.Request(), visit{c: c, next: next})
			if v == nil {
				return nil
			}
			return v.err
		}
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c echo.Context) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Request().Context())
}

// patterns are those of all routes, but for those that echo adds to each group with a middleware, to answer 404.
func patterns(e *echo.Echo) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, route := range e.Routes() {
			if route.Method != echo.RouteNotFound && !yield("/"+strings.TrimPrefix(route.Path, "/")) {
				return
			}
		}
	}
}

// register returns a function that registers a handler for all methods of a path that no other has.
func register(root Router) func(path string, handler http.Handler) {
	return func(path string, handler http.Handler) {
		if e, ok := root.(*echo.Echo); ok {
			for _, route := range e.Routes() {
				if "/"+strings.TrimPrefix(route.Path, "/") == path {
					panic("mcpauthecho: " + route.Method + " " + path + " is registered already")
				}
			}
		}
		serve := func(c echo.Context) error {
			handler.ServeHTTP((*response)(c.Response()), c.Request())
			return nil
		}
		for _, route := range root.Any(path, serve) {
			if route.Path != path {
				panic("mcpauthecho: " + path + " became " + route.Path + "; mount on the Echo or on a host, not on a group with a prefix")
			}
		}
	}
}
