package mcpauthfasthttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/valyala/fasthttp"
)

// request returns the context of a POST, as a server makes it.
func request(path, token string) *fasthttp.RequestCtx {
	var request fasthttp.Request
	request.Header.SetMethod("POST")
	request.SetRequestURI(path)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&request, nil, nil)
	return ctx
}

// Handler runs an http.Handler behind handlers of fasthttp, which hand values on to it by SetContext.
func ExampleHandler() {
	type tenant struct{}
	bridged := mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, fmt.Sprint(r.Method, " ", r.URL.Path, " for ", r.Context().Value(tenant{})))
	}))
	handler := func(ctx *fasthttp.RequestCtx) {
		mcpauthfasthttp.SetContext(ctx, context.WithValue(mcpauthfasthttp.Context(ctx), tenant{}, "analytical"))
		bridged(ctx)
	}

	ctx := request("/mcp", "")
	handler(ctx)
	fmt.Println(ctx.Response.StatusCode(), string(ctx.Response.Body()))
	// Output: 200 POST /mcp for analytical
}

// Context is the context of a request for handlers of fasthttp. It is not the RequestCtx, which the next request reuses.
func ExampleContext() {
	ctx := request("/mcp", "")
	fmt.Println(mcpauthfasthttp.Context(ctx))
	// Output: context.Background
}

// SetContext hands a value on to the handlers behind.
func ExampleSetContext() {
	type tenant struct{}
	ctx := request("/mcp", "")
	mcpauthfasthttp.SetContext(ctx, context.WithValue(mcpauthfasthttp.Context(ctx), tenant{}, "analytical"))
	fmt.Println(mcpauthfasthttp.Context(ctx).Value(tenant{}))
	// Output: analytical
}

// Session is the caller of a request behind the middleware.
func ExampleSession() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := mcpauthfasthttp.Middleware(rs)(func(ctx *fasthttp.RequestCtx) {
		session, err := mcpauthfasthttp.Session(ctx)
		fmt.Println(session.UserID(), err)
	})

	ctx := request("/whoami", env.Token(map[string]any{"sub": "usr_ada"}))
	handler(ctx)
	fmt.Println(ctx.Response.StatusCode())
	// Output:
	// usr_ada <nil>
	// 200
}

// MountMetadata belongs to Middleware on single routes: clients learn from it where to sign in.
func ExampleMountMetadata() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &fasthttp.Server{Handler: mcpauthfasthttp.Middleware(rs)(func(*fasthttp.RequestCtx) {})}
	mcpauthfasthttp.MountMetadata(server, rs)

	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource/mcp"} {
		ctx := request(path, "")
		ctx.Request.Header.SetMethod("GET")
		server.Handler(ctx)
		fmt.Println(path, ctx.Response.StatusCode())
	}
	// Output:
	// /mcp 401
	// /.well-known/oauth-protected-resource/mcp 200
}

// Protect is for servers whose routes are guarded one by one: it refuses ambiguous framing on all of them.
func ExampleProtect() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("open") }}
	mcpauthfasthttp.Protect(server, rs, rs.Path())

	ctx := request("/healthz", "")
	server.Handler(ctx)
	fmt.Println(ctx.Response.StatusCode(), string(ctx.Response.Body()))
	// Output: 200 open
}

// Guard and Bridge are the parts of an adapter for a router on fasthttp that has a context and paths of its own.
func ExampleGuard() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, token := range []string{"", env.Token(nil)} {
		ctx := request("/mcp", token)
		err := mcpauthfasthttp.Guard(context.Background(), ctx, rs, "/mcp", func(inner context.Context) error {
			session, err := mcpauth.SessionFromContext(inner)
			fmt.Println("hello", session.UserID())
			return err
		})
		fmt.Println(ctx.Response.StatusCode(), err)
	}
	// Output:
	// 401 <nil>
	// hello usr_1
	// 200 <nil>
}

// NewBridge runs an http.Handler in a router's own handler, with the context that the router keeps for the request.
func ExampleNewBridge() {
	bridge := mcpauthfasthttp.NewBridge(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}))
	ctx := request("/mcp", "")
	err := bridge.Serve(context.Background(), ctx)
	fmt.Println(ctx.Response.StatusCode(), err)
	// Output: 202 <nil>
}
