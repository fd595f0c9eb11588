package mcpauth_test

import (
	"context"
	"encoding/json"
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
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{"delete_order": {Scopes: []string{"orders:read", "orders:write"}}},
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

// NeededScopes returns the scopes of an error of NeedScopes, wherever in its tree that is.
func ExampleNeededScopes() {
	err := fmt.Errorf("the account is not the caller's own: %w", mcpauth.NeedScopes("accounts:all"))
	fmt.Println(mcpauth.NeededScopes(err))
	// Output: [accounts:all]
}

// Check decides by the arguments, and asks for a scope when only that is missing.
func ExampleNeedScopes() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Check: func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
			if op.Name != "transfer" || op.Listing {
				return nil
			}
			arguments, err := op.Arguments("amount")
			if err != nil {
				return err
			}
			if amount, _ := arguments["amount"].(json.Number); len(amount) > 4 && !s.HasScopes("transfer:large") {
				return mcpauth.NeedScopes("transfer:large")
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rs.RequireOperations(policy)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, amount := range []string{"500", "50000"} {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer","arguments":{"amount":` + amount + `}}}`
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		_, scope, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), "scope=")
		scope, _, _ = strings.Cut(scope, ",")
		fmt.Printf("%s: %d, to ask for: %q\n", amount, w.Code, scope)
	}
	// Output:
	// 500: 200, to ask for: ""
	// 50000: 403, to ask for: "\"transfer:large\""
}
