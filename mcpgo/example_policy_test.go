package mcpauthmcpgo_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// shop returns a server with three tools.
func shop() *server.MCPServer {
	s := server.NewMCPServer("shop", "1.0.0")
	tool := func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("done"), nil
	}
	s.AddTool(mcp.NewTool("read_order", mcp.WithReadOnlyHintAnnotation(true)), tool)
	s.AddTool(mcp.NewTool("delete_order"), tool)
	s.AddTool(mcp.NewTool("help", mcp.WithReadOnlyHintAnnotation(true)), tool)
	return s
}

// shopPolicy returns the policy of the shop.
func shopPolicy() (*mcpauth.Policy, error) {
	return mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"read_order":   {Scopes: []string{"orders:read"}},
		"delete_order": {Scopes: []string{"orders:read", "orders:write"}},
		"help":         {Public: true},
	}})
}

// TestShopPolicy is a test as an application has it: it fails when a tool is added and no rule, and a change of a rule shows in
// the text that is compared.
func TestShopPolicy(t *testing.T) {
	t.Parallel()
	policy, err := shopPolicy()
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *server.MCPServer) (open string) {
		operations, err := mcpauthmcpgo.Uncovered(t.Context(), s, policy)
		if err != nil {
			t.Fatal(err)
		}
		return kindsAndNames(operations)
	}
	if open := check(shop()); open != "" {
		t.Errorf("without a rule: %s", open)
	}
	const snapshot = `tool delete_order: scopes orders:read, orders:write
tool help: public
tool read_order: scopes orders:read
others: every authenticated caller
`
	if got := policy.String(); got != snapshot {
		t.Errorf("the policy is now\n%s\nand was\n%s", got, snapshot)
	}

	// This is what the test of the application does not have: it adds a tool, and looks whether that is noticed.
	s := shop()
	s.AddTool(mcp.NewTool("refund"), nil)
	if open := check(s); open != "tool refund" {
		t.Errorf("a new tool is not noticed: %q", open)
	}
}

// Uncovered and Policy.String make a test of the policy: what has no rule, and what the rules are.
func ExampleUncovered() {
	policy, err := shopPolicy()
	if err != nil {
		fmt.Println(err)
		return
	}
	s := shop()
	s.AddTool(mcp.NewTool("refund"), nil) // which is new
	operations, err := mcpauthmcpgo.Uncovered(context.Background(), s, policy)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, op := range operations {
		fmt.Println("no rule for the", op.Kind, op.Name)
	}
	fmt.Print(policy)
	// Output:
	// no rule for the tool refund
	// tool delete_order: scopes orders:read, orders:write
	// tool help: public
	// tool read_order: scopes orders:read
	// others: every authenticated caller
}

// ToolRules derives rules from what the tools say about themselves: each that does not only read needs a scope.
func ExampleToolRules() {
	tools, err := mcpauthmcpgo.ToolRules(context.Background(), shop(), func(tool mcp.Tool) mcpauth.Rule {
		if readOnly := tool.Annotations.ReadOnlyHint; readOnly != nil && *readOnly {
			return mcpauth.Rule{}
		}
		return mcpauth.Rule{Scopes: []string{"write"}}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: tools, Strict: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(policy)
	// Output:
	// tool delete_order: scopes write
	// tool help: every authenticated caller
	// tool read_order: every authenticated caller
	// others: refused
}

// A public tool works without credentials, because Mount gets what Handler returns, and as it is. The others need a token.
func ExampleHandler_public() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	policy, err := shopPolicy()
	if err != nil {
		fmt.Println(err)
		return
	}
	config := env.Config("https://mcp.example.com")
	config.Policy = policy
	rs, err := mcpauth.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, err := mcpauthmcpgo.Handler(rs, shop(), mcpauthmcpgo.Config{Stateless: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	mounted := rs.Endpoint(endpoint) // what mcpauthhttp.Mount serves
	for _, tool := range []string{"help", "read_order"} {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mounted.ServeHTTP(w, r)
		challenge, _, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), ",")
		fmt.Printf("%s %d %q\n", tool, w.Code, challenge)
	}
	// Output:
	// help 200 ""
	// read_order 401 "Bearer scope=\"orders:read\""
}

// A tool that learns from its backend that a scope is missing returns NeedScopes. The client gets a challenge, if nothing of
// the answer was sent. One with a typed result is made by StructuredToolHandler for that.
func ExampleStructuredToolHandler() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	type receipt struct{ ID string }
	s := server.NewMCPServer("bank", "1.0.0")
	s.AddTool(mcp.NewTool("transfer"), mcpauthmcpgo.StructuredToolHandler(func(context.Context, mcp.CallToolRequest, struct{}) (receipt, error) {
		return receipt{}, fmt.Errorf("the account is abroad: %w", mcpauth.NeedScopes("transfer:abroad"))
	}))
	endpoint, err := mcpauthmcpgo.Handler(rs, s, mcpauthmcpgo.Config{Stateless: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer"}}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+env.Token(nil))
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	fmt.Println(w.Code)
	fmt.Println(strings.Split(w.Header().Get("WWW-Authenticate"), ", ")[1])
	// Output:
	// 403
	// scope="transfer:abroad"
}

// Mount recognizes the Endpoint itself. What embeds it is a handler like any other, whose own ServeHTTP has to run.
func ExampleEndpoint_SDKHandler() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, err := mcpauthmcpgo.Handler(rs, shop(), mcpauthmcpgo.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	embedding := struct{ *mcpauthmcpgo.Endpoint }{endpoint}
	fmt.Println(endpoint.SDKHandler(endpoint) != nil, embedding.SDKHandler(embedding) != nil)
	// Output: true false
}

// AddSecuritySchemes lets ChatGPT see which tools need an account.
func ExampleAddSecuritySchemes() {
	policy, err := shopPolicy()
	if err != nil {
		fmt.Println(err)
		return
	}
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com", Policy: policy})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := shop()
	mcpauthmcpgo.AddSecuritySchemes(s, nil, rs, policy)
	answer := s.HandleMessage(context.Background(), []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	for _, tool := range answer.(mcp.JSONRPCResponse).Result.(mcp.ListToolsResult).Tools {
		fmt.Println(tool.Name, tool.Meta.AdditionalFields["securitySchemes"])
	}
	// Output:
	// delete_order [{oauth2 [orders:read orders:write]}]
	// help [{noauth []}]
	// read_order [{oauth2 [orders:read]}]
}
