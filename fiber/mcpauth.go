// Package mcpauthfiber protects MCP servers under Fiber v2 with a [mcpauth.ResourceServer]. It carries decisions;
// package mcpauth makes them. MCP servers are http.Handlers: [Handler] is the bridge that runs them under Fiber.
package mcpauthfiber

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Mount protects the MCP endpoint at exactly rs.Path(), for all methods, and serves its metadata. Everything else that
// app serves stays open. handler runs behind [Handler], and a stream of it ends with its token
// ([mcpauth.ResourceServer.Serve]). Where Fiber takes other spellings for the same route, as it does with /MCP and
// /mcp/ by default, they are not the endpoint: the next route gets them.
//
// app has to serve the whole origin, because the metadata routes belong to its root. Mount also makes app close
// connections on which the body of a request was left unread, whatever the route. It panics when rs or handler is nil,
// and when one of its routes is registered already, which Fiber would not mention.
func Mount(app *fiber.App, rs *mcpauth.ResourceServer, handler http.Handler) {
	mustBeSet(rs)
	if handler == nil {
		panic("mcpauthfiber: nil handler")
	}
	handleExactly(app, rs.Path(), guard(rs, Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rs.Serve(w, r, handler.ServeHTTP)
	}))))
	MountMetadata(app, rs)
}

// MountMetadata serves the protected resource metadata (RFC 9728), without authentication. It is needed beside
// [Middleware] on single routes and groups; on a whole app Middleware answers the metadata itself. app and the panics are
// as for [Mount].
func MountMetadata(app *fiber.App, rs *mcpauth.ResourceServer) {
	mustBeSet(rs)
	for _, route := range rs.MetadataRoutes() {
		handleExactly(app, route.Path, func(c *fiber.Ctx) error {
			decision := rs.Authenticate(c.UserContext(), mcpauth.Request{Method: c.Method(), Path: route.Path})
			return send(c, &decision)
		})
	}
	closeAllUnread(app)
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
		ctx := c.UserContext()
		lines := linesOf(&c.Request().Header)
		decision := rs.Authenticate(ctx, mcpauth.Request{Method: c.Method(), Path: c.Path(), Header: lines.get})
		lines.release()
		if decision.Reply != nil {
			return send(c, &decision)
		}
		setHeader(c, decision.Header)
		ctx, end := decision.NewContext(ctx)
		defer func() { _ = end.Close() }()
		c.SetUserContext(ctx)
		err := next(c)
		closeUnread(c.Context())
		return err
	}
}

// Session returns the session of a request behind the middleware, or [mcpauth.ErrNoSession].
func Session(c *fiber.Ctx) (*mcpauth.Session, error) {
	return mcpauth.SessionFromContext(c.UserContext())
}

func send(c *fiber.Ctx, decision *mcpauth.Decision) error {
	setHeader(c, decision.Header)
	setHeader(c, decision.Reply.Header)
	c.Status(decision.Reply.Status).Response().Header.SetNoDefaultContentType(true)
	respond(c.Context(), decision.Reply.Body, discard(c.Context()))
	return nil
}

// setHeader is [mcpauth.Decision.SetHeader] for Fiber.
func setHeader(c *fiber.Ctx, set http.Header) {
	header := &c.Response().Header
	for name, values := range set { // first, because newer fasthttp changes the order of the others
		if name != fiber.HeaderVary || len(values) == 0 {
			header.Del(name)
		}
	}
	for name, values := range set {
		for _, value := range values {
			header.Add(name, value)
		}
	}
}

// handleExactly registers a handler for all methods, and for no path but the given one, whatever app's routes ignore.
func handleExactly(app *fiber.App, path string, handler fiber.Handler) {
	taken := func(by string) bool { // whatever app ignores: two that only differ in case are a mistake, too
		return strings.EqualFold(strings.TrimRight(by, "/"), strings.TrimRight(path, "/"))
	}
	for _, route := range app.GetRoutes(true) {
		if taken(route.Path) {
			panic("mcpauthfiber: " + path + " is registered already: " + route.Method + " " + route.Path)
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
