package mcpauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// MetadataRoutes are the documents from which clients learn where to sign in. Serve them without authentication, at the root
// of the origin; the adapters do.
func ExampleResourceServer_MetadataRoutes() {
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	for _, route := range rs.MetadataRoutes() {
		mux.Handle(route.Path, route)
		fmt.Println(route.Path)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-protected-resource/mcp", nil))
	fmt.Println(w.Body)
	// Output:
	// /.well-known/oauth-protected-resource/mcp
	// /.well-known/oauth-protected-resource
	// {"resource":"https://mcp.example.com/mcp","authorization_servers":["https://acme.scalekit.com"],"bearer_methods_supported":["header"]}
}

// Ready is for a readiness probe: without the keys of the environment no token can be verified.
func ExampleResourceServer_Ready() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	for _, down := range []bool{true, false} {
		rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
		if err != nil {
			fmt.Println(err)
			return
		}
		if down {
			env.Stop()
		} else {
			env.Start()
		}
		readyz := func(w http.ResponseWriter, r *http.Request) {
			if err := rs.Ready(r.Context()); err != nil {
				http.Error(w, "not ready", http.StatusServiceUnavailable) // err is for the log: it names addresses
			}
		}
		w := httptest.NewRecorder()
		readyz(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		fmt.Println(w.Code)
	}
	// Output:
	// 503
	// 200
}

// WithRequiredScopes makes a second resource server, for routes that need more than the rest of the app.
func ExampleResourceServer_WithRequiredScopes() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	admin := rs.WithRequiredScopes("admin")
	for _, server := range []*mcpauth.ResourceServer{rs, admin} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "orders:read"}))
		server.Serve(w, r, func(http.ResponseWriter, *http.Request) {})
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 403
}

// PurgeCache makes every token be verified anew, as after the environment's keys were compromised.
func ExampleResourceServer_PurgeCache() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{"Authorization": {"Bearer " + env.Token(nil)}}
	session := func() *mcpauth.Session {
		return rs.Authenticate(context.Background(), mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values}).Session
	}
	first := session()
	fmt.Println("from the cache:", session() == first)
	rs.PurgeCache()
	fmt.Println("from the cache:", session() == first)
	// Output:
	// from the cache: true
	// from the cache: false
}

// LogRefusal writes a refusal of your own like those of the resource server, with what to do about it.
func ExampleResourceServer_LogRefusal() {
	cfg := mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com"}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	rs.LogRefusal(context.Background(), mcpauth.OutcomeForeignSession,
		"the MCP session belongs to another user", "nothing to do here: the client has to open a session of its own")
	// Output: level=INFO msg="request refused" outcome=foreign_session cause="the MCP session belongs to another user" cure="nothing to do here: the client has to open a session of its own"
}

// Taken is what an adapter says when another route has the path of a metadata document already.
func ExampleMetadataRoute_Taken() {
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	registered := map[string]bool{"/.well-known/oauth-protected-resource": true} // by the program itself
	for _, route := range rs.MetadataRoutes() {
		if registered[route.Path] {
			fmt.Println(route.Taken())
		}
	}
	// Output: /.well-known/oauth-protected-resource is registered already; of several resources on one origin, at most one may serve the origin's document: set Config.OmitRootMetadata in the others
}

// RemoveCredentials takes out of a header what a tool must not see, so that the tool can't pass it on.
func ExampleResourceServer_RemoveCredentials() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{"Authorization": {"Bearer " + env.Token(nil)}, "Accept": {"application/json"}}
	rs.RemoveCredentials(header)
	fmt.Println(header)
	// Output: map[Accept:[application/json]]
}

// SharedKeys has the keys fetched once for all tenants of an application. Each tenant has its own metadata and audience.
func ExampleSharedKeys() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	shared := new(mcpauth.SharedKeys)
	token := env.Token(map[string]any{"aud": "res_acme", "iss": env.URL()})
	for _, tenant := range []string{"acme", "globex"} {
		cfg := env.Config("https://mcp.example.com")
		cfg.SharedKeys, cfg.OmitRootMetadata = shared, true
		cfg.Path, cfg.ResourceID = "/"+tenant+"/mcp", "res_"+tenant
		rs, err := mcpauth.New(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		header := http.Header{"Authorization": {"Bearer " + token}}
		decision := rs.Authenticate(context.Background(), mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values})
		fmt.Println(rs.Resource(), decision.Outcome)
	}
	fmt.Println("fetches:", env.Requests(mcpauthtest.KeysPath))
	// Output:
	// https://mcp.example.com/acme/mcp allowed
	// https://mcp.example.com/globex/mcp invalid_token
	// fetches: 1
}
