package e2e_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// TestTypeScriptPrompts counts how often the TypeScript SDK's client asks its user. It replaces its scopes by those of a
// challenge. It needs Node and the npm registry, so it runs only with MCPAUTH_E2E=1.
func TestTypeScriptPrompts(t *testing.T) {
	t.Parallel()
	if os.Getenv("MCPAUTH_E2E") != "1" {
		t.Skip("to run it, call make e2e, or set MCPAUTH_E2E=1")
	}
	if out, err := install(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	for _, c := range []struct {
		name   string
		config mcpauth.Config
		tools  []string
		want   string
	}{
		{"R100 challenges name what is needed", mcpauth.Config{}, []string{"read", "send", "read", "send"}, "connect 1, read 2, send 3, read 4, send 5"},
		{"R100 and what is held", mcpauth.Config{ChallengeHeldScopes: true}, []string{"read", "send", "read", "send"}, "connect 1, read 2, send 3, read 3, send 3"},
		{"R99 public operations", mcpauth.Config{ChallengeHeldScopes: true}, []string{"weather", "weather", "read", "weather", "send", "read"}, "connect 0, weather 0, weather 0, read 1, weather 1, send 2, read 2"},
	} {
		for mode, stateless := range map[string]bool{"stateful": false, "stateless": true} {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				url := servePrompts(t, c.config, c.tools[0] == "weather", stateless)
				cmd := exec.CommandContext(t.Context(), "node", append([]string{"prompts.mjs", url}, c.tools...)...)
				cmd.Dir = typescript
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "prompts: "+c.want+"\n") {
					t.Errorf("%v, want %s\n%s", err, c.want, out)
				}
			})
		}
	}
}

// servePrompts serves three tools: read and send need a scope each, and weather can be public.
func servePrompts(t *testing.T, config mcpauth.Config, public, stateless bool) (url string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	config.BaseURL = "http://localhost:" + port
	env, err := devenv.Start(t.Context(), devenv.Config{
		Addr: "127.0.0.1:0", ServerURL: config.BaseURL + "/mcp", Scopes: []string{"mail:read", "mail:send"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	config.EnvironmentURL, config.ResourceID = env.URL(), env.ResourceID()
	config.Logger = slog.New(slog.DiscardHandler)
	config.Policy, err = mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"read": {Scopes: []string{"mail:read"}}, "send": {Scopes: []string{"mail:send"}}, "weather": {Public: public},
	}})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	tools := mcp.NewServer(&mcp.Implementation{Name: "prompts", Version: "1"}, nil)
	for _, name := range []string{"read", "send", "weather"} {
		mcp.AddTool(tools, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil, nil
		})
	}
	mcpauthgosdk.Attach(tools)
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return tools }, &mcp.StreamableHTTPOptions{Stateless: stateless})))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return config.BaseURL + "/mcp"
}
