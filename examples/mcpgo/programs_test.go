package mcpgo_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

// TestPrograms builds and starts the examples, as a user does, and signs in to them from nothing but their URL.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for _, router := range []string{"nethttp", "fiber"} {
		t.Run(router, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), router)
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+router).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, stateless := range []string{"0", "1"} {
				server, err := child.Start(t.Context(), program, "PORT=0", "DEVENV_PORT=0", "STATELESS="+stateless)
				if err != nil {
					t.Fatal(err)
				}
				var said strings.Builder
				err = flow.Run(t.Context(), flow.Options{URL: server.URL, Auto: true, Out: &said},
					[]flow.Call{{Tool: "whoami"}, {Tool: "greet", Arguments: []byte(`{"name":"Ada"}`)}, {Tool: "announce", Arguments: []byte(`{"text":"it runs"}`)}})
				if err != nil || !strings.Contains(said.String(), "Hello, Ada!") || !strings.Contains(said.String(), "announces: it runs") {
					t.Errorf("STATELESS=%s: %v\n%s\n%s", stateless, err, said.String(), server.Log())
				}
				if err := server.Stop(); err != nil {
					t.Errorf("STATELESS=%s: %v\n%s", stateless, err, server.Log())
				}
			}
		})
	}
}
