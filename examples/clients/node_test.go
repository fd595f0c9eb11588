package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
)

// node returns a command that runs under the Node of node_modules, without a browser and with a home directory of its own.
func node(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(here, "node_modules", ".bin")
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v; run npm ci in examples/clients to install it", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "node"), append([]string{script}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), personal),
		"HOME="+t.TempDir(), "PATH="+bin+":"+os.Getenv("PATH"), "BROWSER=true", "NO_COLOR=1", "MCP_AUTO_OPEN_ENABLED=false")
	return cmd
}

// personal reports whether a variable could show a client a browser, or a token, of the person who runs the test.
func personal(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.ContainsFunc([]string{"HOME", "PATH", "MCP_", "DISPLAY", "WAYLAND_", "XDG_", "DESKTOP_", "GNOME_", "KDE_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

func typescriptV1(t *testing.T, server *server) (string, error) {
	t.Helper()
	return lastLine(node(t, "../e2e-typescript/client.mjs", server.URL, user).CombinedOutput())
}

func typescriptV2(t *testing.T, server *server) (string, error) {
	t.Helper()
	out, err := node(t, "typescript-v2.mjs", server.URL, user).CombinedOutput()
	revision := "MCP 2025-11-25"
	if server.stateless {
		revision = "MCP 2026-07-28"
	}
	if err == nil && !bytes.Contains(out, []byte(revision+"\n")) {
		return "", fmt.Errorf("the client does not speak MCP %s:\n%s", revision, out)
	}
	return lastLine(out, err)
}

func lastLine(out []byte, err error) (string, error) {
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return text[strings.LastIndexByte(text, '\n')+1:], nil
}

// inspectorCLI signs in by itself, as if a person were at the terminal.
func inspectorCLI(t *testing.T, server *server) (string, error) {
	t.Helper()
	cmd := node(t, "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli", "--format", "json",
		"--callback-url", "http://127.0.0.1:"+freePort(t)+"/oauth/callback",
		"--server-url", server.URL, "--transport", "http", "--method", "tools/call", "--tool-name", "whoami")
	cmd.Env = append(cmd.Env, "MCP_AUTO_OPEN_ENABLED=true") // without it, the Inspector needs a terminal
	person := &person{ctx: t.Context()}
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, person
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s%s", err, stdout.String(), person)
	}
	var result struct {
		Result struct {
			StructuredContent json.RawMessage `json:"structuredContent"`
		} `json:"result"`
		StructuredContent json.RawMessage `json:"structuredContent"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return "", fmt.Errorf("%w: %s", err, stdout.String())
	}
	if err := person.done(); err != nil {
		return "", err
	}
	if result.StructuredContent == nil {
		return string(result.Result.StructuredContent), nil
	}
	return string(result.StructuredContent), nil
}

// mcpRemote is a bridge for clients without HTTP: they start it, and talk to it over its stdin and stdout.
func mcpRemote(t *testing.T, server *server) (string, error) {
	t.Helper()
	cmd := node(t, "node_modules/mcp-remote/dist/proxy.js", server.URL, freePort(t), "--host", "127.0.0.1", "--auth-timeout", "120")
	person := &person{ctx: t.Context()}
	cmd.Stderr = person
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	local := mcp.NewClient(&mcp.Implementation{Name: "mcpauth-clients", Version: "0.1.0"}, nil)
	session, err := local.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, person)
	}
	defer func() { _ = session.Close() }() // the test has its answer
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, person)
	}
	if err := person.done(); err != nil {
		return "", err
	}
	answer, err := json.Marshal(result.StructuredContent)
	return string(answer), err
}

var authorizeURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/resources/res_local/oauth/authorize\?\S+\s`)

// A person reads a client's output, opens the address in it, and consents.
type person struct {
	ctx context.Context //nolint:containedctx // a test's

	mu      sync.Mutex
	read    bytes.Buffer
	reached chan error // nil until an address was found
}

func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read.Write(b)
	if address := authorizeURL.FindString(p.read.String()); address != "" && p.reached == nil {
		p.reached = make(chan error, 1)
		go func() {
			_, err := flow.Consent(p.ctx, http.DefaultTransport, strings.TrimSpace(address), user)
			p.reached <- err
		}()
	}
	return len(b), nil
}

func (p *person) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read.String()
}

// done returns an error if the client called a tool without asking the person for consent.
func (p *person) done() error {
	p.mu.Lock()
	reached := p.reached
	p.mu.Unlock()
	if reached == nil {
		return errors.New("the client did not ask for consent")
	}
	return <-reached
}
