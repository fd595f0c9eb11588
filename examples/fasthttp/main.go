// Command fasthttp is an MCP server under plain fasthttp that answers only to people who signed in with Scalekit.
//
//	go run ./examples/fasthttp
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"net/http"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	"github.com/valyala/fasthttp"
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

	others := func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/healthz" {
			ctx.Error("not found\n", http.StatusNotFound)
		} else if err := rs.Ready(mcpauthfasthttp.Context(ctx)); err != nil {
			a.Logger.Warn("not ready", "error", err)
			ctx.Error("not ready\n", http.StatusServiceUnavailable)
		} else {
			ctx.SetBodyString("ok\n")
		}
	}
	router := &fasthttp.Server{
		Handler:                      others,
		ReadBufferSize:               32 << 10,    // a token may have 16 KiB; fasthttp's own 4 KiB answer 431
		StreamRequestBody:            true,        // who is asking comes before the body
		DisablePreParseMultipartForm: true,        // likewise
		ReadTimeout:                  time.Minute, // of a request with its body; it cuts no streams
		IdleTimeout:                  2 * time.Minute,
		CloseOnShutdown:              true,
	}
	mcpauthfasthttp.Mount(router, rs, handler) // the endpoint and its metadata; everything else stays open
	return a.Run(router.Serve, router.ShutdownWithContext)
}
