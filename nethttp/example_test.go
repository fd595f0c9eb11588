package mcpauthhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// Mount protects one endpoint and leaves the rest of the mux open.
func ExampleMount() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session, err := mcpauthhttp.Session(r)
		fmt.Println(session.UserID(), err)
	}))

	for _, authorization := range []string{"", "Bearer " + env.Token(nil)} {
		r := httptest.NewRequest(http.MethodPost, rs.Path(), nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 401 Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	// usr_1 <nil>
	// 200
}

// MountMetadata belongs to Middleware on single routes: each has its own rules, and the metadata is served once.
func ExampleMountMetadata() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mcpauthhttp.MountMetadata(mux, rs)
	mux.Handle("/mcp", mcpauthhttp.Middleware(rs)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	admin := mcpauthhttp.Middleware(rs.WithRequiredScopes("admin"))
	mux.Handle("/admin", admin(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	for _, path := range []string{"/mcp", "/admin", "/.well-known/oauth-protected-resource/mcp"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "orders:read"}))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(path, w.Code)
	}
	// Output:
	// /mcp 200
	// /admin 403
	// /.well-known/oauth-protected-resource/mcp 200
}

// Routes are what Mount registers, for a router that has no method Handle of that shape.
func ExampleRoutes() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for path := range mcpauthhttp.Routes(rs, endpoint) { // the second value is the handler for all methods
		fmt.Println(path)
	}
	// Output:
	// /mcp
	// /.well-known/oauth-protected-resource/mcp
	// /.well-known/oauth-protected-resource
}
