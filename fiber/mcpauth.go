// Package mcpauthfiber protects MCP servers under Fiber v2 with a [mcpauth.ResourceServer]. It carries decisions;
// package mcpauth makes them. MCP servers are http.Handlers: [Handler] is the bridge that runs them under Fiber.
package mcpauthfiber

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else that
// app serves stays open. handler runs behind [Handler]; what happens to a request is described at
// [mcpauth.ResourceServer.Serve]. Where Fiber takes other spellings for the same route, as it does with /MCP and
// /mcp/ by default, they are not the endpoint: the next route gets them.
//
// app has to serve the whole origin, because the metadata routes belong to its root. Mount also makes app refuse requests
// whose framing is ambiguous (RFC 9112 section 6), and close connections on which the body of a request was left unread,
// whatever the route: one request's body must not become another request. A request for the endpoint that is denied, and
// announces a body without sending it, is answered after 1 s, and its connection closed. Mount has to be called before app
// serves. It panics when rs or handler is nil, and when one of its routes is
// registered already, which Fiber would not mention.
func Mount(app *fiber.App, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthfiber: nil handler")
	}
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, handler.ServeHTTP) })
	handleExactly(app, rs.Path(), rs.Path()+" is registered already", guard(rs, Handler(inside)))
	mountMetadata(app, rs, rs.Path())
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed in addition to
// [Middleware] on single routes and groups; on a whole app Middleware answers the metadata itself. app and the panics are
// as for [Mount].
func MountMetadata(app *fiber.App, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	mountMetadata(app, rs)
}

func mountMetadata(app *fiber.App, rs *mcpauth.ResourceServer, paths ...string) {
	for _, route := range rs.MetadataRoutes() {
		handleExactly(app, route.Path, route.Taken(), func(c *fiber.Ctx) error {
			if a := arrive(c.Context()); a&refused == 0 {
				decision := rs.Authenticate(c.UserContext(), mcpauth.Request{Method: c.Method(), Path: route.Path})
				writeReply(c.Context(), &decision, discard(c.Context(), a))
			}
			return nil
		})
		paths = append(paths, route.Path)
	}
	protect(app.Server(), rs, paths)
}

// Middleware refuses every request that rs refuses, and lets the others go on, with the session in c.UserContext().
//
// On a whole app, app.Use(Middleware(rs)), it is enough by itself: it answers the metadata paths, and guards all routes
// that are registered after it. On one route it needs [MountMetadata] beside it, and the route has to take all methods,
// as app.All does, or CORS preflights never reach it. It panics when rs is nil.
func Middleware(rs *mcpauth.ResourceServer) fiber.Handler {
	mustBeSet(rs)
	return guard(rs, (*fiber.Ctx).Next)
}

func guard(rs *mcpauth.ResourceServer, next fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		a := arrive(c.Context())
		if a&refused != 0 {
			return nil
		}
		outer := c.UserContext()
		decision, ok := decided(c.Context(), rs, c.Path())
		if !ok {
			lines := linesOf(&c.Request().Header)
			decision = rs.Authenticate(outer, mcpauth.Request{Method: c.Method(), Path: c.Path(), Header: lines.get})
			lines.release()
		}
		if decision.Reply != nil {
			writeReply(c.Context(), &decision, discard(c.Context(), a))
			settle(c.Context(), arrive(c.Context()))
			return nil
		}
		answer := cors(&c.Response().Header, &decision)
		ctx, end := decision.NewContext(outer)
		c.Context().SetUserValue(end, end) // fasthttp closes it when the response was written
		c.SetUserContext(ctx)
		defer func() { // after a panic too: a middleware in front may recover
			setCORS(&c.Response().Header, &answer)
			settle(c.Context(), arrive(c.Context()))
		}()
		return next(c)
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c *fiber.Ctx) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.UserContext())
}

// Handler runs an http.Handler, such as an MCP server, under Fiber. Use it in place of Fiber's own adaptor, under which
// the handler's context is an object that the next requests reuse: there [mcpauth.SessionFromContext] finds no session,
// and other values are those of somebody else's request.
//
// The request is a copy, with the path and the query that Fiber has routed; RequestURI is what the client sent, and
// trailers are left out. Its context is a child of c.UserContext() that is cancelled when the handler returns, the client
// disconnects or the server shuts down; it has http.LocalAddrContextKey and http.ServerContextKey. The response is
// streamed from the first Flush on, which is when the Fiber handler returns; what is not flushed is sent with a
// Content-Length, up to 256 KiB. From then on the request's body can't be read, as under net/http. A Content-Length that
// the handler sets is kept: Write returns http.ErrContentLength for what is more, and the connection is broken off when
// it was less. Headers are cleaned as net/http does. Headers that Fiber handlers in front have set are there to be
// changed.
//
// http.ResponseController sets deadlines, of the connection and for this request alone: the one for reading is about the
// request's body, and past the one for writing, Write and Flush fail and the connection is closed.
//
// A request whose framing is ambiguous (RFC 9112 section 6) is refused with 400 or 501, and its connection closed. A
// body that breaks off or is malformed is an error of Read. A panic is logged and answered with 500, or breaks off a
// stream; http.ErrAbortHandler closes the connection.
//
// Not supported: http.Hijacker, and with it websockets; EnableFullDuplex, trailers, 1xx responses. Under HTTP/1.0 a
// response is streamed only if it has a Content-Length, and for HEAD, Flush does nothing. Handler panics when handler is
// nil.
func Handler(handler http.Handler) fiber.Handler {
	if handler == nil {
		panic("mcpauthfiber: nil handler")
	}
	b := newBridge(handler)
	return func(c *fiber.Ctx) error {
		switch err := b.serve(c.UserContext(), c.Context()); {
		case errors.Is(err, errBadRequest):
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
			panic("mcpauthfiber: " + mistake + " (" + route.Method + " " + route.Path + ")")
		}
	}
	app.All(path, func(c *fiber.Ctx) error {
		if c.Path() != path {
			return c.Next()
		}
		return handler(c)
	})
}

func mustBeSet(rs *mcpauth.ResourceServer) {
	if rs == nil {
		panic("mcpauthfiber: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
}
