// Command fiber is an MCP server on mcp-go, under fiber, that answers only to people who signed in with Scalekit.
//
//	go run ./examples/mcpgo/fiber
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
)

func main() { app.Main(serve) }

func serve(a *app.App) error {
	rs, err := mcpauth.New(a.Config)
	if err != nil {
		return err
	}
	policy, err := mcpauth.NewPolicy(tools.Rules) // in addition to what every request needs
	if err != nil {
		return err
	}
	endpoint, err := tools.Endpoint(rs, tools.New(), a.Stateless, a.Logger)
	if err != nil {
		return err
	}

	router := fiber.New(fiber.Config{
		ReadBufferSize:               32 << 10,    // a token may have 16 KiB; fiber's own 4 KiB answer 431
		StreamRequestBody:            true,        // who is asking comes before the body
		DisablePreParseMultipartForm: true,        // likewise
		ReadTimeout:                  time.Minute, // of a request with its body; it cuts no streams
		IdleTimeout:                  2 * time.Minute,
		DisableStartupMessage:        true,
	})
	router.Use(recover.New())
	mcpauthfiber.Mount(router, rs, rs.RequireOperations(policy)(endpoint)) // everything else stays open
	router.Get("/healthz", func(c *fiber.Ctx) error {
		if err := rs.Ready(c.UserContext()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			return fiber.ErrServiceUnavailable
		}
		return c.SendString("ok\n")
	})
	err = a.Run(router.Listener, router.ShutdownWithContext)
	return errors.Join(err, endpoint.Shutdown(context.Background()))
}
