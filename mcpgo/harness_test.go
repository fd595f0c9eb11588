package mcpauthmcpgo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

const (
	legacy = "2025-11-25" // the last version of MCP with sessions
	modern = "2026-07-28"

	ada   = "usr_ada"
	grace = "usr_grace"
)

// deadline is for conditions that come about by themselves, on a busy machine too.
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

// A setup says how a fixture differs from a server with MCP sessions and default settings.
type setup struct {
	config   func(*mcpauth.Config)
	sessions mcpauthmcpgo.Config
	server   []server.ServerOption
	options  []server.StreamableHTTPOption
	prepare  func(*server.MCPServer) // before Handler
	outer    func(http.Handler) http.Handler
	mount    bool            // serve it as Mount does, and not the handler alone
	policy   *mcpauth.Policy // by RequireOperations
}

// A fixture is an MCP server, protected as Mount does it, behind a socket.
type fixture struct {
	env *mcpauthtest.Environment
	rs  *mcpauth.ResourceServer
	mcp *server.MCPServer
	url string
	log *safeBuffer
}

func newFixture(t testing.TB, s setup) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment(), log: new(safeBuffer)}
	t.Cleanup(f.env.Close)
	cfg := f.env.Config("https://mcp.example.com")
	cfg.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	if s.config != nil {
		s.config(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.rs = rs
	f.mcp = newServer(s.server...)
	if s.prepare != nil {
		s.prepare(f.mcp)
	}
	options := append([]server.StreamableHTTPOption{server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))}, s.options...)
	// Handler alone: that it is safe without the middleware in front is a promise, and TestHandlerIsNeverOpen's subject.
	endpoint, err := mcpauthmcpgo.Handler(rs, f.mcp, s.sessions, options...)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = endpoint
	if s.policy != nil {
		handler = rs.RequireOperations(s.policy)(endpoint)
	}
	if s.mount {
		handler = rs.Endpoint(handler)
	}
	if s.outer != nil {
		handler = s.outer(handler)
	}
	f.url = serve(t, handler)
	t.Cleanup(func() { _ = endpoint.Shutdown(context.Background()) })
	return f
}

// replica returns another server of the same resource.
func (f *fixture) replica(t testing.TB, s *server.MCPServer, config mcpauthmcpgo.Config) *fixture {
	t.Helper()
	endpoint, err := mcpauthmcpgo.Handler(f.rs, s, config)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{env: f.env, url: serve(t, endpoint)}
}

// serve returns the URL of an endpoint behind a socket.
func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	t.Cleanup(web.CloseClientConnections) // streams that a test left open
	return web.URL + "/mcp"
}

// A safeBuffer is a log that several goroutines write to.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newServer returns a server whose tool, prompt, resource, template and completion each say who called them.
func newServer(options ...server.ServerOption) *server.MCPServer {
	s := server.NewMCPServer("test", "1", append([]server.ServerOption{
		server.WithCompletions(), server.WithPromptCompletionProvider(completion{}), server.WithToolCapabilities(true),
	}, options...)...)
	s.AddTool(mcp.NewTool("whoami"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(caller(ctx)), nil
	})
	s.AddTool(mcp.NewTool("headers"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(fmt.Sprint(r.Header)), nil
	})
	s.AddPrompt(mcp.NewPrompt("whoami"), func(ctx context.Context, _ mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return mcp.NewGetPromptResult(caller(ctx), nil), nil
	})
	read := func(ctx context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, Text: caller(ctx)}}, nil
	}
	s.AddResource(mcp.NewResource("whoami://me", "me"), read)
	s.AddResourceTemplate(mcp.NewResourceTemplate("orders://{id}", "any"), read)
	return s
}

type completion struct{}

func (completion) CompletePromptArgument(ctx context.Context, _ string, _ mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: []string{caller(ctx)}}, nil
}

// caller says who called: the user, and the token's id.
func caller(ctx context.Context) string {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return err.Error()
	}
	return session.UserID() + " " + session.TokenID()
}

func (f *fixture) token(user string) string { return f.env.Token(map[string]any{"sub": user}) }

// A bearer adds a token to each request, from a function so that it can change.
type bearer func() string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b())
	return http.DefaultTransport.RoundTrip(req)
}

// connect connects mcp-go's own client.
func (f *fixture) connect(t testing.TB, version string, token func() string) *client.Client {
	t.Helper()
	to, err := transport.NewStreamableHTTP(f.url, transport.WithHTTPBasicClient(&http.Client{Transport: bearer(token)}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(to, client.WithProtocolVersion(version))
	t.Cleanup(func() { _ = c.Close() })
	start(t, c, version)
	return c
}

func start(t testing.TB, c *client.Client, version string) {
	t.Helper()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = version
	hello.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
}

func callTool(ctx context.Context, c *client.Client, name string) (string, error) {
	var call mcp.CallToolRequest
	call.Params.Name = name
	result, err := c.CallTool(ctx, call)
	if err != nil {
		return "", err
	}
	text, ok := result.Content[0].(mcp.TextContent)
	if !ok || result.IsError {
		return "", fmt.Errorf("answer %+v", result)
	}
	return text.Text, nil
}

// A message is a request without a client's manners.
type message struct {
	http    string // the method, POST by default
	token   string
	session string
	version string // modern adds what MCP 2026-07-28 wants; legacy by default
	method  string
	name    string // Mcp-Name
	params  string // members
	id      any    // nil is a notification
	body    string // in place of what method, params and id say
	header  http.Header
}

func (m message) text() string {
	if m.body != "" || m.method == "" {
		return m.body
	}
	var members []string
	if m.params != "" {
		members = append(members, m.params)
	}
	if m.version == modern {
		members = append(members, `"_meta":{"io.modelcontextprotocol/protocolVersion":"`+modern+`","io.modelcontextprotocol/clientCapabilities":{}}`)
	}
	head := ""
	if m.id != nil {
		head = fmt.Sprintf(`"id":%v,`, m.id)
	}
	return `{"jsonrpc":"2.0",` + head + `"method":"` + m.method + `","params":{` + strings.Join(members, ",") + `}}`
}

// open sends m and returns the response, whose body the test's end closes.
func (f *fixture) open(t testing.TB, m message) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadline)
	t.Cleanup(cancel)
	if m.http == "" {
		m.http = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, m.http, f.url, strings.NewReader(m.text()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if m.token != "" {
		req.Header.Set("Authorization", "Bearer "+m.token)
	}
	if m.session != "" {
		req.Header.Set("Mcp-Session-Id", m.session)
	}
	if m.version == modern {
		req.Header.Set("Mcp-Protocol-Version", modern)
		req.Header.Set("Mcp-Method", m.method)
		if m.name != "" {
			req.Header.Set("Mcp-Name", m.name)
		}
	}
	maps.Copy(req.Header, m.header)
	if host := m.header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// send sends m and returns the status, and the body, unless it is an open stream.
func (f *fixture) send(t testing.TB, m message) (int, string) {
	t.Helper()
	resp := f.open(t, m)
	if m.http == http.MethodGet && resp.StatusCode == http.StatusOK {
		_ = resp.Body.Close()
		return resp.StatusCode, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const hello = `"protocolVersion":"` + legacy + `","capabilities":{"elicitation":{}},"clientInfo":{"name":"raw","version":"1"}`

// initialize opens an MCP session and returns its id.
func (f *fixture) initialize(t testing.TB, token string) string {
	t.Helper()
	resp := f.open(t, message{token: token, method: "initialize", id: 1, params: hello}) //nolint:bodyclose // the end of the test does
	_, _ = io.Copy(io.Discard, resp.Body)
	id := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: status %d, session %q", resp.StatusCode, id)
	}
	return id
}

var lastID atomic.Int32

// call is a call of a tool, with an id that no other one has. Without a session it is one of version.
func call(token, session, version, tool string) message {
	return message{
		token: token, session: session, version: version, method: "tools/call", name: tool,
		id: 100 + lastID.Add(1), params: `"name":"` + tool + `","arguments":{}`,
	}
}

// event reads a stream up to its next message that has want in it.
func event(t testing.TB, from *bufio.Reader, want string) map[string]any {
	t.Helper()
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended without %q: %v", want, err)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || !strings.Contains(data, want) {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// kinds are the ways in which calls come without an MCP session, or with one.
var kinds = []struct {
	name      string
	stateless bool
	version   string
}{
	{"session", false, legacy},
	{"2026-07-28", false, modern},
	{"stateless", true, legacy},
	{"stateless 2026-07-28", true, modern},
}

// eachKind runs a test for each of them. session returns the MCP session of a user, "" where there are none.
func eachKind(t *testing.T, test func(t *testing.T, stateless bool, version string)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.stateless, kind.version)
		})
	}
}

// sessionOf opens an MCP session where there are any.
func (f *fixture) sessionOf(t testing.TB, user string, stateless bool, version string) string {
	t.Helper()
	if stateless || version == modern {
		return ""
	}
	return f.initialize(t, f.token(user))
}
