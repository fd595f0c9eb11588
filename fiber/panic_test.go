package mcpauthfiber_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
)

// TestErrorsOfTheBridge are the app's own, to be answered by its ErrorHandler.
func TestErrorsOfTheBridge(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.ErrorHandler = func(c *fiber.Ctx, err error) error { return c.Status(http.StatusTeapot).SendString(err.Error()) }
	app := fiber.New(cfg)
	app.Use(mcpauthfiber.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })))
	addr := serve(t, app)
	for target, want := range map[string]string{"/": "Internal Server Error", "/%zz": "Bad Request"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := conn.Answer("GET"); resp.StatusCode != http.StatusTeapot || body != want {
			t.Errorf("%s: %d %q, want %q", target, resp.StatusCode, body, want)
		}
	}
}

// smuggled is a body that would be an answered request, were it taken for one.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// TestR86UnreadBodyOfAPanic: a handler that panics has not read its body, and a middleware in front answers for it.
func TestR86UnreadBodyOfAPanic(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.Get("/smuggled", func(*fiber.Ctx) error {
		t.Error("a body was taken for a request")
		return nil
	})
	app.Use(recover.New(), mcpauthfiber.Middleware(rs))
	app.Post("/own", func(*fiber.Ctx) error { panic("x") })
	addr := serve(t, app)
	for _, size := range []int{8 << 10, 300_000} {
		body := strings.Repeat("x", size) + smuggled
		conn := bridgetest.Dial(t, addr)
		_, _ = fmt.Fprintf(conn.Conn, "POST /own HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", env.Token(nil), len(body), body)
		if half, ok := conn.Conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		if resp, _ := conn.Answer("POST"); resp.StatusCode != http.StatusInternalServerError {
			t.Errorf("%d bytes: %+v", size, resp)
		}
		if rest, err := io.ReadAll(conn.From); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes: %q follows, %v", size, rest, err)
		}
	}
}
