package mcpauthfasthttp_test

import (
	"fmt"
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/valyala/fasthttp"
)

// Mount protects one endpoint and leaves the rest of the server open.
func ExampleMount() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &fasthttp.Server{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true}
	server.Handler = func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("open") }
	mcpauthfasthttp.Mount(server, rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		fmt.Println(session.UserID(), err)
	}))

	for _, path := range []string{rs.Path(), "/healthz"} {
		for _, authorization := range []string{"", "Bearer " + env.Token(nil)} {
			var request fasthttp.Request
			request.Header.SetMethod("POST")
			request.SetRequestURI(path)
			if authorization != "" {
				request.Header.Set("Authorization", authorization)
			}
			var ctx fasthttp.RequestCtx // in production: server.ListenAndServe(":3001")
			ctx.Init(&request, nil, nil)
			server.Handler(&ctx)
			fmt.Println(path, ctx.Response.StatusCode())
		}
	}
	// Output:
	// /mcp 401
	// usr_1 <nil>
	// /mcp 200
	// /healthz 200
	// /healthz 200
}

// The wrong order: a middleware that mcpauth is put around does not run on what mcpauth answers. A logger, or a CORS
// middleware of your own, is put around mcpauth, which replaces the CORS headers on what it guards.
func ExampleMiddleware_order() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	cors := func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set("Access-Control-Allow-Origin", "https://app.example.com")
			next(ctx)
		}
	}
	handler := func(*fasthttp.RequestCtx) {}
	wrong := mcpauthfasthttp.Middleware(rs)(cors(handler))
	right := cors(mcpauthfasthttp.Middleware(rs)(handler))
	for _, serve := range []fasthttp.RequestHandler{wrong, right} {
		var ctx fasthttp.RequestCtx
		var request fasthttp.Request
		request.SetRequestURI("/mcp")
		ctx.Init(&request, nil, nil)
		serve(&ctx)
		fmt.Printf("%d %q\n", ctx.Response.StatusCode(), ctx.Response.Header.Peek("Access-Control-Allow-Origin"))
	}
	// Output:
	// 401 ""
	// 401 "https://app.example.com"
}
