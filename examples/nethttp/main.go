// Command nethttp is an MCP server under net/http that answers only to people who signed in with Scalekit.
//
//	go run ./examples/nethttp
//
// Without SCALEKIT_ENVIRONMENT_URL it brings a local environment along.
package main

import (
	"io"
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
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

	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, handler) // the endpoint and its metadata; everything else stays open
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := rs.Ready(r.Context()); err != nil {
			a.Logger.Warn("not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return a.ListenAndServe(mux)
}
