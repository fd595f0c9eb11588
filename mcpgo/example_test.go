package mcpauthmcpgo_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// Each caller sees, and can call, only the tools that the policy allows. From the outside in: the adapter's Mount,
// RequireOperations, Handler, mcp-go.
func ExampleHide() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"read_order":   {Scopes: []string{"orders:read"}},
		"delete_order": {Scopes: []string{"orders:read", "orders:write"}, Hide: true},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	hooks := new(server.Hooks)
	s := server.NewMCPServer("shop", "1.0.0", server.WithHooks(hooks))
	for _, name := range []string{"help", "read_order", "delete_order"} {
		s.AddTool(mcp.NewTool(name), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			session, err := mcpauth.SessionFromContext(ctx)
			if err != nil {
				return nil, err
			}
			return mcp.NewToolResultText(name + " for " + session.UserID()), nil
		})
	}
	mcpauthmcpgo.Hide(s, hooks, policy)
	endpoint, err := mcpauthmcpgo.Handler(rs, s, mcpauthmcpgo.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = endpoint.Shutdown(context.Background()) }()
	web := httptest.NewServer(rs.RequireOperations(policy)(endpoint)) // or Mount(root, rs, ...)
	defer web.Close()

	token := env.Token(map[string]any{"sub": "usr_ada", "scope": "orders:read"})
	to, err := transport.NewStreamableHTTP(web.URL+rs.Path(), transport.WithHTTPBasicClient(&http.Client{Transport: bearer(func() string { return token })}))
	if err != nil {
		fmt.Println(err)
		return
	}
	c := client.NewClient(to)
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	if _, err := c.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		fmt.Println(err)
		return
	}
	tools, err := c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tool := range tools.Tools {
		fmt.Println("shown:", tool.Name)
	}
	for _, name := range []string{"read_order", "delete_order"} {
		said, err := callTool(ctx, c, name)
		fmt.Printf("%s: %q, refused: %v\n", name, said, err != nil && strings.Contains(err.Error(), "insufficient_scope"))
	}
	// Output:
	// shown: help
	// shown: read_order
	// read_order: "read_order for usr_ada", refused: false
	// delete_order: "", refused: true
}
