package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// TestR101StolenState has two users who signed in. A tool asks the first one a question, and keeps what it asked about with the
// client (MCP 2026-07-28, RequestState). The second one brings that state, and is refused; the first one is not.
func TestR101StolenState(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", ServerURL: host + "/mcp", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: host, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, rs, refunds(t), &mcp.StreamableHTTPOptions{Stateless: true}) // the go-sdk has this version of MCP only so

	tokens := make(map[string]string)
	for _, user := range []string{"usr_ada", "usr_grace"} {
		session, err := flow.Connect(t.Context(), flow.Options{URL: host + "/mcp", Auto: true, User: user})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = session.Close() })
		tokens[user] = accessToken(t, session)
	}
	call := func(user, state string) answer {
		t.Helper()
		message := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"refund","arguments":{},"requestState":"` + state + `","_meta":{` +
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"by hand","version":"1"},` +
			`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`
		return request(t, http.MethodPost, host+"/mcp", tokens[user], message,
			"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "refund")
	}
	asked := call("usr_ada", "")
	_, data, _ := strings.Cut(asked.body, "data: ")
	var question struct{ Result struct{ RequestState string } }
	if err := json.Unmarshal([]byte(data), &question); err != nil || question.Result.RequestState == "" || strings.Contains(asked.body, "17 EUR") {
		t.Fatalf("the question: %d %s", asked.status, asked.body)
	}
	state := question.Result.RequestState
	if got := call("usr_grace", state); strings.Contains(got.body, "17 EUR") || !strings.Contains(got.body, mcpauth.ErrNotSealed.Error()) {
		t.Errorf("the state in another user's hands: %d %s", got.status, got.body)
	}
	if got := call("usr_ada", state); got.status != http.StatusOK || !strings.Contains(got.body, "refunded 17 EUR") {
		t.Errorf("the state in its user's hands: %d %s", got.status, got.body)
	}
}

// refunds returns a server whose tool asks before it does something.
func refunds(t *testing.T) *mcp.Server {
	t.Helper()
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "refunds", Version: "1.0.0"}, nil)
	mcpauthgosdk.Attach(server)
	questions := mcp.InputRequestMap{"sure": &mcp.ElicitParams{Message: "Sure?", RequestedSchema: map[string]any{"type": "object"}}}
	mcp.AddTool(server, &mcp.Tool{Name: "refund"}, func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		if req.Params.RequestState == "" {
			state, err := mcpauthgosdk.SealState(ctx, sealer, req, []byte("17 EUR"), time.Minute)
			return &mcp.CallToolResult{InputRequests: questions, RequestState: state}, nil, err
		}
		order, err := mcpauthgosdk.OpenState(ctx, sealer, req)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "refunded " + string(order)}}}, nil, nil
	})
	return server
}
