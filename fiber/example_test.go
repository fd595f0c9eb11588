package mcpauthfiber_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gofiber/fiber/v2"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
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
	mcpauthfiber.Mount(app, rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
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
	cors := func(c *fiber.Ctx) error {
		c.Set("Access-Control-Allow-Origin", "https://app.example.com")
		return c.Next()
	}
	wrong, right := fiber.New(), fiber.New()
	wrong.Use(mcpauthfiber.Middleware(rs), cors)
	right.Use(cors, mcpauthfiber.Middleware(rs))
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

// MountMetadata belongs to Middleware in groups and on single routes: clients learn from it where to sign in.
func ExampleMountMetadata() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New(fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	mcpauthfiber.MountMetadata(app, rs)
	app.All("/tools", mcpauthfiber.Middleware(rs), func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusOK) })

	for _, path := range []string{"/tools", "/.well-known/oauth-protected-resource"} {
		resp, err := app.Test(httptest.NewRequest(http.MethodGet, path, nil))
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Println(path, resp.StatusCode)
	}
	// Output:
	// /tools 401
	// /.well-known/oauth-protected-resource 200
}

// Session is the caller of a request behind the middleware, for handlers that are fiber's own.
func ExampleSession() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New(fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	app.Use(mcpauthfiber.Middleware(rs))
	app.All("/whoami", func(c *fiber.Ctx) error {
		session, err := mcpauthfiber.Session(c)
		if err != nil {
			return err
		}
		return c.SendString(session.UserID())
	})

	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
	resp, err := app.Test(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), err)
	// Output: 200 usr_ada <nil>
}

// Handler runs an http.Handler on a route of its own, with the session in the request's context.
func ExampleHandler() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	app := fiber.New(fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	app.All("/orders", mcpauthfiber.Middleware(rs), mcpauthfiber.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		fmt.Println(r.URL.Query().Get("id"), "for", session.UserID(), err)
	})))

	r := httptest.NewRequest(http.MethodGet, "/orders?id=7", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
	resp, err := app.Test(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output:
	// 7 for usr_ada <nil>
	// 200
}
