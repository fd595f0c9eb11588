package tenants_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/tenants"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// A log collects what is logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A fixture serves the tenants acme and globex.
type fixture struct {
	env     *mcpauthtest.Environment
	tenants *tenants.Tenants
	url     string
	log     *log
}

var errDatabase = errors.New("the database is away")

func lookup(_ context.Context, tenant string) (string, error) {
	switch tenant {
	case "acme", "globex":
		return "res_" + tenant, nil
	case "broken":
		return "", errDatabase
	}
	return "", tenants.ErrUnknown
}

// mcpServer has a tool that says which tenant was asked, and by whom.
func mcpServer(tenant string, rs *mcpauth.ResourceServer) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: tenant, Version: "1.0.0"}, nil)
	mcpauthgosdk.Attach(server)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: session.UserID() + " at " + tenant}}}, nil, nil
	})
	return mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment(), log: new(log)}
	t.Cleanup(f.env.Close)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	base := f.env.Config(server.URL)
	base.ResourceID = ""
	base.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	var err error
	if f.tenants, err = tenants.New(tenants.Config{Base: base, Lookup: lookup, Handler: mcpServer}); err != nil {
		t.Fatal(err)
	}
	f.tenants.Register(mux)
	return f
}

func (f *fixture) token(tenant string) string {
	return f.env.Token(map[string]any{"aud": "res_" + tenant, "iss": f.env.URL() + "/resources/res_" + tenant})
}

type bearer string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(req)
}

func (f *fixture) whoami(t *testing.T, tenant string) string {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1.0.0"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: f.url + "/" + tenant + "/mcp", HTTPClient: &http.Client{Transport: bearer(f.token(tenant))},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
	if err != nil || result.IsError {
		t.Fatal(err, result)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request.
func (f *fixture) do(t *testing.T, method, path, token string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}
