package webhooks_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v2"
	fiberv3 "github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
	"github.com/scalekit-mcp/mcpauth/examples/webhooks"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	"github.com/valyala/fasthttp"
)

// A router serves a protected endpoint and the webhook on a listener, until stop is called.
type router func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) (stop func() error)

func serveHTTP(listener net.Listener, handler http.Handler) func() error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server.Close
}

var routers = map[string]router{
	"nethttp": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		mux := http.NewServeMux()
		mcpauthhttp.Mount(mux, rs, endpoint)
		webhooks.NetHTTP(mux, list)
		return serveHTTP(listener, mux)
	},
	"gin": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		engine := gin.New()
		mcpauthgin.Mount(engine, rs, endpoint)
		webhooks.Gin(engine, list)
		return serveHTTP(listener, engine)
	},
	"echo": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		e := echo.New()
		mcpauthecho.Mount(e, rs, endpoint)
		webhooks.Echo(e, list)
		return serveHTTP(listener, e)
	},
	"echov5": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		e := echov5.New()
		mcpauthechov5.Mount(e, rs, endpoint)
		webhooks.EchoV5(e, list)
		return serveHTTP(listener, e)
	},
	"fiber": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		app := fiber.New(fiber.Config{DisableStartupMessage: true, StreamRequestBody: true})
		mcpauthfiber.Mount(app, rs, endpoint)
		webhooks.Fiber(app, list)
		go func() { _ = app.Listener(listener) }()
		return app.Shutdown
	},
	"fiberv3": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		app := fiberv3.New(fiberv3.Config{StreamRequestBody: true})
		mcpauthfiberv3.Mount(app, rs, endpoint)
		webhooks.FiberV3(app, list)
		go func() { _ = app.Listener(listener, fiberv3.ListenConfig{DisableStartupMessage: true}) }()
		return app.Shutdown
	},
	"fasthttp": func(listener net.Listener, rs *mcpauth.ResourceServer, list *mcpauthrevocation.List, endpoint http.Handler) func() error {
		server := &fasthttp.Server{StreamRequestBody: true, Handler: webhooks.FastHTTP(list, func(ctx *fasthttp.RequestCtx) { ctx.NotFound() })}
		mcpauthfasthttp.Mount(server, rs, endpoint)
		go func() { _ = server.Serve(listener) }()
		return server.Shutdown
	},
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func signed(body string) http.Header {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, "msg_1."+timestamp+"."+body)
	return http.Header{
		"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
}

func post(t *testing.T, url string, header http.Header, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// TestR104Routers has a signed event received under each router, next to the protected endpoint, and the token of the session that it ends
// refused from then on. A body that was changed on its way is refused and ends nothing.
func TestR104Routers(t *testing.T) {
	t.Parallel()
	gin.SetMode(gin.ReleaseMode)
	for name, serve := range routers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := mcpauthtest.NewEnvironment()
			t.Cleanup(env.Close)
			logger := slog.New(slog.DiscardHandler)
			list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
				WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret(secret)}, EnvironmentID: "env_1", Logger: logger,
			})
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = list.Run(t.Context()) }()
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			url := "http://" + listener.Addr().String()
			cfg := env.Config(url)
			cfg.Revocation = list
			rs, err := mcpauth.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			stop := serve(listener, rs, list, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
			t.Cleanup(func() { _ = stop() })

			ended, other := bearer(env.Token(map[string]any{"sid": "ses_1"})), bearer(env.Token(map[string]any{"sid": "ses_2"}))
			event := func(session string) string {
				return fmt.Sprintf(`{"spec_version":"1","id":"evt_1","type":"user.logout","occurred_at":%q,"environment_id":"env_1","organization_id":"org_1",`+
					`"object":"User","data":{"user":{"id":"usr_1"},"user_session":{"session_id":%q,"organization_id":"org_1"}},"display_name":"x"}`,
					time.Now().UTC().Format(time.RFC3339Nano), session)
			}
			body := event("ses_1")
			for _, step := range []struct {
				what   string
				header http.Header
				path   string
				body   string
				want   int
			}{
				{"the token before the event", ended, "/mcp", "{}", http.StatusOK},
				{"a changed event", signed(body), webhooks.Path, event("ses_2"), http.StatusUnauthorized},
				{"an event without a signature", http.Header{}, webhooks.Path, body, http.StatusUnauthorized},
				{"the event", signed(body), webhooks.Path, body, http.StatusNoContent},
				{"the token after the event", ended, "/mcp", "{}", http.StatusUnauthorized},
				{"a token of another session", other, "/mcp", "{}", http.StatusOK},
			} {
				if got := post(t, url+step.path, step.header, step.body); got != step.want {
					t.Errorf("%s: %d, want %d", step.what, got, step.want)
				}
			}
		})
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
