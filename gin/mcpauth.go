// Package mcpauthgin protects MCP servers under gin with a [mcpauth.ResourceServer]. It carries decisions; package
// mcpauth makes them.
package mcpauthgin

import (
	"net/http"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods that gin knows, and serves its metadata.
// Everything else that root serves stays open. A stream of the endpoint ends with its token
// ([mcpauth.ResourceServer.EndWithToken]).
//
// Mount panics when rs or handler is nil and, as gin does, when a route is registered twice.
func Mount(root *gin.Engine, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthgin: nil handler")
	}
	root.Any(rs.Path(), Middleware(rs), gin.WrapH(rs.EndWithToken(handler)))
	MountMetadata(root, rs)
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed beside
// [Middleware] in a group or on single routes; on the root Middleware answers the metadata itself. It takes the engine,
// because the metadata belongs to the root of the origin.
func MountMetadata(root *gin.Engine, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	for _, route := range rs.MetadataRoutes() {
		root.Any(route.Path, func(c *gin.Context) {
			decision := mcpauth.Decision{Reply: route.Reply(c.Request.Method)}
			decision.WriteReply(c.Writer)
		})
	}
}

// Middleware aborts every request that rs refuses, and lets the others go on, with the session in the context of
// c.Request.
//
// With engine.Use it is enough by itself: it answers the metadata paths, and guards all else, unknown routes included.
// In a group or on one route it needs [MountMetadata] beside it, and the route has to take all methods (Any): gin runs
// no middleware for a method that a route lacks, and CORS preflights would get 404. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) gin.HandlerFunc {
	mustBeSet(rs)
	return func(c *gin.Context) {
		r := c.Request
		decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
		if decision.Reply != nil {
			c.Abort()
			decision.WriteReply(c.Writer)
			return
		}
		decision.SetHeader(c.Writer.Header())
		c.Request = r.WithContext(mcpauth.NewContext(r.Context(), decision.Session))
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c *gin.Context) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Request.Context())
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthgin: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
