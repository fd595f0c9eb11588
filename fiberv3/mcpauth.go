// Package mcpauthfiberv3 protects MCP servers under Fiber v3 with a [mcpauth.ResourceServer]. It carries decisions;
// package mcpauth makes them. MCP servers are http.Handlers: [Handler] is the bridge that runs them under Fiber. What is
// hard about fasthttp is in package mcpauthfasthttp.
package mcpauthfiberv3

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else that
// app serves stays open. handler runs behind [Handler]; what happens to a request is described at
// [mcpauth.ResourceServer.Serve]. Where Fiber takes other spellings for the same route, as it does with /MCP and
// /mcp/ by default, they are not the endpoint: the next route gets them.
//
// If BaseURL has a path, which a proxy in front is to strip, a request for the endpoint with that path in front goes to the next
// route, and the cure is logged.
//
// app has to serve the whole origin, because the metadata routes belong to its root. Mount also does what
// [mcpauthfasthttp.Protect] does, whatever the route: app refuses requests whose framing is ambiguous, closes connections on
// which the body of a request was left unread, and answers a request for the endpoint that is refused, and announces a body
// without sending it, after 1 s. Mount has to be called before app serves. It panics when rs or handler is nil, and when one
// of its routes is registered already, which Fiber would not mention.
func Mount(app *fiber.App, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthfiberv3: nil handler")
	}
	endpoint := rs.Endpoint(handler)
	handleExactly(app, rs.Path(), rs.Path()+" is registered already", guard(endpoint, Handler(endpoint)))
	mountMetadata(app, rs, endpoint, rs.Path())
	if unstripped := rs.UnstrippedPath(); unstripped != "" {
		app.Use(unstripped, func(c fiber.Ctx) error {
			if c.Path() == unstripped {
				rs.LogUnstripped(c.Context())
			}
			return c.Next()
		})
	}
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] on single routes and groups; on a whole app Middleware answers the metadata itself. app and the panics are
// as for [Mount].
func MountMetadata(app *fiber.App, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	mountMetadata(app, rs, rs)
}

func mountMetadata(app *fiber.App, rs *mcpauth.ResourceServer, early mcpauthfasthttp.Decider, paths ...string) {
	for _, route := range rs.MetadataRoutes() {
		handleExactly(app, route.Path, route.Taken(), guard(rs, fiber.Ctx.Next)) // which answers it itself
		paths = append(paths, route.Path)
	}
	mcpauthfasthttp.Protect(app.Server(), early, paths...)
}

// Middleware refuses every request that rs refuses, and lets the others go on, with the session in c.Context().
//
// On a whole app, app.Use(Middleware(rs)), it is enough by itself: it answers the metadata paths, and guards all routes
// that are registered after it. On one route it needs [MountMetadata] in addition, and the route has to take all
// methods, as app.All does, or CORS preflights never reach it. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) fiber.Handler {
	mustBeSet(rs)
	return guard(rs, fiber.Ctx.Next)
}

func guard(rs mcpauthfasthttp.Decider, next fiber.Handler) fiber.Handler {
	return func(c fiber.Ctx) error {
		return mcpauthfasthttp.Guard(c.Context(), c.RequestCtx(), rs, c.Path(), func(ctx context.Context) error {
			c.SetContext(ctx)
			return next(c)
		})
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c fiber.Ctx) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.Context())
}

// Handler runs an http.Handler, such as an MCP server, under Fiber. Use it also where Fiber takes an http.Handler for a
// route: there Fiber's own adaptor runs it, under which the handler's context is an object that the next requests reuse, so
// that [mcpauth.SessionFromContext] finds no session, and other values are those of somebody else's request.
//
// What a request, a response and their end are is described at [mcpauthfasthttp.Bridge]. The request's context is a child
// of c.Context(), and not c itself, and its path the one that Fiber has routed. The Fiber handler returns at the first
// Flush. The app's ErrorHandler gets fiber.ErrBadRequest for a target that is not a URL, and fiber.ErrInternalServerError
// after a panic. Handler panics when handler is nil.
func Handler(handler http.Handler) fiber.Handler {
	bridge := mcpauthfasthttp.NewBridge(handler)
	return func(c fiber.Ctx) error {
		switch err := bridge.Serve(c.Context(), c.RequestCtx()); {
		case errors.Is(err, mcpauthfasthttp.ErrBadTarget):
			return fiber.ErrBadRequest
		case err != nil:
			return fiber.ErrInternalServerError
		}
		return nil
	}
}

// handleExactly registers a handler for all methods, and for no path but the given one, whatever app's routes ignore.
func handleExactly(app *fiber.App, path, mistake string, handler fiber.Handler) {
	taken := func(by string) bool { // whatever app ignores: two that only differ in case are a mistake, too
		return strings.EqualFold(strings.TrimRight(by, "/"), strings.TrimRight(path, "/"))
	}
	for _, route := range app.GetRoutes(true) {
		if taken(route.Path) {
			panic("mcpauthfiberv3: " + mistake + " (" + route.Method + " " + route.Path + ")")
		}
	}
	app.All(path, func(c fiber.Ctx) error {
		if c.Path() != path {
			return c.Next()
		}
		return handler(c)
	})
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthfiberv3: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
