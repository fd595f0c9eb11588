// Package clients_test lets clients that people use sign in at each example and call a tool. Only the person is simulated:
// the test opens the address that a client gives out, and fills in the consent form.
package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
)

// user is the user who signs in, and not the one that the consent form has selected already.
const user = "usr_grace"

// scope is the scope that a token needs. Each client has to discover it and ask for it.
const scope = "profile:read"

// A client signs in as user at the MCP server, and returns the answer of the tool whoami.
type client struct {
	name      string
	stateless bool // MCP 2026-07-28; clients of earlier revisions get a server with sessions
	whoami    func(t *testing.T, server *server) (string, error)
}

var clients = []client{
	{"go-sdk", false, goSDK},
	{"go-sdk, stateless", true, goSDK},
	{"TypeScript SDK v1", false, typescriptV1},
	{"TypeScript SDK v2", false, typescriptV2},
	{"TypeScript SDK v2, stateless", true, typescriptV2},
	{"Inspector CLI", false, inspectorCLI},
	{"mcp-remote", false, mcpRemote},
	{"Inspector v1 in Chromium, direct", false, inspectorV1},
	{"Inspector v2 in Chromium, by its backend", false, inspectorV2},
}

// patience is how long one client may take with one server. A browser is slow on a busy machine.
const patience = 3 * time.Minute

// TestClients needs Chromium and what npm ci installs, so it runs only with MCPAUTH_CLIENTS=1. MCPAUTH_CLIENT and FRAMEWORK
// choose.
func TestClients(t *testing.T) {
	if os.Getenv("MCPAUTH_CLIENTS") != "1" {
		t.Skip("to run it, call make clients, or npm ci and set MCPAUTH_CLIENTS=1")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "client\t")
	dir := t.TempDir()
	programs := make(map[string]string)
	for _, framework := range child.Frameworks {
		if only := os.Getenv("FRAMEWORK"); only != "" && only != framework {
			continue
		}
		program, err := child.Build(t.Context(), framework, dir, child.Flags...)
		if err != nil {
			t.Fatal(err)
		}
		programs[framework] = program
		fmt.Fprintf(w, "%s\t", framework)
	}
	for _, client := range clients {
		if !chosen("MCPAUTH_CLIENT", client.name) {
			continue
		}
		fmt.Fprintf(w, "\n%s\t", client.name)
		for _, framework := range child.Frameworks {
			program, ok := programs[framework]
			if !ok {
				continue
			}
			cell := "failed"
			t.Run(client.name+"/"+framework, func(t *testing.T) {
				server := start(t, program, client.stateless)
				answer, err := client.whoami(t, server)
				if err != nil {
					t.Fatal(err)
				}
				var identity tools.Identity
				if err := json.Unmarshal([]byte(answer), &identity); err != nil || identity.UserID != user ||
					identity.OrganizationID != "org_compilers" || !slices.Contains(identity.Scopes, scope) {
					t.Fatalf("whoami answers %s", answer)
				}
				cell = "signed in, called whoami"
			})
			fmt.Fprintf(w, "%s\t", cell)
		}
	}
	_ = w.Flush() // writing to a Builder never fails
	fmt.Printf("\n%s\n\n", b.String())
}

func chosen(variable, name string) bool {
	value := os.Getenv(variable)
	return value == "" || strings.HasPrefix(name, value)
}

// A server is a running example, and the port of the page that calls it from a browser.
type server struct {
	*child.Process
	page      string
	stateless bool
}

// start runs an example against a local environment of its own.
func start(t *testing.T, program string, stateless bool) *server {
	t.Helper()
	port, page := freePort(t), freePort(t)
	env, err := devenv.Start(t.Context(), devenv.Config{
		Addr: "127.0.0.1:0", ServerURL: "http://localhost:" + port + "/mcp", Logger: slog.New(slog.DiscardHandler),
		OrgClaims: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	process, err := child.Start(context.WithoutCancel(t.Context()), program, "PORT="+port, "REQUIRED_SCOPES="+scope, "ALLOWED_ORIGINS=http://colleague.example:"+page, fmt.Sprintf("STATELESS=%v", stateless),
		"SCALEKIT_ENVIRONMENT_URL="+env.URL(), "SCALEKIT_RESOURCE_ID="+env.ResourceID(),
		"SCALEKIT_CLIENT_ID="+env.ClientID(), "SCALEKIT_CLIENT_SECRET="+env.ClientSecret())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil || t.Failed() {
			t.Errorf("the example ended with %v; its log:\n%s", err, process.Log())
		}
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{process, page, stateless}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}

func goSDK(t *testing.T, server *server) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := flow.Connect(ctx, flow.Options{URL: server.URL, Auto: true, User: user})
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close() }() // the test has its answer
	return session.Text(ctx, flow.Call{Tool: "whoami"})
}
