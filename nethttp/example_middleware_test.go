package mcpauthhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// Middleware around a whole mux guards all of it, and answers the metadata paths by itself.
func ExampleMiddleware() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/reports", func(http.ResponseWriter, *http.Request) {})
	handler := mcpauthhttp.Middleware(rs)(mux)

	for _, path := range []string{"/mcp", "/reports", "/.well-known/oauth-protected-resource/mcp"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /mcp 401
	// /reports 401
	// /.well-known/oauth-protected-resource/mcp 200
}

// The wrong order: with authentication in front of a CORS middleware of your own, preflights that mcpauth answers never
// reach it, and what it would set on a refusal is missing. Put CORS outside; mcpauth answers for its own endpoint, and
// replaces the headers that the outer one set there.
func ExampleMiddleware_order() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	cors := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
			next.ServeHTTP(w, r)
		})
	}
	endpoint := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	wrong := mcpauthhttp.Middleware(rs)(cors(endpoint))
	right := cors(mcpauthhttp.Middleware(rs)(endpoint))
	for _, handler := range []http.Handler{wrong, right} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", nil))
		fmt.Printf("%d %q\n", w.Code, w.Header()["Access-Control-Allow-Origin"])
	}
	// Output:
	// 401 []
	// 401 ["https://app.example.com"]
}

// Session is the caller of a request behind the middleware. Where the middleware was left out, it is an error.
func ExampleSession() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	whoami := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauthhttp.Session(r)
		if err != nil {
			http.Error(w, "who are you?", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, session.UserID())
	})
	for _, handler := range []http.Handler{mcpauthhttp.Middleware(rs)(whoami), whoami} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": "usr_ada"}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 usr_ada
	// 500 who are you?
}
