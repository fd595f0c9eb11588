package mcpauthfiberv3_test

import (
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // panics are provoked here
	os.Exit(m.Run())
}

// config is what the README recommends.
func config() fiber.Config {
	return fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true}
}

// serve serves app until the test ends, and returns its address.
func serve(t testing.TB, app *fiber.App) string {
	t.Helper()
	return bridgetest.Serve(t, bridgetest.Listen(t), func(listener net.Listener) error {
		return app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true})
	}, app.ShutdownWithTimeout)
}
