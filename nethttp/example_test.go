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

// The wrong order: with authentication in front of a CORS middleware of your own, preflights that mcpauth answers never
// reach it, and what it would set on a denial is missing. Put CORS outside; mcpauth answers for its own endpoint, and
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
