package conformance_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/conformance/everything"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// scopeScenario is the suite's scenario for challenges of single operations (SEP-2350). It is not in any release yet, but
// in https://github.com/modelcontextprotocol/conformance/pull/481, and its contract in issue 480 there.
const scopeScenario = "sep-2350-server-scope-challenge"

// These tokens are the scenario's, and opaque. The proxy in front of the server resolves them, as an endpoint for
// introspection would: the first has none of the scopes below, the second one all.
const (
	lowToken  = "mcp-conformance-scope-low"
	fullToken = "mcp-conformance-scope-full"
)

// scopesOfScenario are what the contract wants for each operation: both scopes in one challenge.
var scopesOfScenario = mcpauth.Rules{
	Tools: map[string]mcpauth.Rule{
		"test_simple_text": {Scopes: []string{"mcp:conformance:tools:call", "mcp:conformance:tools:test_simple_text"}},
	},
	Resources: map[string]mcpauth.Rule{
		"test://static-text":       {Scopes: []string{"mcp:conformance:resources:read", "mcp:conformance:resources:static"}},
		"test://template/123/data": {Scopes: []string{"mcp:conformance:resources:read", "mcp:conformance:resources:template:123"}},
	},
	Prompts: map[string]mcpauth.Rule{
		"test_simple_prompt": {Scopes: []string{"mcp:conformance:prompts:get", "mcp:conformance:prompts:test_simple_prompt"}},
	},
}

// startScopes runs the suite's server with those scopes, and returns the URL of its endpoint behind the proxy.
func startScopes(t *testing.T, router router) string {
	t.Helper()
	front, back := listen(t), listen(t)
	public := "http://" + front.Addr().String()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	config := env.Config(public)
	config.Logger = slog.New(slog.DiscardHandler)
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := mcpauth.NewPolicy(scopesOfScenario)
	if err != nil {
		t.Fatal(err)
	}
	server := everything.New()
	mcpauthgosdk.Attach(server)
	handler := mcpauthgosdk.Handler(rs, everything.Handler(server, everything.Stateless))
	serve(t, router, rs, rs.RequireOperations(policy)(handler), back)

	scopes := map[string]string{lowToken: "mcp:conformance:baseline", fullToken: "mcp:conformance:baseline"}
	for _, operations := range []map[string]mcpauth.Rule{scopesOfScenario.Tools, scopesOfScenario.Resources, scopesOfScenario.Prompts} {
		for _, needed := range operations {
			scopes[fullToken] += " " + strings.Join(needed.Scopes, " ")
		}
	}
	stop := serveHTTP(proxy(t, "http://"+back.Addr().String(), func(token string) string {
		if scope, known := scopes[token]; known {
			return env.Token(map[string]any{"scope": scope, "exp": time.Now().Add(time.Hour).Unix()})
		}
		return ""
	}), front)
	t.Cleanup(func() { _ = stop() })
	return public + "/mcp"
}

// TestR58ScopeChallenges sends what the scenario sends, under each router.
func TestR58ScopeChallenges(t *testing.T) {
	t.Parallel()
	for _, router := range routers {
		if router.name == unprotected {
			continue
		}
		t.Run(router.name, func(t *testing.T) {
			t.Parallel()
			url := startScopes(t, router)
			for _, test := range []struct{ method, name, params, answer string }{
				{"tools/call", "test_simple_text", `"name":"test_simple_text"`, `"type":"text"`},
				{"resources/read", "test://static-text", `"uri":"test://static-text"`, `"text":"This is`},
				{"resources/read", "test://template/123/data", `"uri":"test://template/123/data"`, `123`},
				{"prompts/get", "test_simple_prompt", `"name":"test_simple_prompt"`, `"role":"user"`},
			} {
				needed := slices.Concat(scopesOfScenario.Tools[test.name].Scopes, scopesOfScenario.Resources[test.name].Scopes, scopesOfScenario.Prompts[test.name].Scopes)
				status, challenge, _ := post(t, url, lowToken, test.method, test.name, test.params)
				if status != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope"`) ||
					!strings.Contains(challenge, `scope="`+strings.Join(needed, " ")+`"`) ||
					!strings.Contains(challenge, `resource_metadata="`+strings.TrimSuffix(url, "/mcp")+`/.well-known/oauth-protected-resource/mcp"`) {
					t.Errorf("%s without the scopes: status %d, %s", test.name, status, challenge)
				}
				if status, _, body := post(t, url, fullToken, test.method, test.name, test.params); status != http.StatusOK || !strings.Contains(body, test.answer) {
					t.Errorf("%s with the scopes: status %d: %s", test.name, status, body)
				}
				if status, challenge, _ := post(t, url, "other", test.method, test.name, test.params); status != http.StatusUnauthorized || strings.Contains(challenge, "insufficient_scope") {
					t.Errorf("%s with an unknown token: status %d, %s", test.name, status, challenge)
				}
			}
		})
	}
}

// post sends a request of MCP 2026-07-28.
func post(t *testing.T, url, token, method, name, params string) (status int, challenge, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for header, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": "Bearer " + token,
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": name,
	} {
		req.Header.Set(header, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), string(text)
}

// TestScopeScenario runs the scenario itself, once the suite has it.
func TestScopeScenario(t *testing.T) {
	if os.Getenv("MCPAUTH_CONFORMANCE") != "1" {
		t.Skip("set MCPAUTH_CONFORMANCE=1, after npm ci in examples/clients, to run it")
	}
	list, err := exec.CommandContext(t.Context(), node, suite, "list", "--server").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, list)
	}
	if !strings.Contains(string(list), "- "+scopeScenario+" ") {
		t.Skip("this version of the suite has no scenario " + scopeScenario)
	}
	for _, router := range routers {
		if router.name == unprotected {
			continue
		}
		result := runSuite(t, startScopes(t, router), "--spec-version", "2026-07-28", "--scenario", scopeScenario)
		if passed, all := result.count(scopeScenario); passed != all || all < 16 {
			checks, _ := json.MarshalIndent(result[scopeScenario], "", " ")
			t.Errorf("%s: %d of %d checks: %s", router.name, passed, all, checks)
		}
	}
}
