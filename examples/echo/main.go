// Command echo is an MCP server under echo that answers only to people who signed in with Scalekit.
//
//	go run ./examples/echo
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
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

	router := echo.New()
	router.Use(middleware.Recover())
	mcpauthecho.Mount(router, rs, handler) // the endpoint and its metadata; everything else stays open
	router.GET("/healthz", func(c echo.Context) error {
		if err := rs.Ready(c.Request().Context()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			return c.String(http.StatusServiceUnavailable, "not ready\n")
		}
		return c.String(http.StatusOK, "ok\n")
	})
	return a.ListenAndServe(router)
}
