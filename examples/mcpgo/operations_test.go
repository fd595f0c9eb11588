package mcpgo_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/tools"
	sdktools "github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// TestR64UnderEveryAdapter has both MCP servers behind RequireOperations under every router.
func TestR64UnderEveryAdapter(t *testing.T) {
	t.Parallel()
	for router, serve := range servers {
		for server, handler := range map[string]func(*testing.T, *mcpauth.ResourceServer) http.Handler{"mcp-go": mcpgoHandler, "go-sdk": sdkHandler} {
			t.Run(router+"/"+server, func(t *testing.T) {
				t.Parallel()
				f := &fixture{env: mcpauthtest.NewEnvironment()}
				t.Cleanup(f.env.Close)
				rs, err := mcpauth.New(f.env.Config("http://localhost:3001"))
				if err != nil {
					t.Fatal(err)
				}
				policy, err := mcpauth.NewPolicy(tools.Rules)
				if err != nil {
					t.Fatal(err)
				}
				require := rs.RequireOperations(policy)
				f.url = serve(t, rs, require(handler(t, rs))) + "/mcp"
				checkOperations(t, f)
			})
		}
	}
}

func checkOperations(t *testing.T, f *fixture) {
	t.Helper()
	const announced = "usr_1 announces: it runs"
	announce := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"announce","arguments":{"text":"it runs"}}}`
	without, with := f.env.Token(map[string]any{"scope": "greet:write"}), f.env.Token(map[string]any{"scope": "greet:write announce:send"})
	for _, c := range []struct {
		name, token, body string
		status            int
	}{
		{"with the scope", with, announce, 200},
		{"without it", without, announce, 403},
		{"without a token", "", announce, 401},
		{"another tool", without, strings.ReplaceAll(announce, "announce", "greet"), 200},
		{"Mcp-Name says another", without, announce, 403},
		{"escapes", without, strings.ReplaceAll(announce, `"announce"`, `"\u0061nnounc\u0065"`), 403},
		{"NAME", without, strings.ReplaceAll(announce, `"name"`, `"name":"greet","NAME"`), 400},
		{"a long s", without, strings.ReplaceAll(announce, `"params"`, `"params":{"name":"greet"},"paramſ"`), 400},
		{"two names", without, strings.ReplaceAll(announce, `"name"`, `"name":"greet","name"`), 400},
		{"two messages", without, strings.ReplaceAll(announce, "announce", "greet") + announce, 400},
		{"a batch", without, "[" + strings.ReplaceAll(announce, "announce", "greet") + "," + announce + "]", 403},
		{"a batch in a batch", without, "[[" + announce + "]]", 400},
		{"no JSON", without, "announce", 400},
		{"too long", without, strings.ReplaceAll(announce, "it runs", strings.Repeat("x", tools.MaxRequestBytes)), 413},
	} {
		m := message{token: c.token, body: c.body}
		if c.name == "Mcp-Name says another" {
			m.header = map[string]string{"Mcp-Name": "greet", "Mcp-Method": "tools/call"}
		}
		resp := f.open(t, m) //nolint:bodyclose // the end of the test does
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || strings.Contains(string(body), announced) != (c.name == "with the scope") {
			t.Errorf("%s: status %d, want %d: %.200s", c.name, resp.StatusCode, c.status, body)
		}
		challenge := resp.Header.Get("WWW-Authenticate")
		if c.status == 403 && !strings.Contains(challenge, `error="insufficient_scope", scope="announce:send"`) {
			t.Errorf("%s: %s", c.name, challenge)
		}
	}
}

func mcpgoHandler(t *testing.T, rs *mcpauth.ResourceServer) http.Handler {
	t.Helper()
	endpoint, err := tools.Endpoint(rs, tools.New(), true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = endpoint.Shutdown(t.Context()) })
	return endpoint
}

func sdkHandler(_ *testing.T, rs *mcpauth.ResourceServer) http.Handler {
	server := sdktools.New(rs, slog.New(slog.DiscardHandler))
	return mcpauthgosdk.Handler(rs, sdk.NewStreamableHTTPHandler(
		func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{Stateless: true}))
}
