// Package e2e_test runs the examples as users do, as separate programs, and talks to them over real sockets. Each test runs
// for every framework.
package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
)

// programs builds each example once.
var programs struct {
	dir    string
	mu     sync.Mutex
	builds map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mcpauth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs.dir, programs.builds = dir, make(map[string]func() (string, error))
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func program(t *testing.T, framework string) string {
	t.Helper()
	programs.mu.Lock()
	build := programs.builds[framework]
	if build == nil {
		build = sync.OnceValues(func() (string, error) {
			return child.Build(context.Background(), framework, programs.dir, child.Flags...)
		})
		programs.builds[framework] = build
	}
	programs.mu.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// forEach runs test for every framework, in parallel. With -short it runs only one.
func forEach(t *testing.T, test func(t *testing.T, framework string)) {
	t.Parallel()
	frameworks := child.Frameworks
	if testing.Short() { // make test has run them all in the workspace
		frameworks = frameworks[:1]
	}
	for _, framework := range frameworks {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			test(t, framework)
		})
	}
}

// shortToken is a token's lifetime that is shorter than a call.
const shortToken = 3 * time.Second

// modes are the two ways in which an MCP server keeps sessions.
var modes = map[string]string{"stateful": "STATELESS=0", "stateless": "STATELESS=1"}

// start runs a framework's example against a local environment, and returns both.
func start(t *testing.T, framework string, config devenv.Config, vars ...string) (*child.Process, *devenv.Environment) {
	t.Helper()
	path := program(t, framework)
	for range 10 {
		port := freePort(t)
		config.Addr = "127.0.0.1:0"
		config.ServerURL = "http://localhost:" + port + "/mcp"
		config.Logger = slog.New(slog.DiscardHandler)
		config.OrgClaims = true // for get_organization and audit
		env, err := devenv.Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		server, err := child.Start(context.WithoutCancel(t.Context()), path, append([]string{
			"PORT=" + port,
			"SCALEKIT_ENVIRONMENT_URL=" + env.URL(),
			"SCALEKIT_RESOURCE_ID=" + env.ResourceID(),
			"SCALEKIT_CLIENT_ID=" + env.ClientID(),
			"SCALEKIT_CLIENT_SECRET=" + env.ClientSecret(),
		}, vars...)...)
		if err != nil && strings.Contains(err.Error(), "taken") { // another program took the port after freePort
			_ = env.Close()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			stop(t, server)
			if err := env.Close(); err != nil {
				t.Errorf("closing the environment: %v", err)
			}
		})
		return server, env
	}
	t.Fatal("no free port")
	return nil, nil
}

// stop ends an example and checks its exit code, which is not 0 after a data race.
func stop(t *testing.T, server *child.Process) {
	t.Helper()
	if err := server.Stop(); err != nil {
		t.Errorf("the example ended with %v; its log:\n%s", err, server.Log())
	} else if t.Failed() {
		t.Logf("the example's log:\n%s", server.Log())
	}
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

func signIn(t *testing.T, server *child.Process, user string, change ...func(*flow.Options)) *flow.Session {
	t.Helper()
	options := flow.Options{URL: server.URL, Auto: true, User: user}
	for _, c := range change {
		c(&options)
	}
	session, err := flow.Connect(t.Context(), options)
	if err != nil {
		t.Fatalf("signing in as %s: %v", user, err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the server may have ended
	return session
}

func call(t *testing.T, session *flow.Session, tool, arguments string) string {
	t.Helper()
	answer, err := session.Text(t.Context(), flow.Call{Tool: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatalf("%s(%s): %v", tool, arguments, err)
	}
	return answer
}

func whoami(ctx context.Context, session *flow.Session) (tools.Identity, error) {
	answer, err := session.Text(ctx, flow.Call{Tool: "whoami"})
	if err != nil {
		return tools.Identity{}, err
	}
	var identity tools.Identity
	err = json.Unmarshal([]byte(answer), &identity)
	return identity, err
}

func mustWhoami(t *testing.T, session *flow.Session) tools.Identity {
	t.Helper()
	identity, err := whoami(t.Context(), session)
	if err != nil {
		t.Fatalf("whoami: %v", err)
	}
	return identity
}

func accessToken(t *testing.T, session *flow.Session) string {
	t.Helper()
	token, err := session.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// An answer is the response to a request that a test wrote by hand.
type answer struct {
	status int
	header http.Header
	body   string
}

// request sends a JSON-RPC message, or nothing, with a token, and further headers as pairs.
func request(t *testing.T, method, url, token, message string, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a stream does not end by itself
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"by hand","version":"1"}}}`
	callWhoami = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`
)

// eventually tries until ok returns true, or the test's patience ends.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still not: " + what)
		}
	}
}
