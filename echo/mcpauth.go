// Package mcpauthecho protects MCP servers under echo with a [mcpauth.ResourceServer]. It carries decisions; package
// mcpauth makes them.
package mcpauthecho

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods that echo knows, and serves its metadata.
// Everything else that root serves stays open. A stream of the endpoint ends with its token
// ([mcpauth.ResourceServer.EndWithToken]).
//
// Mount panics when rs or handler is nil, or when one of the routes is there already: echo would replace it silently, as it
// does with Mount's when the same route is registered after it.
// Keep echo's middleware.Timeout away from the endpoint. It can't stream, and panics where no Recover can catch it.
func Mount(root *echo.Echo, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthecho: nil handler")
	}
	add(root, rs.Path(), echo.WrapHandler(rs.EndWithToken(handler)), Middleware(rs))
	MountMetadata(root, rs)
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed beside
// [Middleware] in a group or on single routes; on the root Middleware answers the metadata itself. It takes the Echo,
// because the metadata belongs to the root of the origin, and panics like [Mount].
func MountMetadata(root *echo.Echo, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	for _, route := range rs.MetadataRoutes() {
		add(root, route.Path, func(c echo.Context) error {
			decision := mcpauth.Decision{Reply: route.Reply(c.Request().Method)}
			decision.WriteReply(c.Response())
			return nil
		})
	}
}

// Middleware answers every request that rs refuses, and calls the next handler for the others, with the session in the
// context of c.Request().
//
// With e.Use it is enough by itself: it answers the metadata paths, and guards all else, unknown routes included. In a
// group or on one route it needs [MountMetadata] beside it, and the route has to take all methods (Any), or CORS
// preflights never reach it. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) echo.MiddlewareFunc {
	mustBeSet(rs)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
			if decision.Reply != nil {
				decision.WriteReply(c.Response())
				return nil
			}
			decision.SetHeader(c.Response().Header())
			c.SetRequest(r.WithContext(mcpauth.NewContext(r.Context(), decision.Session)))
			return next(c)
		}
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c echo.Context) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Request().Context())
}

// add registers a route for all methods that no other has.
func add(root *echo.Echo, path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) {
	for _, route := range root.Routes() {
		if "/"+strings.TrimPrefix(route.Path, "/") == path {
			panic("mcpauthecho: " + route.Method + " " + path + " is registered twice")
		}
	}
	root.Any(path, handler, middleware...)
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthecho: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
