package mcpauthfiberv3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gofiber/fiber/v3"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
)

// Mount protects one endpoint and leaves the rest of the app open.
func ExampleMount() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New(fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	mcpauthfiberv3.Mount(app, rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		fmt.Println(session.UserID(), err)
	}))

	for _, authorization := range []string{"", "Bearer " + env.Token(nil)} {
		r := httptest.NewRequest(http.MethodPost, rs.Path(), nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		resp, err := app.Test(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
	}
	// Output:
	// 401 Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	// usr_1 <nil>
	// 200
}

// The wrong order: a middleware that is registered behind mcpauth does not run on what mcpauth answers. A CORS middleware
// of your own, a logger, recover go first; mcpauth answers for its own endpoint, and replaces the headers that the CORS
// middleware set there.
func ExampleMiddleware_order() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	cors := func(c fiber.Ctx) error {
		c.Set("Access-Control-Allow-Origin", "https://app.example.com")
		return c.Next()
	}
	wrong, right := fiber.New(), fiber.New()
	wrong.Use(mcpauthfiberv3.Middleware(rs), cors)
	right.Use(cors, mcpauthfiberv3.Middleware(rs))
	for _, app := range []*fiber.App{wrong, right} {
		resp, err := app.Test(httptest.NewRequest(http.MethodPost, "/mcp", nil))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Printf("%d %q\n", resp.StatusCode, resp.Header["Access-Control-Allow-Origin"])
	}
	// Output:
	// 401 []
	// 401 ["https://app.example.com"]
}

// Handler runs an http.Handler behind handlers of Fiber. Fiber's own adaptor would give it a context that is reused.
func ExampleHandler() {
	app := fiber.New()
	app.All("/mcp", mcpauthfiberv3.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	})))

	resp, err := app.Test(httptest.NewRequest(http.MethodPost, "/mcp", nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output: 202
}

// MountMetadata belongs to Middleware in groups and on single routes: clients learn from it where to sign in.
func ExampleMountMetadata() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New()
	mcpauthfiberv3.MountMetadata(app, rs)
	app.All("/mcp", mcpauthfiberv3.Middleware(rs), func(fiber.Ctx) error { return nil })

	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource"} {
		resp, err := app.Test(httptest.NewRequest(http.MethodGet, path, nil))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(path, resp.StatusCode)
	}
	// Output:
	// /mcp 401
	// /.well-known/oauth-protected-resource 200
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
	app := fiber.New()
	app.Use(mcpauthfiberv3.Middleware(rs))
	app.All("/whoami", func(c fiber.Ctx) error {
		session, err := mcpauthfiberv3.Session(c)
		fmt.Println(session.UserID(), err)
		return err
	})

	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
	resp, err := app.Test(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output:
	// usr_ada <nil>
	// 200
}
