package mcpgo_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
)

// A guarded fixture has a server whose tools are each for something of Config.Policy, mounted under one router.
type guarded struct {
	*fixture
	asked atomic.Int32 // how often Check was
	ran   atomic.Int32 // how often the hidden tool did
	sent  chan struct{}
}

// eachGuarded runs a test under each router, with MCP sessions and without.
func eachGuarded(t *testing.T, test func(t *testing.T, f *guarded, stateless bool)) {
	t.Parallel()
	for name, serve := range servers {
		for _, stateless := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stateless=%t", name, stateless), func(t *testing.T) {
				t.Parallel()
				test(t, newGuarded(t, serve, stateless), stateless)
			})
		}
	}
}

func newGuarded(t *testing.T, serve serveFunc, stateless bool) *guarded {
	t.Helper()
	f := &guarded{fixture: &fixture{env: mcpauthtest.NewEnvironment(), mcp: tools.New()}, sent: make(chan struct{})}
	t.Cleanup(f.env.Close)
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{"weather": {Public: true}, "announce": {Scopes: []string{"announce:send"}}},
		Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
			f.asked.Add(1)
			if op.Name == "secret" {
				return mcpauth.ErrHidden
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	config := f.env.Config("http://localhost:3001")
	config.Policy, config.Logger = policy, slog.New(slog.DiscardHandler)
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	f.mcp.AddTool(mcp.NewTool("weather"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return mcp.NewToolResultText("rain"), nil
		}
		return mcp.NewToolResultText("rain for " + session.UserID()), nil
	})
	f.mcp.AddTool(mcp.NewTool("secret"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.ran.Add(1)
		return mcp.NewToolResultText("secret"), nil
	})
	f.mcp.AddTool(mcp.NewTool("transfer"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, fmt.Errorf("abroad: %w", mcpauth.NeedScopes("transfer:abroad"))
	})
	f.mcp.AddTool(mcp.NewTool("slow_transfer"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": "at work"})
		select {
		case <-f.sent:
		case <-ctx.Done(): // the test is over
		}
		return nil, fmt.Errorf("abroad: %w", mcpauth.NeedScopes("transfer:abroad"))
	})
	endpoint, err := tools.Endpoint(rs, f.mcp, stateless, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.url = serve(t, rs, endpoint) + "/mcp"
	t.Cleanup(func() { _ = endpoint.Shutdown(context.Background()) }) // before the server's own end
	return f
}

// session opens an MCP session where there are any, without credentials if token is "".
func (f *guarded) session(t *testing.T, token string, stateless bool) string {
	t.Helper()
	if stateless {
		return ""
	}
	//nolint:bodyclose // the end of the test does
	resp := f.open(t, message{token: token, body: `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` +
		`"protocolVersion":"` + legacy + `","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`})
	id := resp.Header.Get("Mcp-Session-Id")
	if resp.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: status %d, session %q", resp.StatusCode, id)
	}
	return id
}

func (f *guarded) expect(t *testing.T, who string, m message, status int, part string) {
	t.Helper()
	if got, body := f.send(t, m); got != status || !strings.Contains(body, part) {
		t.Errorf("%s: status %d, %s; want %d, %s", who, got, body, status, part)
	}
}

// TestR99PublicTools calls a public tool by raw requests and by the clients of both SDKs, without a token.
func TestR99PublicTools(t *testing.T) {
	eachGuarded(t, func(t *testing.T, f *guarded, stateless bool) {
		id := f.session(t, "", stateless)
		f.expect(t, "without credentials", message{session: id, body: call(2, "weather")}, 200, `"rain"`)
		f.expect(t, "a bad token", message{token: "x", session: id, body: call(2, "weather")}, 401, "")
		f.expect(t, "a protected tool", message{session: id, body: call(3, "announce")}, 401, "an access token is required")
		f.expect(t, "a large body", message{session: id, body: strings.Replace(call(3, "weather"), "{}", `{"x":"`+strings.Repeat("x", 64<<10)+`"}`, 1)}, 401, "")
		f.expect(t, "GET", message{method: http.MethodGet, session: id}, 405, "")
		m := modernMessage("", 4, "tools/call", "weather", `"name":"weather"`)
		f.expect(t, "MCP 2026-07-28", m, 200, `"rain"`)
		f.expect(t, "Ada", message{token: f.token(ada), session: id, body: call(5, "weather")}, 200, "rain for "+ada)
		if !stateless {
			f.expect(t, "without credentials, when it is Ada's", message{session: id, body: call(6, "weather")}, 401, "")
			f.expect(t, "Grace", message{token: f.token(grace), session: id, body: call(7, "weather")}, 403, "")
		}

		for _, version := range []string{legacy, modern} {
			to, err := transport.NewStreamableHTTP(f.url)
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
			if _, err := c.Initialize(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
			var weather mcp.CallToolRequest
			weather.Params.Name = "weather"
			if result, err := c.CallTool(t.Context(), weather); err != nil || !strings.Contains(fmt.Sprint(result.Content), "rain") {
				t.Errorf("mcp-go's client, %s: %+v, %v", version, result, err)
			}

			session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).
				Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: f.url}, &sdk.ClientSessionOptions{ProtocolVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = session.Close() })
			if result, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "weather"}); err != nil || result.IsError {
				t.Errorf("the go-sdk's client, %s: %+v, %v", version, result, err)
			}
			if _, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: "announce"}); err == nil {
				t.Errorf("the go-sdk's client, %s, calls a protected tool", version)
			}
		}
	})
}

// TestHiddenTool compares the answers for a hidden tool and for one that does not exist, and counts the calls of Check.
func TestHiddenTool(t *testing.T) {
	eachGuarded(t, func(t *testing.T, f *guarded, stateless bool) {
		id := f.session(t, f.token(ada), stateless)
		ask := func(name string) string {
			f.asked.Store(0)
			resp := f.open(t, message{token: f.token(ada), session: id, body: call(2, name)})
			defer func() { _ = resp.Body.Close() }()
			var body strings.Builder
			if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
				t.Error(err)
			}
			if n := f.asked.Load(); n != 1 {
				t.Errorf("%s: Check was asked %d times", name, n)
			}
			resp.Header.Del("Date")
			return fmt.Sprint(resp.StatusCode, resp.Header, resp.ContentLength, body.String())
		}
		if hidden, unknown := ask("secret"), ask("sxcret"); strings.ReplaceAll(unknown, "sxcret", "secret") != hidden || !strings.Contains(hidden, "tool 'secret' not found") {
			t.Errorf("hidden:  %s\nunknown: %s", hidden, unknown)
		}
		if n := f.ran.Load(); n > 0 {
			t.Errorf("it ran %d times", n)
		}
	})
}

// TestLateStepUp has tools that learn late that a scope is missing, before and after something was sent.
func TestLateStepUp(t *testing.T) {
	eachGuarded(t, func(t *testing.T, f *guarded, stateless bool) {
		token := f.token(ada)
		id := f.session(t, token, stateless)
		resp := f.open(t, message{token: token, session: id, body: call(2, "transfer")}) //nolint:bodyclose // the end of the test does
		if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope", scope="transfer:abroad"`) {
			t.Errorf("before: status %d, %s", resp.StatusCode, challenge)
		}
		resp = f.open(t, message{token: token, session: id, body: call(3, "slow_transfer")}) //nolint:bodyclose // as above
		stream := bufio.NewReader(resp.Body)
		event(t, stream, "at work")
		f.sent <- struct{}{}
		if got := fmt.Sprint(event(t, stream, `"result"`)); !strings.Contains(got, "isError:true") || !strings.Contains(got, "needs the scopes transfer:abroad") {
			t.Errorf("after: %s", got)
		}
		f.expect(t, "another call", message{token: token, session: id, body: call(4, "weather")}, 200, "rain for "+ada)
	})
}
