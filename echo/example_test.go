package mcpauthecho_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
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
	e.Use(mcpauthecho.Middleware(rs))
	e.Any("/mcp", func(c echo.Context) error {
		session, err := mcpauthecho.Session(c)
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
