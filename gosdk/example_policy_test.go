package mcpauthgosdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// shop returns a server with three tools.
func shop() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	tool := func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: "read_order", Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true}}, tool)
	mcp.AddTool(server, &mcp.Tool{Name: "delete_order"}, tool)
	mcp.AddTool(server, &mcp.Tool{Name: "help"}, tool)
	return server
}

// Uncovered and Policy.String make a test of the policy: what has no rule, and what the rules are.
func ExampleUncovered() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"read_order":   {Scopes: []string{"orders:read"}},
		"delete_order": {Scopes: []string{"orders:read", "orders:write"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	operations, err := mcpauthgosdk.Uncovered(context.Background(), shop(), policy)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, op := range operations {
		fmt.Println("no rule for the", op.Kind, op.Name)
	}
	fmt.Print(policy)
	// Output:
	// no rule for the tool help
	// tool delete_order: scopes orders:read, orders:write
	// tool read_order: scopes orders:read
	// others: every authenticated caller
}

// ToolRules derives rules from what the tools say about themselves: each that does not only read needs a scope.
func ExampleToolRules() {
	tools, err := mcpauthgosdk.ToolRules(context.Background(), shop(), func(tool *mcp.Tool) mcpauth.Rule {
		if tool.Annotations != nil && tool.Annotations.ReadOnlyHint {
			return mcpauth.Rule{}
		}
		return mcpauth.Rule{Scopes: []string{"write"}}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tools["help"] = mcpauth.Rule{}
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

// A tool that learns from its backend that a scope is missing returns NeedScopes. The client gets a challenge, if nothing of
// the answer was sent.
func ExampleAttach_needScopes() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "bank", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "transfer"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, fmt.Errorf("the account is abroad: %w", mcpauth.NeedScopes("transfer:abroad"))
	})
	mcpauthgosdk.Attach(server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)

	client, closeAll, err := signIn(mcpauthgosdk.Handler(rs, streamable), env.Token(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	_, err = call(context.Background(), client, "transfer")
	fmt.Println("403:", strings.Contains(err.Error(), "Forbidden"))
	// Output: 403: true
}

// SealState protects what the client keeps between two rounds of a call: OpenState opens it for the user of the first round
// alone.
func ExampleSealState() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32))) // in production: openssl rand -base64 32
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "refund"}, refund(sealer))
	mcpauthgosdk.Attach(server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	handler := mcpauthgosdk.Handler(rs, streamable)

	stolen := ""
	for _, user := range []string{"usr_ada", "usr_eve"} {
		token := env.Token(map[string]any{"sub": user})
		client, closeAll, err := signIn(handler, token)
		if err != nil {
			fmt.Println(err)
			return
		}
		if stolen == "" {
			result, err := client.CallTool(context.Background(), &mcp.CallToolParams{Name: "refund"})
			if err != nil {
				fmt.Println(err)
				return
			}
			stolen = result.RequestState
		}
		result, err := client.CallTool(context.Background(), &mcp.CallToolParams{Name: "refund", RequestState: stolen})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user+":", result.Content[0].(*mcp.TextContent).Text)
		closeAll()
	}
	// Output:
	// usr_ada: refunded: order 7
	// usr_eve: mcpauth: the sealed state was changed, has expired, or belongs to another user or purpose
}

// refund is a tool of two rounds, whose state the client keeps in between.
func refund(sealer *mcpauth.Sealer) mcp.ToolHandlerFor[struct{}, any] {
	return func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		if req.Params.RequestState == "" {
			state, err := mcpauthgosdk.SealState(ctx, sealer, req, []byte("order 7"), time.Minute)
			return &mcp.CallToolResult{RequestState: state}, nil, err
		}
		order, err := mcpauthgosdk.OpenState(ctx, sealer, req)
		if err != nil {
			return nil, nil, err
		}
		return text("refunded: " + string(order)), nil, nil
	}
}

// OpenState opens nothing without a session, as over stdio.
func ExampleOpenState() {
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32))) // in production: openssl rand -base64 32
	if err != nil {
		fmt.Println(err)
		return
	}
	req := &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{Name: "refund", RequestState: "made up"}}
	_, err = mcpauthgosdk.OpenState(context.Background(), sealer, req)
	fmt.Println("no session:", errors.Is(err, mcpauth.ErrNoSession))
	ada := mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(map[string]any{"sub": "usr_ada"}))
	_, err = mcpauthgosdk.OpenState(ada, sealer, req)
	fmt.Println(err)
	// Output:
	// no session: true
	// mcpauth: the sealed state was changed, has expired, or belongs to another user or purpose
}
