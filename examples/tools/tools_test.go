package tools_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// call makes one call over HTTP, to a server without MCP sessions, and returns the answer's text.
func call(t *testing.T, tool, arguments string) (text string, failed bool) {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("http://localhost:3001"))
	if err != nil {
		t.Fatal(err)
	}
	server := tools.New(rs, slog.New(slog.DiscardHandler))
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	httpServer := httptest.NewServer(mcpauthgosdk.Handler(rs, streamable))
	t.Cleanup(httpServer.Close)

	message := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, httpServer.URL, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"oid": nil, "scope": nil}))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Result struct {
			Content []struct{ Text string }
			IsError bool
		}
		Error *struct{ Message string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v in %s", resp.Status, err, body)
	}
	if answer.Error != nil {
		return answer.Error.Message, true
	}
	return answer.Result.Content[0].Text, answer.Result.IsError
}

func TestRandomNumber(t *testing.T) {
	t.Parallel()
	for arguments, bounds := range map[string][2]int64{
		`{}`:                  {1, 100},
		`{"max":3}`:           {1, 3},
		`{"min":-2,"max":-1}`: {-2, -1},
		`{"min":0,"max":0}`:   {0, 0},
		`{"min":-9007199254740991,"max":9007199254740991}`: {-9007199254740991, 9007199254740991},
	} {
		text, failed := call(t, "random_number", arguments)
		n, err := strconv.ParseInt(text, 10, 64)
		if failed || err != nil || n < bounds[0] || n > bounds[1] {
			t.Errorf("%s: %q", arguments, text)
		}
	}
	for arguments, want := range map[string]string{
		`{"min":2,"max":1}`:         "min (2) is greater than max (1)",
		`{"min":101}`:               "min (101) is greater than max (100)",
		`{"max":9007199254740992}`:  "2^53-1",
		`{"min":-9007199254740992}`: "2^53-1",
		`{"min":"1"}`:               "min",
		`{"min":1.5}`:               "min",
		`{"maximum":1}`:             "maximum",
	} {
		if text, failed := call(t, "random_number", arguments); !failed || !strings.Contains(text, want) {
			t.Errorf("%s: %q, want an error with %q", arguments, text, want)
		}
	}
}

func TestWhoamiWithNothingButASubject(t *testing.T) {
	t.Parallel()
	text, failed := call(t, "whoami", `{}`)
	var identity map[string]any
	if err := json.Unmarshal([]byte(text), &identity); failed || err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	scopes, ok := identity["scopes"].([]any)
	if !ok || len(scopes) != 0 || identity["organizationId"] != "" || identity["userId"] == "" {
		t.Errorf("whoami = %s", text)
	}
}

// Without a middleware that verifies tokens, no tool sees a session.
func TestWithoutMiddleware(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("http://localhost:3001"))
	if err != nil {
		t.Fatal(err)
	}
	here, there := mcp.NewInMemoryTransports()
	if _, err := tools.New(rs, slog.New(slog.DiscardHandler)).Connect(t.Context(), there, nil); err != nil {
		t.Fatal(err)
	}
	// They see none even when the program's own context holds one.
	ctx := mcpauth.NewContext(context.WithoutCancel(t.Context()), mcpauthtest.NewSession(nil))
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	for _, tool := range []string{"whoami", "greet", "get_organization"} {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool})
		if err != nil || !result.IsError {
			t.Errorf("%s: %v, %v", tool, result, err)
		}
	}
}
