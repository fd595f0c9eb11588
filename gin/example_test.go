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
