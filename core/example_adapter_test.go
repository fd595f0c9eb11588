package mcpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// RegisterRoutes is what Mount of an adapter calls, with a function that registers a path with its router.
func ExampleResourceServer_RegisterRoutes() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	rs.RegisterRoutes(http.NotFoundHandler(), func(path string, handler http.Handler) {
		fmt.Println(path)
		mux.Handle(path, handler)
	})

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", nil))
	fmt.Println(w.Code)
	// Output:
	// /mcp
	// /.well-known/oauth-protected-resource/mcp
	// /.well-known/oauth-protected-resource
	// 401
}

// RegisterMetadata registers the metadata alone, for endpoints that RequireToken protects one by one.
func ExampleResourceServer_RegisterMetadata() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	rs.RegisterMetadata(mux.Handle)
	mux.Handle("/mcp", rs.RequireToken()(http.NotFoundHandler()))

	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/mcp"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /.well-known/oauth-protected-resource/mcp 200
	// /mcp 401
}

// An adapter whose router tries one handler after the other logs a prefix that no proxy has stripped, and leaves the request to
// the next one.
func ExampleResourceServer_UnstrippedPath() {
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com/prod"})
	if err != nil {
		fmt.Println(err)
		return
	}
	next := http.NotFoundHandler()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == rs.UnstrippedPath() {
			rs.LogUnstripped(r.Context()) // once, at Warn, with the cure
		}
		next.ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/prod/mcp", nil))
	fmt.Println(rs.Path(), rs.UnstrippedPath(), w.Code)
	// Output:
	// /mcp /prod/mcp 404
}

// An adapter whose router takes one route for each path leaves a prefix that no proxy has stripped to the route that takes
// it, if there is one.
func ExampleResourceServer_UnstrippedPathIsTaken() {
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com/prod"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, routes := range [][]string{{"/", "/users/:id"}, {"/", "/:stage/mcp"}, {"/prod/*"}, {"/*"}} {
		rs.RegisterRoutes(http.NotFoundHandler(), func(path string, _ http.Handler) {
			if path == rs.UnstrippedPath() {
				fmt.Println(routes, rs.UnstrippedPathIsTaken(slices.Values(routes)))
			}
		})
	}
	// Output:
	// [/ /users/:id] false
	// [/ /:stage/mcp] true
	// [/prod/*] true
	// [/*] false
}

// A routerContext is the context of a router that is not net/http's.
type routerContext struct {
	w       http.ResponseWriter
	r       *http.Request
	aborted bool
}

// ServeVisits makes the middleware of a router whose handlers get a context of its own. The visit remembers the context, and
// next puts the writer and the request into it that Serve hands on.
func ExampleServeVisits() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	type visit struct{ c *routerContext }
	serve := mcpauth.ServeVisits(rs, func(v *visit, w http.ResponseWriter, r *http.Request) {
		outer := *v.c
		v.c.w, v.c.r = w, r
		defer func() { *v.c = outer }() // the session is over when the handlers have returned
		session, err := mcpauth.SessionFromContext(v.c.r.Context())
		fmt.Println("hello", session.UserID(), err)
	})
	middleware := func(c *routerContext) { c.aborted = serve(c.w, c.r, visit{c}) == nil }

	for _, authorization := range []string{"", "Bearer " + env.Token(nil)} {
		c := &routerContext{w: httptest.NewRecorder(), r: httptest.NewRequest(http.MethodPost, "/mcp", nil)}
		c.r.Header.Set("Authorization", authorization)
		middleware(c)
		fmt.Println("aborted:", c.aborted)
	}
	// Output:
	// aborted: true
	// hello usr_1 <nil>
	// aborted: false
}

// An adapter whose router holds the request in a context of its own hands on what a middleware has put there instead.
func ExampleKeepRoute() {
	handed := httptest.NewRequest(http.MethodPost, "/acme/mcp", nil)
	replaced := handed.WithContext(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("/{tenant}/mcp", func(http.ResponseWriter, *http.Request) {})
	mux.ServeHTTP(httptest.NewRecorder(), replaced)
	mcpauth.KeepRoute(handed, replaced)
	fmt.Println(handed.Pattern, handed.PathValue("tenant"))
	// Output: /{tenant}/mcp acme
}
