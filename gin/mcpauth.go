// Package mcpauthgin protects MCP servers under gin with a [mcpauth.ResourceServer]. It carries decisions; package
// mcpauth makes them.
package mcpauthgin

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods that gin knows, and serves its metadata.
// Everything else that root serves stays open. What happens to a request is described at [mcpauth.ResourceServer.Serve].
//
// The same paths with a slash at the end get 404: gin would redirect them, to a place that the X-Forwarded-Prefix header
// of the request chooses, before any middleware has seen them. A route of yours for such a path, or a wildcard below the
// endpoint, such as /mcp/*rest, has to be registered before Mount, and gets them then.
//
// If BaseURL has a path, which a proxy in front is to strip, the endpoint's path with it in front answers 404, and logs the
// cure, unless root has a route for it already, such as /:stage/mcp.
//
// Mount panics when rs or handler is nil and, as gin does, when a route is registered twice.
func Mount(root *gin.Engine, rs *mcpauth.ResourceServer, handler http.Handler) {
	add := register(root)
	rs.RegisterRoutes(handler, func(path string, handler http.Handler) {
		if path != rs.UnstrippedPath() || !rs.UnstrippedPathIsTaken(patterns(root)) {
			add(path, handler)
		}
	})
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] in a group or on single routes; on the root Middleware answers the metadata itself. It takes the engine,
// because the metadata belongs to the root of the origin. Slashes at the end and panics are as for [Mount].
func MountMetadata(root *gin.Engine, rs *mcpauth.ResourceServer) {
	rs.RegisterMetadata(register(root))
}

// Middleware aborts every request that rs refuses, and lets the others go on, as [mcpauth.ResourceServer.Serve] describes.
// Until the handlers behind it have returned, c.Request carries the session; from then on c.Request and c.Writer are what
// they were before.
//
// With engine.Use it is enough by itself: it answers the metadata paths, and guards all else, unknown routes included.
// But gin redirects paths that only lack or have a slash at the end, or differ in case with RedirectFixedPath, before any
// middleware runs: set engine.RedirectTrailingSlash to false.
//
// In a group or on one route it needs [MountMetadata] in addition, and the route has to take all methods (Any): gin runs
// no middleware for a method that a route lacks, and CORS preflights would get 404. A group guards its routes, not what
// they serve: the same file may have another path on a static route that is open, such as /admin%2Fsecret.txt. It panics
// when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) gin.HandlerFunc {
	serve := mcpauth.ServeVisits(rs, (*visit).enter)
	return func(c *gin.Context) {
		if serve(c.Writer, c.Request, visit{ResponseWriter: c.Writer, c: c}) == nil {
			c.Abort()
		}
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c *gin.Context) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Request.Context())
}

// patterns are those of all routes.
func patterns(root *gin.Engine) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, route := range root.Routes() {
			if !yield(route.Path) {
				return
			}
		}
	}
}

// register returns a function that registers a handler for all methods, and 404 for the same path with a slash at the end:
// gin would redirect each method that lacks a route for it.
func register(root *gin.Engine) func(path string, handler http.Handler) {
	return func(path string, handler http.Handler) {
		mustFit(root, path)
		root.Any(path, gin.WrapH(handler))
		if path != "/" {
			refuseTwin(root, path, path+"/")
		}
	}
}

// anyMethods are those of gin's Any.
var anyMethods = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodHead, http.MethodOptions,
	http.MethodDelete, http.MethodConnect, http.MethodTrace,
}

// mustFit panics when gin would, for a path that it can't register for all methods. gin would have registered some of them by
// then.
func mustFit(root *gin.Engine, path string) {
	for _, route := range root.Routes() {
		before, _, isCatchAll := strings.Cut(route.Path, "*")
		conflicts := route.Path == path || isCatchAll && strings.HasPrefix(path, before)
		if conflicts && slices.Contains(anyMethods, route.Method) {
			panic("mcpauthgin: " + path + " can't be registered: " + route.Method + " " + route.Path + " has it already")
		}
	}
}

func refuseTwin(root *gin.Engine, path, twin string) {
	users := make(map[string]bool) // the methods for which the user has a route there
	for _, route := range root.Routes() {
		if route.Path == twin || strings.HasPrefix(route.Path, twin+"*") {
			users[route.Method] = true
		}
	}
	for _, route := range root.Routes() {
		if route.Path == path && !users[route.Method] {
			root.Handle(route.Method, twin, gin.WrapH(notFound))
		}
	}
}

// notFound leaves a connection as quickly as a refusal does.
var notFound = &mcpauth.Reply{
	Status: http.StatusNotFound,
	Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
	Body:   []byte("404 page not found"),
}
