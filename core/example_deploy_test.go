package mcpauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A gateway that owns the stage prefix /prod can't route /.well-known/... at the root of its origin. Clients are sent to an
// address below the prefix, and the gateway strips the prefix of these requests as it does of all others.
func ExampleConfig_metadataURL() {
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com",
		BaseURL:        "https://abc.execute-api.example/prod",
		MetadataURL:    "https://abc.execute-api.example/prod/.well-known/oauth-protected-resource/mcp",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("clients call", rs.Resource())
	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource/mcp"} {
		w := httptest.NewRecorder()
		rs.RequireToken()(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"), w.Body)
	}
	// Output:
	// clients call https://abc.execute-api.example/prod/mcp
	// 401 Bearer resource_metadata="https://abc.execute-api.example/prod/.well-known/oauth-protected-resource/mcp" {"error_description":"an access token is required","resource_metadata":"https://abc.execute-api.example/prod/.well-known/oauth-protected-resource/mcp"}
	// 200  {"resource":"https://abc.execute-api.example/prod/mcp","authorization_servers":["https://acme.scalekit.com"],"bearer_methods_supported":["header"]}
}

// A server in a cluster reaches the environment at an internal address, whose certificate comes from the cluster's own
// authority. Tokens and documents still have to name the public address as their issuer.
func ExampleConfig_internalEnvironmentURL() {
	env := mcpauthtest.NewEnvironment() // stands for the public address
	defer env.Close()
	target, _ := url.Parse(env.URL())
	internal := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target)) // stands for the internal one
	defer internal.Close()

	roots := x509.NewCertPool() // in production: roots.AppendCertsFromPEM with the authority's certificate
	roots.AddCert(internal.Certificate())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()

	cfg := env.Config("https://mcp.example.com")
	cfg.InternalEnvironmentURL = internal.URL
	for _, client := range []*http.Client{nil, {Transport: transport}} {
		cfg.HTTPClient = client
		rs, err := mcpauth.New(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("the authority is trusted:", client != nil, "ready:", rs.Ready(context.Background()) == nil)
	}
	// Output:
	// the authority is trusted: false ready: false
	// the authority is trusted: true ready: true
}

// Between the containers of a development machine there is no certificate. The setting that allows it says what it gives up,
// and New refuses an address in the clear without it.
func ExampleConfig_dangerouslyAllowInsecureEnvironment() {
	cfg := mcpauth.Config{
		EnvironmentURL:         "http://localhost:3002", // what the browser on the machine calls
		InternalEnvironmentURL: "http://devenv:3002",    // what this container calls
		BaseURL:                "http://localhost:3001",
	}
	_, err := mcpauth.New(cfg)
	fmt.Println(err)
	cfg.DangerouslyAllowInsecureEnvironment = true
	_, err = mcpauth.New(cfg)
	fmt.Println(err)
	// Output:
	// InternalEnvironmentURL: "http://devenv:3002" is not encrypted; use https (http is for loopback only), or set DangerouslyAllowInsecureEnvironment between the containers of a development machine
	// <nil>
}

// Clients of MCP 2025-03-26 look for the authorization server's metadata at the MCP server, and learn there where to register.
func ExampleConfig_serveAuthorizationServerMetadata() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	cfg.ServeAuthorizationServerMetadata = true
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, route := range rs.MetadataRoutes() { // which Mount and Middleware of an adapter serve
		w := httptest.NewRecorder()
		route.ServeHTTP(w, httptest.NewRequest(http.MethodGet, route.Path, nil))
		fmt.Println(w.Code, route.Path)
	}
	fmt.Println("the environment was asked", env.Requests(mcpauthtest.MetadataPath), "time")
	// Output:
	// 200 /.well-known/oauth-protected-resource/mcp
	// 200 /.well-known/oauth-protected-resource
	// 200 /.well-known/oauth-authorization-server
	// the environment was asked 1 time
}

// A page of another origin sends a header for tracing, and reads the id that a middleware in front gives to each request.
func ExampleConfig_allowedHeaders() {
	env := mcpauthtest.NewEnvironment()
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	cfg.AllowedOrigins = []string{"https://app.example.com"}
	cfg.AllowedHeaders = []string{"traceparent"}
	cfg.ExposedHeaders = []string{"X-Request-Id"}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rs.RequireToken()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		r := httptest.NewRequest(method, "/mcp", nil)
		r.Header.Set("Origin", "https://app.example.com")
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		for _, name := range []string{"Access-Control-Allow-Headers", "Access-Control-Expose-Headers"} {
			fmt.Println(method, w.Code, name, w.Header()[name])
		}
	}
	// Output:
	// OPTIONS 204 Access-Control-Allow-Headers [Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID, traceparent]
	// OPTIONS 204 Access-Control-Expose-Headers [WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-Id]
	// POST 401 Access-Control-Allow-Headers []
	// POST 401 Access-Control-Expose-Headers [WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-Id]
}

// With the SDK for TypeScript, a client gets a refresh token only if offline_access is advertised. It is required of no token.
func ExampleConfig_advertiseOfflineAccess() {
	cfg := mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com",
		RequiredScopes: []string{"orders"}, AdvertiseOfflineAccess: true,
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	rs.RequireToken()(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", nil))
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	// Output:
	// Bearer scope="orders offline_access", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
}
