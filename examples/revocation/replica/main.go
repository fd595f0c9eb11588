// Command replica is an MCP server under net/http of which several share what was revoked, in Redis.
//
// REDIS_ADDR is where Redis is, WEBHOOK_SECRET and WEBHOOK_ENVIRONMENT_ID are those of the webhook in the Scalekit dashboard. The
// other variables are those of all examples. go run ./examples/revocation starts three of them with all that they need.
package main

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/app"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

func main() { app.Main(serve) }

func serve(a *app.App) error {
	client := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR")})
	defer func() { _ = client.Close() }()
	store, err := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{Client: client, Logger: a.Logger})
	if err != nil {
		return err
	}
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
		Store:          store,
		WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret(os.Getenv("WEBHOOK_SECRET"))},
		EnvironmentID:  os.Getenv("WEBHOOK_ENVIRONMENT_ID"),
		Logger:         a.Logger,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = list.Run(ctx) }() // without it every request gets 503

	a.Config.Revocation = list
	rs, err := mcpauth.New(a.Config)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, a.Streamable(tools.New(rs, a.Logger))))
	mux.Handle("POST /webhooks/scalekit", list.Webhook()) // its signature is the credential
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(rs.Ready(r.Context()), list.Ready(r.Context())); err != nil {
			a.Logger.Warn("not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	return a.ListenAndServe(mux)
}
