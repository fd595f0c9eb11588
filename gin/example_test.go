package mcpauthgin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
)

// A group with a guard of its own, where one route needs a scope in addition.
func ExampleMiddleware() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gin.New()
	mcpauthgin.MountMetadata(router, rs)
	group := router.Group("/tools", mcpauthgin.Middleware(rs))
	group.Any("/whoami", func(c *gin.Context) {
		session, err := mcpauthgin.Session(c)
		fmt.Println(session.UserID(), err)
	})
	group.Any("/admin", mcpauthgin.Middleware(rs.WithRequiredScopes("admin")), func(*gin.Context) {})

	for _, path := range []string{"/tools/whoami", "/tools/admin"} {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		fmt.Println(path, w.Code)
	}
	// Output:
	// usr_1 <nil>
	// /tools/whoami 200
	// /tools/admin 403
}

// Mount protects one endpoint and leaves the rest of the engine open.
func ExampleMount() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gin.New()
	router.GET("/health", func(*gin.Context) {})
	mcpauthgin.Mount(router, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))

	for _, path := range []string{"/health", "/mcp", "/.well-known/oauth-protected-resource/mcp"} {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
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
	router := gin.New()
	mcpauthgin.MountMetadata(router, rs)
	router.Any("/mcp", mcpauthgin.Middleware(rs), func(*gin.Context) {})

	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource"} {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
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
	router := gin.New()
	router.Use(mcpauthgin.Middleware(rs))
	router.Any("/whoami", func(c *gin.Context) {
		session, err := mcpauthgin.Session(c)
		if err != nil {
			c.AbortWithStatus(http.StatusInternalServerError)
			return
		}
		c.String(http.StatusOK, session.UserID())
	})

	r := httptest.NewRequest(http.MethodGet, "/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 usr_ada
}
