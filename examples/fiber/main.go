// Command fiber is an MCP server under fiber that answers only to people who signed in with Scalekit.
//
//	go run ./examples/fiber
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

func main() { app.Main(serve) }

func serve(a *app.App) error {
	policy, err := tools.Policy(a.Public) // in addition to what every request needs
	if err != nil {
		return err
	}
	a.Config.Policy = policy
	rs, err := mcpauth.New(a.Config)
	if err != nil {
		return err
	}
	server := tools.New(rs, a.Logger)
	mcpauthgosdk.Hide(server, policy)
	handler := mcpauthgosdk.Handler(rs, a.Streamable(server)) // goes to Mount as it is

	router := fiber.New(fiber.Config{
		ReadBufferSize:               32 << 10,    // a token may have 16 KiB; fiber's own 4 KiB answer 431
		StreamRequestBody:            true,        // who is asking comes before the body
		DisablePreParseMultipartForm: true,        // likewise
		ReadTimeout:                  time.Minute, // of a request with its body; it cuts no streams
		IdleTimeout:                  2 * time.Minute,
		DisableStartupMessage:        true,
	})
	router.Use(recover.New())
	mcpauthfiber.Mount(router, rs, handler) // the endpoint and its metadata; everything else stays open
	router.Get("/healthz", func(c *fiber.Ctx) error {
		if err := rs.Ready(c.UserContext()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			return fiber.ErrServiceUnavailable
		}
		return c.SendString("ok\n")
	})
	return a.Run(router.Listener, router.ShutdownWithContext)
}
