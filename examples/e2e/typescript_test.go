package e2e_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

const typescript = "../e2e-typescript"

var install = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = typescript
	return cmd.CombinedOutput()
})

// TestTypeScriptClient runs the TypeScript SDK's client. It needs Node and the npm registry, so it runs only with
// MCPAUTH_E2E=1.
func TestTypeScriptClient(t *testing.T) {
	runTypeScript(t, devenv.Config{}, nil, func(out string) bool {
		return strings.Contains(out, `"userId":"usr_grace"`) && strings.Contains(out, "stepped up: usr_grace announces")
	})
}

// TestR83TypeScriptClientGetsItsAnswer calls a tool that works for longer than the token lives.
func TestR83TypeScriptClientGetsItsAnswer(t *testing.T) {
	runTypeScript(t, devenv.Config{AccessTokenTTL: shortToken}, []string{"report"}, func(out string) bool {
		return strings.Contains(out, "report: worked for 5 seconds") && strings.Contains(out, "progress: 5 of 5")
	})
}

// TestR7TypeScriptClientRefreshes has offline_access advertised: the client, which asks for what is advertised and no more, gets a
// refresh token with it, and its user signs in once.
func TestR7TypeScriptClientRefreshes(t *testing.T) {
	runTypeScript(t, devenv.Config{AccessTokenTTL: shortToken}, []string{"refresh"}, func(out string) bool {
		return strings.Count(out, ", and a refresh token") >= 2 && strings.Count(out, "authorization at ") == 1 && strings.Contains(out, "refreshed: usr_grace")
	}, "ADVERTISE_OFFLINE_ACCESS=1")
}

func runTypeScript(t *testing.T, config devenv.Config, more []string, good func(out string) bool, env ...string) {
	t.Helper()
	if os.Getenv("MCPAUTH_E2E") != "1" {
		t.Skip("to run it, call make e2e, or set MCPAUTH_E2E=1")
	}
	forEach(t, func(t *testing.T, framework string) {
		if out, err := install(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, config, append([]string{variable, "CLOCK_SKEW=1ms"}, env...)...)
				cmd := exec.CommandContext(t.Context(), "node", append([]string{"client.mjs", server.URL, "usr_grace"}, more...)...)
				cmd.Dir = typescript
				out, err := cmd.CombinedOutput()
				if err != nil || !good(string(out)) {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	})
}
