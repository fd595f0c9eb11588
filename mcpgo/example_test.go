package mcpauthmcpgo_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// An MCP session answers only to the user who opened it, also when its id has leaked.
func ExampleHandler() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	s := server.NewMCPServer("shop", "1.0.0")
	endpoint, err := mcpauthmcpgo.Handler(rs, s, mcpauthmcpgo.Config{}, server.WithSessionIdleTTL(30*time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = endpoint.Shutdown(context.Background()) }()
	send := func(user, mcpSession, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, rs.Path(), strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"sub": user}))
		r.Header.Set("Content-Type", "application/json")
		if mcpSession != "" {
			r.Header.Set("Mcp-Session-Id", mcpSession)
		}
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r) // in production: the Mount of an adapter
		return w
	}
	opened := send("usr_ada", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	id := opened.Header().Get("Mcp-Session-Id")
	for _, user := range []string{"usr_ada", "usr_grace"} {
		fmt.Println(user, send(user, id, `{"jsonrpc":"2.0","id":2,"method":"ping"}`).Code)
	}
	// Output:
	// usr_ada 200
	// usr_grace 403
}

type planKey struct{}

// A function that mcp-go calls for each message looks something up for the caller, and stores it for the tools.
func ExampleSession() {
	plans := map[string]string{"org_1": "gold"}
	config := mcpauthmcpgo.Config{
		Stateless: true,
		ContextFunc: func(ctx context.Context, r *http.Request) context.Context {
			session, err := mcpauthmcpgo.Session(r)
			if err != nil {
				return ctx
			}
			return context.WithValue(ctx, planKey{}, plans[session.OrganizationID()])
		},
	}

	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	s := server.NewMCPServer("shop", "1.0.0")
	s.AddTool(mcp.NewTool("plan"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		fmt.Println("the plan is", ctx.Value(planKey{}))
		return mcp.NewToolResultText("done"), nil
	})
	endpoint, err := mcpauthmcpgo.Handler(rs, s, config)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, rs.Path(),
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"plan"}}`))
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"oid": "org_1"}))
	r.Header.Set("Content-Type", "application/json")
	endpoint.ServeHTTP(httptest.NewRecorder(), r) // in production: the Mount of an adapter
	// Output:
	// the plan is gold
}

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
