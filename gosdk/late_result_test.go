package mcpauthgosdk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

const chatGPT = "openai-mcp/1.0.0 (ChatGPT)"

// resultServer returns a fixture whose tool typed is public, and needs the scope "late" all the same. Its challenges are in
// results for ChatGPT.
func resultServer(t *testing.T, stateless bool, options mcp.StreamableHTTPOptions) *fixture {
	t.Helper()
	return newFixture(t, setup{
		stateless: stateless, http: options, attach: lateServer, mount: true,
		config: func(cfg *mcpauth.Config) {
			cfg.RequiredScopes = []string{"base"}
			cfg.ChallengeInResultFor = []string{"openai-mcp"}
			cfg.Policy = policyOf(t, mcpauth.Rules{
				Tools:   map[string]mcpauth.Rule{"typed": {Public: true}, "low": {Scopes: []string{"of:rule"}}},
				Prompts: map[string]mcpauth.Rule{"letter": {Scopes: []string{"of:rule"}}},
			})
		},
	})
}

// wantChallenge checks that got is the answer to call 7, whose result carries one challenge for scopes.
func wantChallenge(t *testing.T, what string, got reply, scopes, says string) {
	t.Helper()
	body := got.body
	if _, data, found := strings.Cut(body, "data: "); found && strings.HasPrefix(body, "event:") {
		for _, event := range strings.Split(body, "data: ")[1:] { // the last one is the answer
			data = event
		}
		body = data
	}
	var message struct {
		ID     json.RawMessage
		Result struct {
			IsError    bool
			ResultType string
			Content    []struct{ Type, Text string }
			Meta       struct {
				Challenges []string `json:"mcp/www_authenticate"`
			} `json:"_meta"`
		}
	}
	if err := json.Unmarshal([]byte(body), &message); err != nil {
		t.Errorf("%s: %v: %+v", what, err, got)
		return
	}
	r := message.Result
	if got.status != http.StatusOK || got.challenge != "" || string(message.ID) != "7" || !r.IsError || len(r.Content) != 1 || r.Content[0].Text != "The call was refused: "+says+"." ||
		len(r.Meta.Challenges) != 1 || !strings.HasPrefix(r.Meta.Challenges[0], `Bearer error="insufficient_scope", scope="`+scopes+`", resource_metadata="https://mcp.example.com/.well-known/`) ||
		!strings.HasSuffix(r.Meta.Challenges[0], `error_description="`+says+`"`) || strings.Contains(got.body, "backend") {
		t.Errorf("%s: %+v", what, got)
	}
}

const (
	lacksScope = "the access token lacks a required permission"
	needsToken = "an access token is required"
)

// TestChallengeInResult refuses calls in front of the go-sdk and late, for users and for callers without credentials, with JSON and
// streams. The MCP session goes on, and other clients get the HTTP status.
func TestChallengeInResult(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
		f := resultServer(t, stateless, mcp.StreamableHTTPOptions{JSONResponse: asJSON})
		user := f.env.Token(map[string]any{"scope": "base"})
		for _, c := range []struct{ token, says string }{{user, lacksScope}, {"", needsToken}} {
			id := ""
			if !stateless {
				id = f.open(t, c.token)
			}
			for range 2 {
				got := f.ask(t, version, c.token, id, "tools/call", `{"name":"typed"}`, "User-Agent", chatGPT)
				wantChallenge(t, "late", got, "base late", c.says)
				got = f.ask(t, version, c.token, id, "tools/call", `{"name":"low"}`, "User-Agent", chatGPT)
				wantChallenge(t, "by a rule", got, "base of:rule", c.says)
				if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
					t.Errorf("by a rule: %v", got.header)
				}
			}
			for _, tool := range []string{"typed", "low"} {
				if got := f.ask(t, version, c.token, id, "tools/call", `{"name":"`+tool+`"}`); got.status/100 != 4 || got.challenge == "" {
					t.Errorf("another client: %+v", got)
				}
			}
			if got := f.ask(t, version, c.token, id, "prompts/get", `{"name":"letter"}`, "User-Agent", chatGPT); got.status/100 != 4 || got.challenge == "" {
				t.Errorf("a prompt: %+v", got)
			}
		}
		id := ""
		if !stateless {
			id = f.open(t, user)
		}
		if got := f.ask(t, version, user, id, "prompts/get", `{"name":"prompt"}`, "User-Agent", chatGPT); got.status != http.StatusForbidden || got.challenge == "" {
			t.Errorf("a prompt, late: %+v", got)
		}
		holder := f.env.Token(map[string]any{"scope": "base late of:rule"})
		if got := f.ask(t, version, holder, id, "tools/call", `{"name":"typed"}`, "User-Agent", chatGPT); got.status != http.StatusOK || strings.Contains(got.body, "www_authenticate") {
			t.Errorf("with the scope: %+v", got)
		}
	})
}

// TestChallengeInResultAfterProgress has calls that have sent something, an EventStore, and batches. The challenge is in the
// result all the same.
func TestChallengeInResultAfterProgress(t *testing.T) {
	t.Parallel()
	for _, store := range []bool{false, true} {
		for _, stateless := range []bool{false, true} {
			var options mcp.StreamableHTTPOptions
			if store {
				options.EventStore = mcp.NewMemoryEventStore(nil)
			}
			f := resultServer(t, stateless, options)
			user, id := f.env.Token(map[string]any{"scope": "base"}), ""
			if !stateless {
				id = f.open(t, user)
			}
			what := fmt.Sprintf("store=%t stateless=%t", store, stateless)
			got := f.ask(t, "2025-11-25", user, id, "tools/call", `{"name":"progress"}`, "User-Agent", chatGPT)
			wantChallengeIn(t, what, got, 1)
			got = f.ask(t, "2025-11-25", user, id, "tools/call", `{"name":"typed"}`, "User-Agent", chatGPT)
			wantChallengeIn(t, what, got, 1)
			one := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"typed"}}`
			batch := "[" + one + "," + strings.Replace(one, `"id":1`, `"id":2`, 1) + "," + callWhoami + "]"
			got = f.raw(t, user, id, batch, "Mcp-Protocol-Version", "2025-03-26", "User-Agent", chatGPT)
			wantChallengeIn(t, what+" batch", got, 2)
			if !strings.Contains(got.body, "usr_1") {
				t.Errorf("%s: the other call of the batch: %+v", what, got)
			}
		}
	}
}

// wantChallengeIn checks how many results of a response carry a challenge.
func wantChallengeIn(t *testing.T, what string, got reply, n int) {
	t.Helper()
	if got.status != http.StatusOK || strings.Count(got.body, `"mcp/www_authenticate":["Bearer error=\"insufficient_scope\", scope=\"base late\"`) != n || strings.Contains(got.body, "backend") {
		t.Errorf("%s: %+v", what, got)
	}
}

// TestChallengeInResultWithAClient has the go-sdk's client read a challenge.
func TestChallengeInResultWithAClient(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newFixture(t, setup{stateless: stateless, attach: lateServer, mount: true, config: func(cfg *mcpauth.Config) {
			cfg.ChallengeInResultFor = []string{"*"}
			cfg.Policy = policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"low": {Scopes: []string{"of:rule"}}}})
		}})
		client := f.dial(t, version, func() string { return f.env.Token(nil) }, nil)
		for _, tool := range []string{"typed", "low"} {
			result, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: tool})
			if err != nil || !result.IsError || !strings.Contains(marshal(result.Meta), `"mcp/www_authenticate":["Bearer error=`) {
				t.Errorf("%s: %s, %v", tool, marshal(result), err)
			}
		}
	})
}
