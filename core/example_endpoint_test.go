package mcpauth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A greeter is an MCP server of an SDK that is easy to read. mcpauthgosdk.Handler is a real one.
type greeter struct{}

func (greeter) ServeSession(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	_, _ = fmt.Fprint(w, "hello ", session.UserID(), err)
}

func (greeter) IsPublic(r *http.Request) bool { return r.Header.Get("Mcp-Session-Id") == "" }

func (greeter) ServePublic(w http.ResponseWriter, _ *http.Request, _ bool) bool {
	_, _ = io.WriteString(w, "hello stranger")
	return true
}

func publicServer() *mcpauth.ResourceServer {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"weather": {Public: true},
		"orders":  {Scopes: []string{"orders:read"}},
	}})
	if err != nil {
		panic(err)
	}
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com",
		Policy: policy, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return rs
}

// What Mount of an adapter serves. A client without a token calls a public tool, and then one that needs a scope.
func ExampleResourceServer_Endpoint() {
	rs := publicServer()
	endpoint := rs.Endpoint(rs.SDKHandler(greeter{}))
	for _, tool := range []string{"weather", "orders"} {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body)))
		if w.Code == http.StatusOK {
			fmt.Println(w.Body)
			continue
		}
		challenge, _, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), ",")
		fmt.Println(w.Code, challenge)
	}
	// Output:
	// hello stranger
	// 401 Bearer scope="orders:read"
}

// The same handler without Endpoint, as behind a middleware: every request needs a token.
func ExampleResourceServer_SDKHandler() {
	rs := publicServer()
	handler := rs.SDKHandler(greeter{})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather"}}`
	for _, h := range []http.Handler{handler, rs.Endpoint(http.HandlerFunc(handler.ServeHTTP))} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body)))
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 401
}

// A router without an http.ResponseWriter decides twice: before the body comes, and when the endpoint has read it.
func ExampleEndpoint_Authenticate() {
	rs := publicServer()
	endpoint := rs.Endpoint(rs.SDKHandler(greeter{}))
	none := mcpauth.Request{Method: http.MethodPost, Path: "/mcp", Header: func(string) []string { return nil }}
	decision := endpoint.Authenticate(context.Background(), none)
	fmt.Println(decision.Outcome, decision.Reply == nil, decision.Session == nil)
	decision = rs.Authenticate(context.Background(), none)
	fmt.Println(decision.Outcome, decision.Reply.Status)
	// Output:
	// undecided true true
	// no_credentials 401
}
