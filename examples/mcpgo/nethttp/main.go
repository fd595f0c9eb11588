// Command nethttp is an MCP server on mcp-go, under net/http, that answers only to people who signed in with Scalekit.
//
//	go run ./examples/mcpgo/nethttp
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
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

	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, rs.RequireOperations(policy)(endpoint)) // everything else stays open
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := rs.Ready(r.Context()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	err = a.ListenAndServe(mux)
	return errors.Join(err, endpoint.Shutdown(context.Background()))
}
