package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// Attach shows the tools the session of each call's own request.
func ExampleAttach() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: session.UserID()}}}, nil, nil
	})
	mcpauthgosdk.Attach(server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)

	client, closeAll, err := signIn(mcpauthgosdk.Handler(rs, streamable), env.Token(map[string]any{"sub": "usr_ada"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	fmt.Println(call(context.Background(), client, "whoami"))
	// Output: usr_ada <nil>
}

// Handler stands between an adapter's Mount and the go-sdk. It tells the go-sdk who calls, by Session.Principal, and refuses
// requests without a token even when no middleware is in front.
func ExampleHandler() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(_ context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		isAda := req.Extra.TokenInfo.UserID == env.URL()+"\nusr_ada" // Session.Principal
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint("Ada: ", isAda)}}}, nil, nil
	})
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	handler := mcpauthgosdk.Handler(rs, streamable) // in production: mcpauthhttp.Mount(mux, rs, handler)

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, rs.Path(), nil))
	fmt.Println("without a token:", w.Code)
	client, closeAll, err := signIn(handler, env.Token(map[string]any{"sub": "usr_ada"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	fmt.Println(call(context.Background(), client, "whoami"))
	// Output:
	// without a token: 401
	// Ada: true <nil>
}

// Session returns the caller to the function that chooses the server of a new MCP session, such as one for each plan.
func ExampleSession() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	servers := map[bool]*mcp.Server{}
	for admin, name := range map[bool]string{true: "shop for admins", false: "shop"} {
		servers[admin] = mcp.NewServer(&mcp.Implementation{Name: name, Version: "1.0.0"}, nil)
		mcpauthgosdk.Attach(servers[admin])
	}
	streamable := mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		session, err := mcpauthgosdk.Session(r)
		if err != nil {
			return nil // the go-sdk answers with 400
		}
		return servers[session.HasScopes("admin")]
	}, nil)

	for _, scope := range []string{"admin", "orders:read"} {
		client, closeAll, err := signIn(mcpauthgosdk.Handler(rs, streamable), env.Token(map[string]any{"scope": scope}))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(client.InitializeResult().ServerInfo.Name)
		closeAll()
	}
	// Output:
	// shop for admins
	// shop
}

// signIn serves handler and connects a client that sends token with each request.
func signIn(handler http.Handler, token string) (client *mcp.ClientSession, closeAll func(), err error) {
	endpoint := httptest.NewServer(handler)
	client, err = mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1.0.0"}, nil).Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint:   endpoint.URL + "/mcp",
		HTTPClient: &http.Client{Transport: bearer(func() string { return token })},
	}, nil)
	if err != nil {
		endpoint.Close()
		return nil, nil, err
	}
	return client, func() { _ = client.Close(); endpoint.Close() }, nil
}
