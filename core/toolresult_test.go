package mcpauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A toolResult is the answer to a tool call whose result carries a challenge.
type toolResult struct {
	JSONRPC string
	ID      json.RawMessage
	Result  struct {
		IsError    bool
		ResultType string
		Content    []struct{ Type, Text string }
		Meta       map[string][]string `json:"_meta"`
	}
}

// resultOf returns what a response says, and its challenge, "" if it is not such an answer.
func resultOf(t *testing.T, w *httptest.ResponseRecorder) (result toolResult, challenge string) {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		return result, ""
	}
	if err := json.Unmarshal(w.Body.Bytes(), &result); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	challenges := result.Result.Meta["mcp/www_authenticate"]
	if len(challenges) != 1 {
		return result, ""
	}
	if len(result.Result.Meta) != 1 || len(result.Result.Content) != 1 || result.JSONRPC != "2.0" || !result.Result.IsError ||
		result.Result.ResultType != "complete" || w.Header().Get("WWW-Authenticate") != "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
	return result, challenges[0]
}

const chatGPT = "openai-mcp/1.0.0 (ChatGPT)"

// toolCall returns the call of a tool with the id 1.
func toolCall(tool string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
}

// resultsFor sets a policy with operations of all kinds, and the clients that look into results.
func resultsFor(t testing.TB, clients ...string) func(*mcpauth.Config) {
	t.Helper()
	policy := newPolicy(t, mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{
			"public": {Public: true}, "read": {Scopes: []string{"mail:read"}}, "any": {AnyScopes: [][]string{{"y", "z"}, {"x"}}},
			"staff": {Roles: []string{"staff"}}, "checked": {}, "hidden": {}, "refused": {}, "broken": {},
		},
		Prompts:   map[string]mcpauth.Rule{"read": {Scopes: []string{"mail:read"}}},
		Resources: map[string]mcpauth.Rule{"mail://{id}": {Scopes: []string{"mail:read"}}},
		Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
			switch op.Name {
			case "checked":
				return mcpauth.NeedScopes("late")
			case "hidden":
				return mcpauth.ErrHidden
			case "refused":
				return errors.New("an internal reason")
			case "broken":
				panic("broken")
			}
			return nil
		},
	})
	return func(cfg *mcpauth.Config) {
		cfg.Policy, cfg.RequiredScopes, cfg.ChallengeInResultFor = policy, []string{"base"}, clients
	}
}

// TestChallengeInResult refuses calls for each reason, and looks where the challenge is.
func TestChallengeInResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resultsFor(t, "OpenAI-MCP"))
	e := f.rs.Endpoint(f.rs.SDKHandler(publicStub(echoBody)))
	const lacks = "The call was refused: the access token lacks a required permission."
	const needs = "The call was refused: an access token is required."
	for name, c := range map[string]struct {
		scope, body string // without a token if scope is ""
		status      int    // 0: in the result
		challenge   string // its scopes
		text        string
	}{
		"a rule":                        {"base", toolCall("read"), 0, "base mail:read", lacks},
		"alternatives":                  {"base", toolCall("any"), 0, "base x", lacks},
		"Check":                         {"base", toolCall("checked"), 0, "base late", lacks},
		"without credentials":           {"", toolCall("read"), 0, "base mail:read", needs},
		"without credentials, Check":    {"", toolCall("checked"), 0, "base", needs},
		"without credentials, a role":   {"", toolCall("staff"), 0, "base", needs},
		"without credentials, unlisted": {"", toolCall("other"), 0, "base", needs},
		"without credentials, hidden":   {"", toolCall("hidden"), 0, "base", needs},

		"allowed":                            {"base mail:read", toolCall("read"), 200, "", ""},
		"public":                             {"", toolCall("public"), 200, "", ""},
		"a role":                             {"base", toolCall("staff"), 403, "", ""},
		"Check refuses":                      {"base", toolCall("refused"), 403, "", ""},
		"Check fails":                        {"base", toolCall("broken"), 503, "", ""},
		"a scope of every request":           {"other", toolCall("read"), 403, "base", ""},
		"a prompt":                           {"base", strings.Replace(toolCall("read"), "tools/call", "prompts/get", 1), 403, "base mail:read", ""},
		"a resource":                         {"base", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"mail://1"}}`, 403, "base mail:read", ""},
		"a batch":                            {"base", "[" + toolCall("read") + "]", 403, "base mail:read", ""},
		"a notification":                     {"base", strings.Replace(toolCall("read"), `"id":1,`, "", 1), 403, "base mail:read", ""},
		"an id that is null":                 {"base", strings.Replace(toolCall("read"), `"id":1`, `"id":null`, 1), 403, "base mail:read", ""},
		"not version 2.0":                    {"base", strings.Replace(toolCall("read"), `"2.0"`, `"1.0"`, 1), 403, "base mail:read", ""},
		"repeated ids":                       {"base", strings.Replace(toolCall("read"), `"id":1`, `"id":1,"id":2`, 1), 400, "", ""},
		"without credentials, a prompt":      {"", strings.Replace(toolCall("read"), "tools/call", "prompts/get", 1), 401, "base mail:read", ""},
		"without credentials, a batch":       {"", "[" + toolCall("read") + "]", 401, "base mail:read", ""},
		"without credentials, a task":        {"", strings.Replace(toolCall("read"), "tools/call", "tasks/get", 1), 401, "base", ""},
		"without credentials, two names":     {"", strings.Replace(toolCall("read"), `"name":"read"`, `"name":"read","NAME":"read"`, 1), 401, "base", ""},
		"without credentials, arguments":     {"", strings.Replace(toolCall("read"), `"name":"read"`, `"name":"read","arguments":{"a":1,"a":2}`, 1), 0, "base mail:read", needs},
		"without credentials, broken off":    {"", toolCall("read")[:40], 401, "base", ""},
		"without credentials, not asked":     {"", toolCall("broken"), 0, "base", needs},
		"without credentials, not a message": {"", "hello", 401, "base", ""},
	} {
		header := []string{"User-Agent", chatGPT}
		if c.scope != "" {
			header = append(header, "Authorization", "Bearer "+f.env.Token(m{"scope": c.scope}))
		}
		w := post(e, c.body, header...)
		result, challenge := resultOf(t, w)
		if c.status == 0 {
			want := `Bearer error="insufficient_scope", scope="` + c.challenge + `", resource_metadata="` + baseURL + `/.well-known/oauth-protected-resource/mcp", error_description="`
			if !strings.HasPrefix(challenge, want) || result.Result.Content[0].Text != c.text || string(result.ID) != "1" {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			continue
		}
		if w.Code != c.status || challenge != "" || strings.Contains(w.Body.String(), "internal reason") ||
			c.challenge != "" && !strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="`+c.challenge+`"`) {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	if log := f.log.String(); !strings.Contains(log, "outcome=insufficient_scope") || !strings.Contains(log, "outcome=no_credentials") {
		t.Error("a refusal in a result is not logged")
	}
}

// TestChallengeInResultIDs sends calls with several ids, each of which comes back byte for byte.
func TestChallengeInResultIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resultsFor(t, "*"))
	e := f.rs.Endpoint(f.rs.SDKHandler(publicStub(echoBody)))
	for _, id := range []string{"1", "-0", "1.50", "1e3", "9007199254740993", `""`, `"a"`, `"\u0061\"\\<\/script>&"`, `"日本"`, `"\ud83d"`, `"` + "\u2028" + `"`} {
		for _, token := range []string{"", "Bearer " + f.env.Token(m{"scope": "base"})} {
			var header []string
			if token != "" {
				header = []string{"Authorization", token}
			}
			w := post(e, strings.Replace(toolCall("read"), `"id":1`, `"id":`+id, 1), header...)
			if _, challenge := resultOf(t, w); challenge == "" || !strings.HasPrefix(w.Body.String(), `{"jsonrpc":"2.0","id":`+id+`,"result":`) {
				t.Errorf("%s: %d %s", id, w.Code, w.Body)
			}
		}
	}
}

// TestChallengeInResultClients has User-Agents of clients that are named, and of others.
func TestChallengeInResultClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		clients []string
		named   []string
		others  []string
	}{
		{nil, nil, []string{"", chatGPT}},
		{[]string{"*"}, []string{"", chatGPT, "x", "(", "*"}, nil},
		{
			[]string{"openai-mcp", "Other"},
			[]string{chatGPT, "openai-mcp", "OPENAI-MCP/2", "other/1", "Mozilla/5.0 (X11; a (b) c) openai-mcp/1", "a/1 openai-mcp/1", ") openai-mcp/1", " openai-mcp/1 "},
			[]string{"", "openai-mcp-x/1", "x-openai-mcp", "openai/mcp", "Mozilla/5.0 (openai-mcp/1)", "Mozilla/5.0 (like openai-mcp/1 )", "a (b (c) openai-mcp ) d", "/openai-mcp", "openai-mcp,other"},
		},
	} {
		f := newFixture(t, resultsFor(t, c.clients...))
		e := f.rs.Endpoint(f.rs.SDKHandler(publicStub(echoBody)))
		for _, agent := range slices.Concat(c.named, c.others) {
			_, challenge := resultOf(t, post(e, toolCall("read"), "User-Agent", agent))
			if inResult := challenge != ""; inResult != slices.Contains(c.named, agent) {
				t.Errorf("%q for %q: %t", c.clients, agent, inResult)
			}
		}
	}
}

// TestChallengeInResultElsewhere has endpoints without public operations, bad tokens, other methods, and RequireOperations of
// other resource servers.
func TestChallengeInResultElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resultsFor(t, "*"))
	policy := newPolicy(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"read": {Scopes: []string{"mail:read"}}}})
	guarded := protect(f.rs, f.rs.WithRequiredScopes("more").RequireOperations(policy)(http.NotFoundHandler()))
	public := f.rs.Endpoint(f.rs.SDKHandler(publicStub(echoBody)))
	send := func(h http.Handler, method, scope, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/mcp", strings.NewReader(toolCall("read")))
		if scope != "" {
			token = f.env.Token(m{"scope": scope})
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for name, c := range map[string]struct {
		h                    http.Handler
		method, scope, token string
		status               int
		challenge            string
	}{
		"no token, nothing public": {guarded, "POST", "", "", 401, ""},
		"a bad token":              {public, "POST", "", "bad", 401, ""},
		"an expired token":         {public, "POST", "", f.env.Token(m{"exp": 1_700_000_000, "iat": 1_600_000_000}), 401, ""},
		"PUT":                      {guarded, "PUT", "base more", "", 403, ""},
		"GET with a body":          {guarded, "GET", "base more", "", 403, ""},
		"related, its own scopes":  {guarded, "POST", "base", "", 403, ""},
		"related":                  {guarded, "POST", "base more", "", 0, `scope="base more mail:read"`},
	} {
		w := send(c.h, c.method, c.scope, c.token)
		_, challenge := resultOf(t, w)
		if c.status == 0 && !strings.Contains(challenge, c.challenge) || c.status != 0 && (w.Code != c.status || challenge != "") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestLateResult asks for scopes late, for a client that looks into results and another one.
func TestLateResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resultsFor(t, "openai-mcp"))
	var got *mcpauth.ToolRefusal
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "read"}
	late := func(_ http.ResponseWriter, r *http.Request) {
		got = mcpauth.LateResult(r.Context(), op, mcpauth.NeedScopes("late", "base"))
	}
	guarded := f.rs.Endpoint(f.rs.SDKHandler(failing(late)))
	const lacks = "The call was refused: the access token lacks a required permission."
	token := "Bearer " + f.env.Token(m{"scope": "base mail:read"})
	post(guarded, toolCall("read"), "Authorization", token, "User-Agent", chatGPT)
	if got == nil || got.Text != lacks || !strings.Contains(string(marshal(got.Meta)), `scope=\"base mail:read late\"`) || len(got.Meta) != 1 {
		t.Errorf("got %+v", got)
	}
	if log := f.log.String(); !strings.Contains(log, "while it ran") || !strings.Contains(log, "session.user_id=usr_1") {
		t.Errorf("the log is %s", log)
	}
	post(guarded, toolCall("read"), "Authorization", token, "User-Agent", "other")
	if got != nil {
		t.Errorf("for another client: %+v", got)
	}
	op.Kind = mcpauth.OperationPrompt
	post(guarded, toolCall("read"), "Authorization", token, "User-Agent", chatGPT)
	if got != nil {
		t.Errorf("for a prompt: %+v", got)
	}
	op = mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "public"}
	post(f.rs.Endpoint(f.rs.SDKHandler(failing(late))), toolCall("public"), "User-Agent", chatGPT)
	if got == nil || got.Text != "The call was refused: an access token is required." || !strings.Contains(string(marshal(got.Meta)), `scope=\"base late\"`) {
		t.Errorf("without credentials: %+v", got)
	}
	if got := mcpauth.LateResult(t.Context(), op, mcpauth.NeedScopes("late")); got != nil {
		t.Errorf("without a request: %+v", got)
	}
}
