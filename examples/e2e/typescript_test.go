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

// The TypeScript SDK's client. It needs Node and the npm registry, so it runs only with MCPAUTH_E2E=1.
func TestTypeScriptClient(t *testing.T) {
	if os.Getenv("MCPAUTH_E2E") != "1" {
		t.Skip("set MCPAUTH_E2E=1 to run it")
	}
	forEach(t, func(t *testing.T, framework string) {
		if out, err := install(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, devenv.Config{}, variable)
				cmd := exec.CommandContext(t.Context(), "node", "client.mjs", server.URL, "usr_grace")
				cmd.Dir = typescript
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), `"userId":"usr_grace"`) || !strings.Contains(string(out), "stepped up: usr_grace announces") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	})
}
