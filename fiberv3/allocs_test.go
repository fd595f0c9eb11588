package mcpauthfiberv3_test

import (
	"net/http"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
	"github.com/valyala/fasthttp"
)

// perRequest returns the allocations of a request that app answers with 200.
func perRequest(tb testing.TB, app *fiber.App, token string) func() {
	handler := app.Handler()
	ctx := &fasthttp.RequestCtx{}
	return func() {
		ctx.Request.Reset()
		ctx.Response.Reset()
		ctx.ResetUserValues()
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/mcp")
		ctx.Request.Header.Set("Authorization", token)
		ctx.Request.Header.Set("Content-Type", "application/json")
		ctx.Request.Header.Set("Accept", "application/json, text/event-stream")
		handler(ctx)
		if ctx.Response.StatusCode() != http.StatusOK {
			tb.Fatal(ctx.Response.StatusCode())
		}
	}
}

func apps(tb testing.TB) (bare, guarded *fiber.App, token string) {
	rs, env := bridgetest.NewResource(tb, "")
	bare, guarded = fiber.New(config()), fiber.New(config())
	guarded.Use(mcpauthfiberv3.Middleware(rs))
	for _, app := range []*fiber.App{bare, guarded} {
		app.All("/mcp", func(c fiber.Ctx) error { return c.SendString("ok") })
	}
	return bare, guarded, "Bearer " + env.Token(nil)
}

func TestAllocations(t *testing.T) {
	bare, guarded, token := apps(t)
	bridgetest.Allocations(t, perRequest(t, bare, token), perRequest(t, guarded, token))
}

func BenchmarkHit(b *testing.B) {
	bare, guarded, token := apps(b)
	for _, c := range []struct {
		name  string
		app   *fiber.App
		token string
	}{{"bare", bare, token}, {"middleware", guarded, token}} {
		b.Run(c.name, func(b *testing.B) {
			run := perRequest(b, c.app, c.token)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
