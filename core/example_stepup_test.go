package mcpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// StepUp is what an MCP server without an SDK replies when a tool has learned from its backend that a scope is missing.
func ExampleResourceServer_StepUp() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"transfer": {Scopes: []string{"accounts"}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "transfer"}
	handler := rs.RequireOperations(policy)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rs.StepUp(r.Context(), op, []string{"transfer:abroad"}).ServeHTTP(w, r)
	}))

	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer"}}`))
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "accounts"}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	fmt.Println(strings.Split(w.Header().Get("WWW-Authenticate"), ", ")[1])
	// Output:
	// 403
	// scope="accounts transfer:abroad"
}
