package mcpgo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
)

const (
	ada   = "usr_ada"
	grace = "usr_grace"

	legacy = "2025-11-25" // the last MCP version with sessions
	modern = "2026-07-28"
)

// A fixture is the examples' MCP server behind mcpauth.
type fixture struct {
	env *mcpauthtest.Environment
	mcp *server.MCPServer
	url string
}

type options struct {
	stateless bool
	skew      time.Duration
	open      bool // without RequireOperations
}

// eachRouter runs a test under each router, over sockets.
func eachRouter(t *testing.T, test func(*testing.T, func(*testing.T, options) *fixture)) {
	t.Parallel()
	for name, serve := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, o options) *fixture {
				t.Helper()
				return newFixture(t, serve, o)
			})
		})
	}
}

func newFixture(t *testing.T, serve serveFunc, o options) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment(), mcp: tools.New()}
	t.Cleanup(f.env.Close)
	config := f.env.Config("http://localhost:3001")
	if o.skew > 0 {
		config.ClockSkew = o.skew
	}
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := tools.Endpoint(rs, f.mcp, o.stateless, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := mcpauth.NewPolicy(tools.Rules)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = endpoint
	if !o.open {
		handler = rs.RequireOperations(policy)(endpoint)
	}
	f.url = serve(t, rs, handler) + "/mcp"
	t.Cleanup(func() { _ = endpoint.Shutdown(context.Background()) }) // before the server's own end
	return f
}

func (f *fixture) token(user string) string { return f.env.Token(map[string]any{"sub": user}) }

// A bearer adds a new token to each request.
type bearer func() string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b())
	return http.DefaultTransport.RoundTrip(req)
}

// A caller calls the tool whoami.
type caller func(context.Context) (user string, err error)

// mcpgoClient connects mcp-go's own client.
func (f *fixture) mcpgoClient(t *testing.T, user, version string) caller {
	t.Helper()
	to, err := transport.NewStreamableHTTP(f.url, transport.WithHTTPBasicClient(&http.Client{Transport: bearer(func() string { return f.token(user) })}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(to, client.WithProtocolVersion(version))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = version
	hello.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (string, error) {
		var call mcp.CallToolRequest
		call.Params.Name = "whoami"
		result, err := c.CallTool(ctx, call)
		if err != nil {
			return "", err
		}
		return identity(result.StructuredContent)
	}
}

// sdkClient connects the client of the official go-sdk.
func (f *fixture) sdkClient(t *testing.T, user, version string) caller {
	t.Helper()
	c := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	session, err := c.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: f.url, HTTPClient: &http.Client{Transport: bearer(func() string { return f.token(user) })},
	}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return func(ctx context.Context) (string, error) {
		result, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "whoami"})
		if err != nil {
			return "", err
		}
		return identity(result.StructuredContent)
	}
}

func identity(structured any) (string, error) {
	fields, _ := structured.(map[string]any)
	user, ok := fields["userId"].(string)
	if !ok {
		return "", fmt.Errorf("answer %v", structured)
	}
	return user, nil
}

// A message is a request as an attacker may send it.
type message struct {
	method, token, session, body string
	header                       map[string]string
}

// open sends m and returns the response, whose body the test's end closes.
func (f *fixture) open(t *testing.T, m message) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	method := m.method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, f.url, bytes.NewBufferString(m.body))
	if err != nil {
		t.Fatal(err)
	}
	if m.token != "" {
		req.Header.Set("Authorization", "Bearer "+m.token)
	}
	if m.session != "" {
		req.Header.Set("Mcp-Session-Id", m.session)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for name, value := range m.header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// send sends m and returns the status, and the body, unless it is an open stream.
func (f *fixture) send(t *testing.T, m message) (int, string) {
	t.Helper()
	resp := f.open(t, m) //nolint:bodyclose // the end of the test does
	if m.method == http.MethodGet && resp.StatusCode == http.StatusOK {
		return resp.StatusCode, "" // it stays open
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// initialize opens an MCP session, and returns its id.
func (f *fixture) initialize(t *testing.T, user string) string {
	t.Helper()
	//nolint:bodyclose // the end of the test does
	resp := f.open(t, message{token: f.token(user), body: `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` +
		`"protocolVersion":"` + legacy + `","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}}`})
	_, _ = io.Copy(io.Discard, resp.Body)
	id := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: status %d, session %q", resp.StatusCode, id)
	}
	return id
}

// call is a tools/call of MCP 2025-11-25.
func call(id int, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, id, tool)
}

// modernMessage is a message of MCP 2026-07-28.
func modernMessage(token string, id any, method, name, params string) message {
	header := map[string]string{"MCP-Protocol-Version": modern, "Mcp-Method": method}
	if name != "" {
		header["Mcp-Name"] = name
	}
	head := ""
	if id != nil {
		head = fmt.Sprintf(`"id":%v,`, id)
	}
	return message{token: token, header: header, body: `{"jsonrpc":"2.0",` + head + `"method":"` + method + `","params":{` + params +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modern + `","io.modelcontextprotocol/clientCapabilities":{}}}}`}
}

// event reads a stream up to its next message that has want in it.
func event(t *testing.T, from *bufio.Reader, want string) map[string]any {
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
