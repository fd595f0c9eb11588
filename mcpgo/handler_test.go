package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// waitFor waits for what comes about by itself.
func waitFor(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happens: %s", what)
		}
	}
}

func TestR71ToolsDoNotSeeTheToken(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, outer: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent, session := r.Header.Get("Authorization"), r.Header.Get("Mcp-Session-Id")
				next.ServeHTTP(w, r)
				if r.Header.Get("Authorization") != sent || r.Header.Get("Mcp-Session-Id") != session {
					t.Errorf("a middleware in front sees %v afterwards", r.Header)
				}
			})
		}})
		token := f.token(ada)
		_, body := f.send(t, call(token, f.sessionOf(t, ada, stateless, version), version, "headers"))
		if strings.Contains(body, "Authorization") || strings.Contains(body, token[:20]) || !strings.Contains(body, "Content-Type") {
			t.Errorf("the tool sees %s", body)
		}
	})
}

func TestHandlerIsNeverOpen(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodHead, http.MethodPut} {
			for _, token := range []string{"", "x"} {
				if status, _ := f.send(t, message{http: method, token: token, method: "tools/list", id: 1}); status != http.StatusUnauthorized {
					t.Errorf("%s, token %q: status %d, want 401", method, token, status)
				}
			}
		}
	}
}

// TestHostOfAProxy sends what a proxy on the same machine does, which may keep the Host header of the public URL.
func TestHostOfAProxy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}}) // of https://mcp.example.com
	for host, want := range map[string]int{
		"mcp.example.com":             http.StatusOK,
		"MCP.Example.COM":             http.StatusOK,
		"mcp.example.com:8443":        http.StatusOK, // as behind a proxy on another port
		"localhost:3001":              http.StatusOK,
		"evil.example":                http.StatusForbidden,
		"mcp.example.com.evil":        http.StatusForbidden,
		"evil.example:80":             http.StatusForbidden,
		"mcp.example.com@evil.com":    http.StatusForbidden,
		"[::1]:80":                    http.StatusOK,
		"mcp.example.com:evil.com:80": http.StatusForbidden,
	} {
		m := call(f.token(ada), "", legacy, "whoami")
		m.header = http.Header{"Host": {host}}
		if status, _ := f.send(t, m); status != want {
			t.Errorf("Host %s: status %d, want %d", host, status, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	short := mcpauthmcpgo.Config{Key: mcpauth.NewSecret(strings.Repeat("k", 31))}
	if _, err := mcpauthmcpgo.Handler(nil, nil, short); err == nil || !strings.Contains(err.Error(), "nil *mcpauth.ResourceServer") ||
		!strings.Contains(err.Error(), "nil *server.MCPServer") || !strings.Contains(err.Error(), "Key: has 31 bytes; take the output of openssl rand -base64 32") {
		t.Errorf("everything at once: %v", err)
	}
	_, err := mcpauthmcpgo.Handler(f.rs, f.mcp, short)
	var mistake *mcpauth.ConfigError
	if !errors.As(err, &mistake) || mistake.Field != "Key" || strings.Contains(err.Error(), "kkk") {
		t.Errorf("a short key: %v", err)
	}
	policy := policyOf(t, shopRules)
	for name, wrong := range map[string]func(){
		"nil *mcpauth.Policy":   func() { mcpauthmcpgo.Hide(f.mcp, nil, nil) },
		"nil *server.MCPServer": func() { mcpauthmcpgo.Hide(nil, nil, policy) },
		"other hooks":           func() { mcpauthmcpgo.Hide(f.mcp, new(server.Hooks), policy) },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.HasPrefix(said, "mcpauthmcpgo: ") || !strings.Contains(said, name) {
					t.Errorf("%s: %s", name, said)
				}
			}()
			wrong()
		}()
	}
}

// TestR94KeyIsNotPrinted prints a configuration in the ways that programs do.
func TestR94KeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	config := mcpauthmcpgo.Config{Key: mcpauth.NewSecret(strings.Repeat("secret", 6))}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if said := fmt.Sprintf(verb, config); strings.Contains(said, "secret") || strings.Contains(said, "736563") {
			t.Errorf("%s prints %s", verb, said)
		}
	}
	if text, _ := json.Marshal(config.Key); strings.Contains(string(text), "secretsecret") {
		t.Errorf("JSON has %s", text)
	}
}

// TestReplacedHooks applies server.WithHooks after Handler: nothing is answered that the hooks would have looked at.
func TestReplacedHooks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	server.WithHooks(new(server.Hooks))(f.mcp)
	if status, body := f.send(t, call(f.token(ada), "", legacy, "whoami")); status != http.StatusServiceUnavailable || strings.Contains(body, ada) {
		t.Errorf("status %d: %s", status, body)
	}
	if !strings.Contains(f.log.String(), "apply server.WithHooks before mcpauthmcpgo.Handler") {
		t.Errorf("log: %s", f.log)
	}
}

// TestR69OtherTransports has the same MCP server behind transports that do not know whose request it is. Their calls are
// refused; those of Handler are not.
func TestR69OtherTransports(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	sse := server.NewSSEServer(f.mcp)
	past := server.NewStreamableHTTPServer(f.mcp, server.WithStateLess(true))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/past" {
			f.rs.Serve(w, r, past.ServeHTTP)
			return
		}
		f.rs.Serve(w, r, sse.ServeHTTP)
	}))
	t.Cleanup(web.Close)
	t.Cleanup(web.CloseClientConnections)

	other := &fixture{env: f.env, url: web.URL + "/past"}
	for _, version := range []string{legacy, modern} {
		if _, body := other.send(t, call(f.token(ada), "", version, "whoami")); !strings.Contains(body, "nothing says who makes this call") || strings.Contains(body, ada) {
			t.Errorf("past Handler, %s: %s", version, body)
		}
	}

	other.url = web.URL + "/sse"
	stream := bufio.NewReader(other.open(t, message{http: http.MethodGet, token: f.token(ada)}).Body) //nolint:bodyclose // the end of the test does
	endpoint := ""
	for !strings.HasPrefix(endpoint, "data: ") {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		endpoint = line
	}
	to, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(endpoint, "data: ")))
	if err != nil {
		t.Fatal(err)
	}
	other.url = web.URL + to.RequestURI()
	if status, body := other.send(t, call(f.token(grace), "", legacy, "whoami")); status != http.StatusAccepted {
		t.Errorf("status %d: %s", status, body)
	}
	if said := fmt.Sprint(event(t, stream, "jsonrpc")); !strings.Contains(said, "nothing says who makes this call") {
		t.Errorf("over SSE: %s", said)
	}

	if _, body := f.send(t, call(f.token(ada), f.initialize(t, f.token(ada)), legacy, "whoami")); !strings.Contains(body, ada) {
		t.Errorf("through Handler: %s", body)
	}
}

// TestContextFuncReplacesTheContext has a function that hands on a context of its own, in which nothing says who calls.
func TestContextFuncReplacesTheContext(t *testing.T) {
	t.Parallel()
	var f *fixture
	f = newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true, ContextFunc: func(ctx context.Context, _ *http.Request) context.Context {
		return f.mcp.WithContext(t.Context(), server.ClientSessionFromContext(ctx))
	}}})
	if _, body := f.send(t, call(f.token(ada), "", legacy, "whoami")); !strings.Contains(body, "nothing says who makes this call") {
		t.Errorf("it is told %s", body)
	}
}
