package mcpauthgosdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// ChatGPT reads in the list of the tools which of them need an account, and which scopes to ask for.
func ExampleAddSecuritySchemes() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"help":         {Public: true},
		"read_order":   {Scopes: []string{"orders:read"}},
		"delete_order": {Scopes: []string{"orders:read", "orders:write"}},
	}})
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
	server := shop()
	mcpauthgosdk.AddSecuritySchemes(server, rs, policy)
	mcpauthgosdk.Attach(server)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)

	client, closeAll, err := signIn(mcpauthgosdk.Handler(rs, streamable), env.Token(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	for tool, err := range client.Tools(context.Background(), nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		meta, err := json.Marshal(tool.Meta)
		fmt.Println(tool.Name, string(meta), err)
	}
	// Output:
	// delete_order {"securitySchemes":[{"scopes":["orders:read","orders:write"],"type":"oauth2"}]} <nil>
	// help {"securitySchemes":[{"type":"noauth"}]} <nil>
	// read_order {"securitySchemes":[{"scopes":["orders:read"],"type":"oauth2"}]} <nil>
}

// Two replicas with the same key: a client gets the first page from one, and the second from the other. The cursor between them
// does not say which tool was the last.
func ExampleHideWithSealer() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"refund": {Scopes: []string{"refunds"}, Hide: true}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	cursor := ""
	for range 2 {
		sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32))) // in production: openssl rand -base64 32
		if err != nil {
			fmt.Println(err)
			return
		}
		server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1.0.0"}, &mcp.ServerOptions{PageSize: 2})
		for _, name := range []string{"help", "refund", "whoami"} {
			server.AddTool(&mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}}, nil)
		}
		mcpauthgosdk.HideWithSealer(server, policy, sealer)
		mcpauthgosdk.Attach(server)
		streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
		client, closeAll, err := signIn(mcpauthgosdk.Handler(rs, streamable), env.Token(nil))
		if err != nil {
			fmt.Println(err)
			return
		}
		page, err := client.ListTools(context.Background(), &mcp.ListToolsParams{Cursor: cursor})
		closeAll()
		if err != nil {
			fmt.Println(err)
			return
		}
		cursor = page.NextCursor
		fmt.Println(page.Tools[0].Name, len(page.Tools), cursor != "")
	}
	// Output:
	// help 1 true
	// whoami 1 false
}

type (
	taskRequest struct {
		mcp.ParamsBase
		TaskID string `json:"taskId"`
	}
	taskStatus struct {
		mcp.ResultBase
		Status string `json:"status"`
	}
)

// The go-sdk has no tasks (SEP-2663). A server that adds them gives out handles that are sealed for their user, and opens the handle
// first, whatever is asked about a task: the task's own id is never sent, and another user who has obtained a handle can't use it.
func Example_tasks() {
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
	mcp.AddTool(server, &mcp.Tool{Name: "report"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		handle, err := sealer.Seal(session, "task", []byte("task 7"), time.Hour)
		return text(handle), nil, err
	})
	err = mcp.AddReceivingCustomMethod(server, "tasks/get", func(ctx context.Context, _ *mcp.ServerSession, params *taskRequest) (*taskStatus, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, err
		}
		id, err := sealer.Open(session, "task", params.TaskID)
		if err != nil {
			return nil, errors.New("no such task")
		}
		return &taskStatus{Status: string(id) + " is working"}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mcpauthgosdk.Attach(server)
	handler := mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))

	handle := ""
	for _, user := range []string{"usr_ada", "usr_eve"} {
		client, closeAll, err := signInWithTasks(handler, env.Token(map[string]any{"sub": user}))
		if err != nil {
			fmt.Println(err)
			return
		}
		if handle == "" {
			handle, err = call(context.Background(), client, "report")
			if err != nil {
				fmt.Println(err)
				return
			}
		}
		task, err := mcp.CallCustomMethod[*taskRequest, *taskStatus](context.Background(), client, "tasks/get", &taskRequest{TaskID: handle})
		if err != nil {
			fmt.Println(user+":", err)
		} else {
			fmt.Println(user+":", task.Status)
		}
		closeAll()
	}
	// Output:
	// usr_ada: task 7 is working
	// usr_eve: calling "tasks/get": no such task
}

// signInWithTasks is signIn for a client that knows tasks/get.
func signInWithTasks(handler http.Handler, token string) (client *mcp.ClientSession, closeAll func(), err error) {
	endpoint := httptest.NewServer(handler)
	withTasks := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1.0.0"}, nil)
	if err := mcp.AddSendingCustomMethod[*taskRequest, *taskStatus](withTasks, "tasks/get"); err != nil {
		endpoint.Close()
		return nil, nil, err
	}
	client, err = withTasks.Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint:   endpoint.URL + "/mcp",
		HTTPClient: &http.Client{Transport: bearer(func() string { return token })},
	}, nil)
	if err != nil {
		endpoint.Close()
		return nil, nil, err
	}
	return client, func() { _ = client.Close(); endpoint.Close() }, nil
}
