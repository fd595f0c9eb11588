package mcpauthfiberv3_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/recover"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
)

// TestR85SessionEndsWithTheResponse: in the context of a request it is there until the response is finished, streams
// included, and gone then, however the handler ended.
func TestR85SessionEndsWithTheResponse(t *testing.T) {
	t.Parallel()
	rs, env := newServer(t, "")
	contexts, streamed := make(chan context.Context, 1), make(chan error, 1)
	type ownKey struct{}
	app := fiber.New(config())
	app.Use(recover.New(), func(c fiber.Ctx) error {
		c.SetContext(context.WithValue(c.Context(), ownKey{}, "kept"))
		return c.Next()
	}, mcpauthfiberv3.Middleware(rs))
	app.Get("/twice", mcpauthfiberv3.Middleware(rs.WithRequiredScopes()), func(c fiber.Ctx) error {
		contexts <- c.Context()
		return nil
	})
	app.Get("/plain", func(c fiber.Ctx) error {
		contexts <- c.Context()
		return nil
	})
	app.Get("/panic", func(c fiber.Ctx) error {
		contexts <- c.Context()
		panic("x")
	})
	app.Get("/derived", func(c fiber.Ctx) error {
		ctx, cancel := context.WithCancel(c.Context())
		defer cancel()
		c.SetContext(context.WithoutCancel(ctx))
		contexts <- ctx
		return nil
	})
	app.Get("/stream", func(c fiber.Ctx) error {
		ctx := c.Context()
		c.RequestCtx().SetBodyStreamWriter(func(w *bufio.Writer) {
			_, _ = w.WriteString("data: 1\n\n")
			_ = w.Flush()
			_, err := mcpauth.SessionFromContext(ctx)
			streamed <- err
			contexts <- ctx
		})
		return nil
	})
	app.Get("/bridged", mcpauthfiberv3.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		_, err := mcpauth.SessionFromContext(r.Context())
		streamed <- err
		_, _ = io.WriteString(w, "x")
		contexts <- r.Context()
	})))
	addr := serve(t, app)
	for _, path := range []string{"/plain", "/twice", "/panic", "/derived", "/stream", "/bridged"} {
		conn := dial(t, addr)
		for range 2 {
			conn.write("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
			conn.response("GET")
			if path == "/stream" || path == "/bridged" {
				if err := <-streamed; err != nil {
					t.Errorf("%s: during the stream: %v", path, err)
				}
			}
			ctx := <-contexts
			conn.write("GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n") // fasthttp has finished the one before
			conn.response("GET")
			if session, err := mcpauth.SessionFromContext(ctx); session != nil || !errors.Is(err, mcpauth.ErrNoSession) {
				t.Errorf("%s: after the response: %v, %v", path, session, err)
			}
			if ctx.Value(ownKey{}) != "kept" {
				t.Errorf("%s: a value of a handler in front is gone", path)
			}
		}
	}
}

// TestR85SessionOfADroppedStream ends with its connection.
func TestR85SessionOfADroppedStream(t *testing.T) {
	t.Parallel()
	rs, env := newServer(t, "")
	contexts := make(chan context.Context, 1)
	app := fiber.New(config())
	app.Use(mcpauthfiberv3.Middleware(rs), func(c fiber.Ctx) error {
		contexts <- c.Context()
		c.RequestCtx().SetBodyStreamWriter(func(w *bufio.Writer) {
			for {
				_, _ = w.WriteString("data: 1\n\n")
				if w.Flush() != nil {
					return
				}
			}
		})
		return nil
	})
	conn := dial(t, serve(t, app))
	conn.write("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
	if _, err := conn.from.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ctx := <-contexts
	_ = conn.Close()
	if err := app.ShutdownWithTimeout(5 * time.Second); err != nil { // waits for the connection's end
		t.Fatal(err)
	}
	if _, err := mcpauth.SessionFromContext(ctx); !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("after the connection's end: %v", err)
	}
}
