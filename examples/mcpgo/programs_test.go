package mcpgo_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

// programs are the directories of the examples, one for each router.
var programs = []string{"nethttp", "gin", "fiber", "fiberv3"}

// eachProgram builds the examples, as a user does, and starts each with MCP sessions and without.
func eachProgram(t *testing.T, test func(t *testing.T, server *child.Process, stateless bool)) {
	t.Helper()
	for _, router := range programs {
		t.Run(router, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), router)
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+router).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for stateless, variable := range map[bool]string{false: "STATELESS=0", true: "STATELESS=1"} {
				server, err := child.Start(t.Context(), program, "PORT=0", "DEVENV_PORT=0", variable)
				if err != nil {
					t.Fatal(err)
				}
				test(t, server, stateless)
				if err := server.Stop(); err != nil || t.Failed() {
					t.Errorf("%s: %v\n%s", variable, err, server.Log())
				}
			}
		})
	}
}

// TestPrograms signs in from nothing but the URL, with the go-sdk's client.
func TestPrograms(t *testing.T) {
	t.Parallel()
	eachProgram(t, func(t *testing.T, server *child.Process, stateless bool) {
		var said strings.Builder
		err := flow.Run(t.Context(), flow.Options{URL: server.URL, Auto: true, Out: &said},
			[]flow.Call{{Tool: "whoami"}, {Tool: "greet", Arguments: []byte(`{"name":"Ada"}`)}, {Tool: "announce", Arguments: []byte(`{"text":"it runs"}`)}})
		if err != nil || !strings.Contains(said.String(), "Hello, Ada!") || !strings.Contains(said.String(), "announces: it runs") {
			t.Errorf("stateless=%v: %v\n%s", stateless, err, said.String())
		}
	})
}

// TestTypeScript signs in with the clients of both major versions of the TypeScript SDK. The first one asks for another
// scope on its way, the second one speaks the newest version of MCP. They need Node and what npm ci installs, so this runs
// only with MCPAUTH_CLIENTS=1.
func TestTypeScript(t *testing.T) {
	if os.Getenv("MCPAUTH_CLIENTS") != "1" {
		t.Skip("set MCPAUTH_CLIENTS=1, after npm ci in examples/clients and examples/e2e-typescript, to run it")
	}
	t.Parallel()
	eachProgram(t, func(t *testing.T, server *child.Process, stateless bool) {
		for script, want := range map[string]string{
			"../e2e-typescript/client.mjs": "stepped up: usr_grace announces",
			"../clients/typescript-v2.mjs": "MCP 2026-07-28",
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			out, err := exec.CommandContext(ctx, "../clients/node_modules/.bin/node", script, server.URL, "usr_grace").CombinedOutput()
			cancel()
			if err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), `"userId":"usr_grace"`) {
				t.Errorf("%s, stateless=%v: %v\n%s", script, stateless, err, out)
			}
		}
	})
}
