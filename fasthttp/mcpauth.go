// Package mcpauthfasthttp protects MCP servers on plain fasthttp with a [mcpauth.ResourceServer]. It carries decisions;
// package mcpauth makes them. MCP servers are http.Handlers: [Handler] is the bridge that runs them under fasthttp.
//
// [Guard], [Bridge] and [Protect] are the parts of it, for routers on fasthttp that have a context and paths of their own.
// mcpauthfiber and mcpauthfiberv3 are made of them.
package mcpauthfasthttp

import (
	"context"
	"errors"
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else goes to
// the Handler that server had before, or is answered with 404 if it had none. handler runs behind [Handler]; what happens
// to a request is described at [mcpauth.ResourceServer.Serve]. Other spellings of the path, as /mcp/ or /%6dcp, are not the
// endpoint.
//
// If BaseURL has a path, which a proxy in front is to strip, a request for the endpoint with that path in front goes to the
// Handler of before, and the cure is logged.
//
// server has to serve the whole origin, because the metadata belongs to its root. Mount also does what [Protect] does. It
// has to be called when server's Handler, HeaderReceived and ErrorHandler are set, and before server serves. A middleware
// that is to see the endpoint's requests is put around server.Handler afterwards. Of two mounts of one path, the later one
// wins. Mount panics when rs or handler is nil.
func Mount(server *fasthttp.Server, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthfasthttp: nil handler")
	}
	endpoint := rs.Endpoint(handler)
	serve := middleware(endpoint, Handler(endpoint))
	next := handlerOf(server)
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		switch path := routedPath(ctx); {
		case path == rs.Path():
			serve(ctx)
			return
		case path != "" && path == rs.UnstrippedPath():
			rs.LogUnstripped(Context(ctx))
		}
		next(ctx)
	}
	mountMetadata(server, rs, endpoint, rs.Path())
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] on single routes; around the whole Handler of a server Middleware answers the metadata itself. server and
// the panic are as for [Mount].
func MountMetadata(server *fasthttp.Server, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	mountMetadata(server, rs, rs)
}

func mountMetadata(server *fasthttp.Server, rs *mcpauth.ResourceServer, early Decider, paths ...string) {
	metadata := make(map[string]bool)
	for _, route := range rs.MetadataRoutes() {
		metadata[route.Path] = true
		paths = append(paths, route.Path)
	}
	next := handlerOf(server)
	serve := Middleware(rs)(next) // which answers all of them itself
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		if metadata[routedPath(ctx)] {
			serve(ctx)
			return
		}
		next(ctx)
	}
	Protect(server, early, paths...)
}

// handlerOf returns what server answers requests with.
func handlerOf(server *fasthttp.Server) fasthttp.RequestHandler {
	if server.Handler != nil {
		return server.Handler
	}
	return func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNotFound) }
}

// Middleware refuses every request that rs refuses, and lets the others go on to the handler that it is put around, with
// the session in [Context].
//
// Around the Handler of a server it is enough by itself: it answers the metadata paths, and guards all else. On one route
// of a router it needs [MountMetadata] in addition, and the route has to take all methods, or CORS preflights never reach
// it. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	mustBeSet(rs)
	return func(next fasthttp.RequestHandler) fasthttp.RequestHandler { return middleware(rs, next) }
}

func middleware(rs Decider, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		_ = Guard(Context(ctx), ctx, rs, routedPath(ctx), func(inner context.Context) error {
			SetContext(ctx, inner)
			next(ctx)
			return nil
		})
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(ctx *fasthttp.RequestCtx) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(Context(ctx))
}

// Handler runs an http.Handler, such as an MCP server, under fasthttp. Use it in place of fasthttpadaptor, under which the
// handler's context is an object that the next requests reuse: there [mcpauth.SessionFromContext] finds no session, and
// other values are those of somebody else's request. What a request, a response and their end are is described at
// [Bridge]. The request's context is a child of [Context]. A target that is not a URL is answered with 400, and a panic
// with 500. Handler panics when handler is nil.
func Handler(handler http.Handler) fasthttp.RequestHandler {
	bridge := NewBridge(handler)
	return func(ctx *fasthttp.RequestCtx) {
		switch err := bridge.Serve(Context(ctx), ctx); {
		case errors.Is(err, ErrBadTarget):
			respondError(ctx, http.StatusBadRequest)
		case err != nil:
			respondError(ctx, http.StatusInternalServerError)
		}
	}
}

// respondError keeps the headers that handlers in front have set, and whether the connection has to be closed.
func respondError(ctx *fasthttp.RequestCtx, status int) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(http.StatusText(status))
}

type contextKey struct{}

// Context returns the context of a request: what [SetContext] has set, the session of [Middleware] included, or
// context.Background. It is not ctx itself, which the next request on the connection reuses.
func Context(ctx *fasthttp.RequestCtx) context.Context {
	if c, ok := ctx.UserValue(contextKey{}).(context.Context); ok {
		return c
	}
	return context.Background()
}

// SetContext makes c the context of a request: a handler in front of [Handler] hands on values in a child of [Context]. The
// session ends with the response whatever is set.
func SetContext(ctx *fasthttp.RequestCtx, c context.Context) { //nolint:revive // it belongs to ctx
	ctx.SetUserValue(contextKey{}, c)
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthfasthttp: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
