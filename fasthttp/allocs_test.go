package mcpauthfasthttp_test

import (
	"io"
	"net/http"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// perRequest sends a request that handler answers with 200.
func perRequest(tb testing.TB, handler fasthttp.RequestHandler, token string) func() {
	tb.Helper()
	var request fasthttp.Request
	request.Header.SetMethod("POST")
	request.SetRequestURI("/mcp")
	request.Header.SetHost("mcp.example.com")
	request.Header.Set("Authorization", token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&request, nil, nil)
	return func() {
		ctx.Response.Reset()
		ctx.ResetUserValues() // as fasthttp does between the requests of a connection
		handler(ctx)
		if ctx.Response.StatusCode() != http.StatusOK {
			tb.Fatal(ctx.Response.StatusCode())
		}
	}
}

// handlers are what is compared: handlers of fasthttp's own and http.Handlers, each with and without a guard.
func handlers(tb testing.TB) (own, guarded, adaptor, bridged fasthttp.RequestHandler, token string) {
	tb.Helper()
	rs, env := bridgetest.NewResource(tb, "")
	own = func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("ok") }
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "ok")
	})
	return own, mcpauthfasthttp.Middleware(rs)(own), fasthttpadaptor.NewFastHTTPHandler(handler), mcpauthfasthttp.Handler(handler), "Bearer " + env.Token(nil)
}

func TestAllocations(t *testing.T) {
	own, guarded, _, _, token := handlers(t)
	bridgetest.Allocations(t, perRequest(t, own, token), perRequest(t, guarded, token))
}

func BenchmarkHandlers(b *testing.B) {
	own, guarded, adaptor, bridged, token := handlers(b)
	for _, c := range []struct {
		name    string
		handler fasthttp.RequestHandler
	}{{"own", own}, {"own guarded", guarded}, {"adaptor", adaptor}, {"bridge", bridged}} {
		b.Run(c.name, func(b *testing.B) {
			run := perRequest(b, c.handler, token)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
