package mcpauth_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// ChatGPT reads a challenge in the result of the tool call, and has its user sign in. Other clients get 401.
func ExampleConfig_challengeInResultFor() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"weather": {Public: true},
		"orders":  {Scopes: []string{"orders:read"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com",
		Policy: policy, Logger: slog.New(slog.DiscardHandler),
		ChallengeInResultFor: []string{"openai-mcp"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint := rs.Endpoint(rs.SDKHandler(greeter{})) // in production: Mount of an adapter with mcpauthgosdk.Handler

	for _, client := range []string{"openai-mcp/1.0.0 (ChatGPT)", "another/1.0"} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"orders"}}`))
		r.Header.Set("User-Agent", client)
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header()["Www-Authenticate"])
		fmt.Println(strings.ReplaceAll(w.Body.String(), `,"`, ",\n  \""))
	}
	// Output:
	// 200 []
	// {"jsonrpc":"2.0",
	//   "id":"a",
	//   "result":{"content":[{"type":"text",
	//   "text":"The call was refused: an access token is required."}],
	//   "isError":true,
	//   "resultType":"complete",
	//   "_meta":{"mcp/www_authenticate":["Bearer error=\"insufficient_scope\", scope=\"orders:read\", resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", error_description=\"an access token is required\""]}}}
	// 401 ["Bearer scope=\"orders:read\", resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""]
	// {"error_description":"an access token is required",
	//   "resource_metadata":"https://mcp.example.com/.well-known/oauth-protected-resource/mcp"}
}

// A lender is an MCP server of an SDK whose tool learns that a scope is missing.
type lender struct{ greeter }

func (lender) ServeSession(_ http.ResponseWriter, r *http.Request) {
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "transfer"}
	failed := mcpauth.NeedScopes("transfer:abroad")
	if refused := mcpauth.LateResult(r.Context(), op, failed); refused != nil {
		fmt.Println(refused.Text) // and refused.Meta, in the result of the tool
		return
	}
	_ = mcpauth.LateStepUp(r.Context(), op, failed)
}

// A module for an MCP SDK makes the result of a tool call of LateResult, if the client reads challenges there. Other clients get
// 403.
func ExampleLateResult() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	config := env.Config("https://mcp.example.com")
	config.ChallengeInResultFor = []string{"openai-mcp"}
	rs, err := mcpauth.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rs.SDKHandler(lender{})
	for _, client := range []string{"openai-mcp/1.0.0", "another/1.0"} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		r.Header.Set("User-Agent", client)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// The call was refused: the access token lacks a required permission.
	// 200
	// 403
}

// SecuritySchemes says how each tool may be called, in the form of the OpenAI Apps SDK.
func ExampleResourceServer_SecuritySchemes() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"weather": {Public: true},
		"orders":  {Scopes: []string{"orders:read"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rs, err := mcpauth.New(mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com",
		Policy: policy, RequiredScopes: []string{"shop"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tool := range []string{"weather", "orders"} {
		schemes, err := json.Marshal(rs.SecuritySchemes(policy, tool))
		fmt.Println(tool, string(schemes), err)
	}
	// Output:
	// weather [{"type":"noauth"},{"type":"oauth2","scopes":["shop"]}] <nil>
	// orders [{"type":"oauth2","scopes":["shop","orders:read"]}] <nil>
}
