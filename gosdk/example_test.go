package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// Each caller sees, and can call, only the tools that the policy allows. From the outside in: the adapter's Mount,
// RequireOperations, Handler, the go-sdk.
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

	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	for _, name := range []string{"help", "read_order", "delete_order"} {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			session, err := mcpauth.SessionFromContext(ctx)
			if err != nil {
				return nil, nil, err
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name + " for " + session.UserID()}}}, nil, nil
		})
	}
	mcpauthgosdk.Hide(server, policy)
	mcpauthgosdk.Attach(server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	endpoint := httptest.NewServer(rs.RequireOperations(policy)(mcpauthgosdk.Handler(rs, streamable))) // or Mount(root, rs, ...)
	defer endpoint.Close()

	token := env.Token(map[string]any{"sub": "usr_ada", "scope": "orders:read"})
	client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1.0.0"}, nil).Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint:   endpoint.URL + rs.Path(),
		HTTPClient: &http.Client{Transport: bearer(func() string { return token })},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	for tool, err := range client.Tools(context.Background(), nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("shown:", tool.Name)
	}
	for _, name := range []string{"read_order", "delete_order"} {
		said, err := call(context.Background(), client, name)
		fmt.Printf("%s: %q, forbidden: %v\n", name, said, err != nil && strings.Contains(err.Error(), "Forbidden"))
	}
	// Output:
	// shown: help
	// shown: read_order
	// read_order: "read_order for usr_ada", forbidden: false
	// delete_order: "", forbidden: true
}
