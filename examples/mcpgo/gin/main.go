// Command gin is an MCP server on mcp-go, under gin, that answers only to people who signed in with Scalekit.
//
//	go run ./examples/mcpgo/gin
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
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

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery())
	mcpauthgin.Mount(router, rs, rs.RequireOperations(policy)(endpoint)) // the endpoint and its metadata; everything else stays open
	router.GET("/healthz", func(c *gin.Context) {
		if err := rs.Ready(c.Request.Context()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			c.String(http.StatusServiceUnavailable, "not ready\n")
			return
		}
		c.String(http.StatusOK, "ok\n")
	})
	err = a.ListenAndServe(router)
	return errors.Join(err, endpoint.Shutdown(context.Background()))
}
