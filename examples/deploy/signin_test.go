package deploy_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
)

// behindDevenv starts a backend whose users sign in.
func behindDevenv(t *testing.T, base string) []*backend {
	t.Helper()
	env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", ServerURL: base + "/mcp", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	return []*backend{serve(t, mcpauth.Config{
		EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: base,
		Scopes: []string{"profile:read", "greet:write"},
	}, "a", false)}
}

// The go-sdk's client signs in at the public name, without a port.
func TestSignInGo(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		signInGo(t, open(t, p, setup{start: behindDevenv}))
	})
}

func signInGo(t *testing.T, site *site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := flow.Connect(ctx, flow.Options{URL: site.url, Auto: true, User: "usr_grace", Transport: site.client.Transport})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }() // the test has its answer
	if answer, err := session.Text(ctx, flow.Call{Tool: "whoami"}); err != nil || !strings.Contains(answer, "usr_grace") {
		t.Errorf("whoami: %s, %v", answer, err)
	}
}

// The client of the TypeScript SDK signs in, calls tools, and gets another scope when a tool needs it.
func TestSignInTypeScript(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		out, err := typescript(t, open(t, p, setup{start: behindDevenv, host: "localhost"}))
		if err != nil || !strings.Contains(out, "stepped up: usr_grace announces") || !strings.Contains(out, `"userId":"usr_grace"`) {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// typescript runs the client, which knows the CA.
func typescript(t *testing.T, site *site) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "client.mjs", site.url, "usr_grace")
	cmd.Dir = "../e2e-typescript"
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(site.dir, "ca.pem"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Behind a load balancer that drops WWW-Authenticate, clients find the metadata where RFC 9728 puts it, and sign in. They
// can't get another scope when a tool needs it.
func TestWithoutChallenge(t *testing.T) {
	forEach(t, []*proxy{nginx}, func(t *testing.T, p *proxy) {
		drop := []edit{{"proxy_buffering off;", "proxy_buffering off; proxy_hide_header WWW-Authenticate;"}}
		signInGo(t, open(t, p, setup{start: behindDevenv, edits: drop}))
		out, err := typescript(t, open(t, p, setup{start: behindDevenv, edits: drop, host: "localhost"}))
		if err == nil || !strings.Contains(out, "tools: announce, ") || !strings.Contains(out, "insufficient_scope") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
