package mcpauthechov5_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// Everything is guarded, and the metadata is answered, by Use on the root.
func ExampleMiddleware() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	e := echo.New()
	e.Use(mcpauthechov5.Middleware(rs))
	e.Any("/mcp", func(c *echo.Context) error {
		session, err := mcpauthechov5.Session(c)
		fmt.Println(session.UserID(), err)
		return err
	})

	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource/mcp"} {
		for _, token := range []string{"", env.Token(nil)} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			fmt.Println(path, w.Code)
		}
	}
	// Output:
	// /mcp 401
	// usr_1 <nil>
	// /mcp 200
	// /.well-known/oauth-protected-resource/mcp 200
	// /.well-known/oauth-protected-resource/mcp 200
}

// Mount protects one endpoint and leaves the rest of the app open.
func ExampleMount() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	e := echo.New()
	e.GET("/health", func(c *echo.Context) error { return c.NoContent(http.StatusOK) })
	mcpauthechov5.Mount(e, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))

	for _, path := range []string{"/health", "/mcp", "/.well-known/oauth-protected-resource/mcp"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /health 200
	// /mcp 401
	// /.well-known/oauth-protected-resource/mcp 200
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
	e := echo.New()
	mcpauthechov5.MountMetadata(e, rs)
	e.Any("/mcp", func(c *echo.Context) error { return c.NoContent(http.StatusOK) }, mcpauthechov5.Middleware(rs))

	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code)
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
	e := echo.New()
	e.Use(mcpauthechov5.Middleware(rs))
	e.Any("/whoami", func(c *echo.Context) error {
		session, err := mcpauthechov5.Session(c)
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, session.UserID())
	})

	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 usr_ada
}
