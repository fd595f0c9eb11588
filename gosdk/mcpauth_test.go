package mcpauthgosdk_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// A fixture is an MCP server with the tool whoami.
type fixture struct {
	env *mcpauthtest.Environment
	url string
}

func newFixture(t *testing.T, stateless bool) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment()}
	t.Cleanup(f.env.Close)
	rs, err := mcpauth.New(f.env.Config("http://localhost:3001"))
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcpauthgosdk.Attach(server)
	type none struct{}
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		text := session.UserID()
		if info := req.Extra.TokenInfo; info.UserID != session.Principal() || !slices.Equal(info.Scopes, session.Scopes()) || !info.Expiration.Equal(session.ExpiresAt()) {
			text = "the go-sdk was told something else"
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "headers"}, func(_ context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(req.Extra.Header)}}}, nil, nil
	})
	// Handler alone: that it is safe without the middleware in front is a promise, and TestHandlerIsNeverOpen's subject.
	handler := mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless}))
	s := httptest.NewServer(rs.EndWithToken(handler))
	t.Cleanup(s.Close)
	f.url = s.URL + "/mcp"
	return f
}

// A bearer adds a token to each request, from a function so that it can change.
type bearer func() string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b())
	return http.DefaultTransport.RoundTrip(req)
}

func (f *fixture) connect(t *testing.T, token func() string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: f.url, HTTPClient: &http.Client{Transport: bearer(token)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func whoami(ctx context.Context, session *mcp.ClientSession) (string, error) {
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("answer %+v", result)
	}
	return text.Text, nil
}

// TestR69EachCallSeesItsOwnUser runs two users, with a new token for every call, 200 calls each at once.
func TestR69EachCallSeesItsOwnUser(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateless=%v", stateless), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, stateless)
			var wg sync.WaitGroup
			for _, user := range []string{"usr_ada", "usr_grace"} {
				session := f.connect(t, func() string { return f.env.Token(map[string]any{"sub": user}) })
				for range 4 {
					wg.Go(func() {
						for range 50 {
							if got, err := whoami(t.Context(), session); err != nil || got != user {
								t.Errorf("%s saw %q, %v", user, got, err)
								return
							}
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

func TestR71ToolsDoNotSeeTheToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, false)
	session := f.connect(t, func() string { return f.env.Token(nil) })
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "headers"})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || strings.Contains(text.Text, "Authorization") || strings.Contains(text.Text, "Bearer") || !strings.Contains(text.Text, "Content-Type") {
		t.Errorf("the tool sees %+v", result.Content[0])
	}
}

// raw sends a request as an attacker would, with an MCP session id of another user.
func (f *fixture) raw(t *testing.T, method, token, mcpSession, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Mcp-Session-Id", mcpSession)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if method != http.MethodGet { // whose stream stays open
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	return resp.StatusCode
}

func TestR69SessionOfAnotherUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t, false)
	sub := "usr_ada"
	ada := f.connect(t, func() string { return f.env.Token(map[string]any{"sub": sub, "jti": fmt.Sprint(len(sub))}) })
	id := ada.ID()
	if id == "" {
		t.Fatal("no MCP session")
	}
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`
	for _, claims := range []map[string]any{{"sub": "usr_grace"}, {"sub": "usr_ada\nx"}} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			body := ""
			if method == http.MethodPost {
				body = call
			}
			if status := f.raw(t, method, f.env.Token(claims), id, body); status != http.StatusForbidden {
				t.Errorf("%s with the token of %v: status %d, want 403", method, claims, status)
			}
			if status := f.raw(t, method, "", id, body); status != http.StatusUnauthorized {
				t.Errorf("%s without a token: status %d, want 401", method, status)
			}
		}
	}
	if got, err := whoami(t.Context(), ada); err != nil || got != "usr_ada" { // with yet another token of hers
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestHandlerIsNeverOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, true)
	if status := f.raw(t, http.MethodPost, "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); status != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", status)
	}
	if status := f.raw(t, http.MethodPost, "x", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); status != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", status)
	}
}

// TestSessionIsClearedWhenAbsent calls a tool in memory, with no HTTP request behind it, in a context that carries
// somebody's session: the call is not theirs.
func TestSessionIsClearedWhenAbsent(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcpauthgosdk.Attach(server)
	type none struct{}
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		_, err := mcpauth.SessionFromContext(ctx)
		return nil, nil, err
	})
	ctx := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil))
	here, there := mcp.NewInMemoryTransports()
	serverSession, err := server.Connect(ctx, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = serverSession.Close() }()
	client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(ctx, there, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	result, err := client.CallTool(ctx, &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		t.Fatal(err)
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok || !result.IsError || !strings.Contains(text.Text, "session not initialized") {
		t.Errorf("answer %+v", result)
	}
}
