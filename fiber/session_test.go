package mcpauthfiber_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
)

// TestR85SessionEndsWithTheResponse: in the context of a request it is there until the response is finished, streams
// included, and gone then, however the handler ended.
func TestR85SessionEndsWithTheResponse(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	contexts, streamed := make(chan context.Context, 1), make(chan error, 1)
	app := fiber.New(config())
	app.Use(recover.New(), func(c *fiber.Ctx) error {
		c.SetUserContext(context.WithValue(c.UserContext(), bridgetest.OwnKey{}, "kept"))
		return c.Next()
	}, mcpauthfiber.Middleware(rs))
	app.Get("/twice", mcpauthfiber.Middleware(rs.WithRequiredScopes()), func(c *fiber.Ctx) error {
		contexts <- c.UserContext()
		return nil
	})
	app.Get("/plain", func(c *fiber.Ctx) error {
		contexts <- c.UserContext()
		return nil
	})
	app.Get("/panic", func(c *fiber.Ctx) error {
		contexts <- c.UserContext()
		panic("x")
	})
	app.Get("/derived", func(c *fiber.Ctx) error {
		ctx, cancel := context.WithCancel(c.UserContext())
		defer cancel()
		c.SetUserContext(context.WithoutCancel(ctx))
		contexts <- ctx
		return nil
	})
	app.Get("/stream", func(c *fiber.Ctx) error {
		ctx := c.UserContext()
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			_, _ = w.WriteString("data: 1\n\n")
			_ = w.Flush()
			_, err := mcpauth.SessionFromContext(ctx)
			streamed <- err
			contexts <- ctx
		})
		return nil
	})
	app.Get("/bridged", mcpauthfiber.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, err := mcpauth.SessionFromContext(r.Context())
		streamed <- err
		_, _ = io.WriteString(w, "x")
		contexts <- r.Context()
	})))
	bridgetest.SessionsEnd(t, serve(t, app), env.Token(nil), []string{"/plain", "/twice", "/panic", "/derived"}, []string{"/stream", "/bridged"}, contexts, streamed)
}

// TestR85SessionOfADroppedStream ends with its connection.
func TestR85SessionOfADroppedStream(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	contexts := make(chan context.Context, 1)
	app := fiber.New(config())
	app.Use(mcpauthfiber.Middleware(rs), func(c *fiber.Ctx) error {
		contexts <- c.UserContext()
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			for {
				_, _ = w.WriteString("data: 1\n\n")
				if w.Flush() != nil {
					return
				}
			}
		})
		return nil
	})
	bridgetest.SessionOfADroppedStream(t, serve(t, app), env.Token(nil), contexts, func() error { return app.ShutdownWithTimeout(5 * time.Second) })
}
