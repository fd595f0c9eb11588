package mcpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// RequireOperations reads from the body which tool is called, and refuses the call if the caller lacks its scopes. The
// challenge names all scopes of the tool, so that the client can ask for them and come back.
func ExampleResourceServer_RequireOperations() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{
		Tools: map[string][]string{"delete_order": {"orders:read", "orders:write"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mcpServer := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fmt.Println("the order is deleted") })
	handler := rs.RequireOperations(policy)(mcpServer) // and then Mount of an adapter

	for _, scope := range []string{"orders:read", "orders:read orders:write"} {
		const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_order"}}`
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": scope}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
		for parameter := range strings.SplitSeq(w.Header().Get("WWW-Authenticate"), ", ") {
			if strings.HasPrefix(parameter, "scope=") {
				fmt.Println(parameter)
			}
		}
	}
	// Output:
	// 403
	// scope="orders:read orders:write"
	// the order is deleted
	// 200
}

// NewOperationPolicy reports every mistake at once, as New does.
func ExampleNewOperationPolicy() {
	_, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{
		Tools: map[string][]string{"delete_order": {"orders:read orders:write"}},
	})
	for mistake := range mcpauth.ConfigErrors(err) {
		fmt.Println(mistake.Field)
	}
	// Output: Tools
}

// AllowsTool, AllowsPrompt and AllowsResource ask the same policy for a list of what a caller may use.
func ExampleOperationPolicy_AllowsTool() {
	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{
		Tools:     map[string][]string{"read_order": {"orders:read"}, "delete_order": {"orders:read", "orders:write"}},
		Prompts:   map[string][]string{"summary": {"orders:read"}},
		Resources: map[string][]string{"orders://{id}": {"orders:admin"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := mcpauthtest.NewSession(map[string]any{"scope": "orders:read"})
	for _, tool := range []string{"help", "read_order", "delete_order"} {
		fmt.Println(tool, policy.AllowsTool(session, tool))
	}
	fmt.Println("summary", policy.AllowsPrompt(session, "summary"))
	fmt.Println("orders://7", policy.AllowsResource(session, "orders://7"))
	// Output:
	// help true
	// read_order true
	// delete_order false
	// summary true
	// orders://7 false
}
