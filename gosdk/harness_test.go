package mcpauthgosdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// versions are those that clients ask for. On a stateful server the newest one becomes 2025-11-25.
var versions = []string{"2026-07-28", "2025-11-25", "2025-06-18"}

// deadline is how long to wait for conditions that come about by themselves, even on a busy machine.
const deadline = 30 * time.Second

// await waits for a value from another goroutine.
func await[T any](t testing.TB, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(deadline):
		t.Fatalf("%s did not happen within %v", what, deadline)
	}
	return value
}

// A setup says how a fixture differs from a stateful server with default settings.
type setup struct {
	stateless bool
	config    func(*mcpauth.Config)
	server    mcp.ServerOptions
	http      mcp.StreamableHTTPOptions
	getServer func(*http.Request) *mcp.Server
	attach    func(*mcp.Server) // mcpauthgosdk.Attach by default
	outer     func(http.Handler) http.Handler
	mount     bool // serve it as Mount does, and not the handler alone
}

// A fixture is an MCP server on a socket, protected in the same way as by Mount.
type fixture struct {
	env    *mcpauthtest.Environment
	rs     *mcpauth.ResourceServer
	server *mcp.Server
	url    string
}

func newFixture(t testing.TB, s setup) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment()}
	t.Cleanup(f.env.Close)
	cfg := f.env.Config("https://mcp.example.com")
	if s.config != nil {
		s.config(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.rs = rs
	f.server = newServer(&s.server)
	if s.attach == nil {
		s.attach = mcpauthgosdk.Attach
	}
	s.attach(f.server)
	if s.getServer == nil {
		s.getServer = func(*http.Request) *mcp.Server { return f.server }
	}
	s.http.Stateless = s.stateless
	// There is no middleware in front: Handler has to be safe without it, see TestHandlerIsNeverOpen.
	handler := mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(s.getServer, &s.http))
	if s.mount {
		handler = rs.Endpoint(handler)
	}
	if s.outer != nil {
		handler = s.outer(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // streams that a test left open
	f.url = server.URL + "/mcp"
	return f
}

type none struct{}

// newServer returns a server whose tool, prompt, resource, template and completion each return who called them.
func newServer(options *mcp.ServerOptions) *mcp.Server {
	options.CompletionHandler = func(ctx context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
		return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{caller(ctx, req.Extra)}}}, nil
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, options)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		return text(caller(ctx, req.Extra)), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "headers"}, func(_ context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		return text(fmt.Sprint(req.Extra.Header)), nil, nil
	})
	server.AddPrompt(&mcp.Prompt{Name: "whoami"}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Description: caller(ctx, req.Extra)}, nil
	})
	read := func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Text: caller(ctx, req.Extra)}}}, nil
	}
	server.AddResource(&mcp.Resource{Name: "me", URI: "whoami://me"}, read)
	server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "any", URITemplate: "orders://{id}"}, read)
	return server
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

// caller returns who called: the user, and the token's id.
func caller(ctx context.Context, extra *mcp.RequestExtra) string {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return err.Error()
	}
	if extra == nil || extra.TokenInfo == nil {
		return "no request with a session"
	}
	info := extra.TokenInfo
	if info.UserID != session.Principal() || !slices.Equal(info.Scopes, session.Scopes()) || !info.Expiration.Equal(session.ExpiresAt()) {
		return "the go-sdk has another caller"
	}
	if auth.TokenInfoFromContext(ctx) != info {
		return "the go-sdk finds another caller in the context"
	}
	return session.UserID() + " " + session.TokenID()
}

// tokens makes tokens of one user. Each new token has the id that was set last.
type tokens struct {
	f   *fixture
	sub string
	id  atomic.Value
}

func (f *fixture) tokensOf(sub string) *tokens {
	u := &tokens{f: f, sub: sub}
	u.id.Store("first")
	return u
}

func (u *tokens) next() string {
	return u.f.env.Token(map[string]any{"sub": u.sub, "jti": u.id.Load()})
}

// A bearer adds a token to each request. It is a function, so that the token can change.
type bearer func() string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b())
	return http.DefaultTransport.RoundTrip(req)
}

// connect returns a client's session with the newest version of the protocol.
func (f *fixture) connect(t testing.TB, token func() string) *mcp.ClientSession {
	t.Helper()
	return f.dial(t, "", token, nil)
}

func (f *fixture) dial(t testing.TB, version string, token func() string, options *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	transport := &mcp.StreamableClientTransport{Endpoint: f.url, HTTPClient: &http.Client{Transport: bearer(token)}}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options).
		Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func call(ctx context.Context, session *mcp.ClientSession, tool string) (string, error) {
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool})
	if err != nil {
		return "", err
	}
	said, ok := result.Content[0].(*mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("answer %s", marshal(result))
	}
	return said.Text, nil
}

// open opens an MCP session and returns its id.
func (f *fixture) open(t testing.TB, token string) string {
	t.Helper()
	resp := f.send(t, http.MethodPost, token, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"raw","version":"1"}}}`)
	defer func() { _ = resp.Body.Close() }()
	id := resp.Header.Get("Mcp-Session-Id")
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // with an EventStore, the headers come before the answer
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: status %d, MCP session %q", resp.StatusCode, id)
	}
	if status := f.status(t, http.MethodPost, token, id, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); status != http.StatusAccepted {
		t.Fatalf("initialized: status %d", status)
	}
	return id
}

// send sends a request and, unlike a client, corrects nothing. The caller has to read the body of the response.
func (f *fixture) send(t testing.TB, method, token, mcpSession, body string, more ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
		if more[i] == "Host" {
			req.Host = more[i+1]
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if mcpSession != "" {
		req.Header.Set("Mcp-Session-Id", mcpSession)
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	resp, err := (&http.Client{Timeout: 2 * deadline}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// status returns the status of the response to a request. It reads the body, unless that is the stream of a GET.
func (f *fixture) status(t testing.TB, method, token, mcpSession, body string) int {
	t.Helper()
	resp := f.send(t, method, token, mcpSession, body)
	if method != http.MethodGet || resp.StatusCode != http.StatusOK {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// stream opens the standalone stream of an MCP session. It tries again while an earlier stream is ending.
func (f *fixture) stream(t testing.TB, token, mcpSession string) *http.Response {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		resp := f.send(t, http.MethodGet, token, mcpSession, "")
		if resp.StatusCode != http.StatusConflict || time.Now().After(end) {
			return resp
		}
		_ = resp.Body.Close()
	}
}

const callWhoami = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`

// whoami returns the answer of the tool whoami on an MCP session, over plain HTTP.
func (f *fixture) whoami(t testing.TB, token, mcpSession string) string {
	t.Helper()
	resp := f.send(t, http.MethodPost, token, mcpSession, callWhoami)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, data, _ := bytes.Cut(body, []byte("data: "))
	var message struct {
		Result struct{ Content []struct{ Text string } }
	}
	if err := json.Unmarshal(data, &message); err != nil || len(message.Result.Content) != 1 {
		t.Fatalf("status %d: %q", resp.StatusCode, body)
	}
	return message.Result.Content[0].Text
}

// short returns claims of a token that ends soon, and its end.
func short(claims map[string]any, life time.Duration) (map[string]any, time.Time) {
	end := time.Now().Add(life)
	claims["exp"] = float64(end.UnixMilli()) / 1000
	return claims, time.UnixMilli(end.UnixMilli())
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// textLogger returns a logger that writes to b, which is read when all requests have been answered.
func textLogger(b io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
