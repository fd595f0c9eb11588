package mcpauthmcpgo_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// hidingRules hide what is called secret.
var hidingRules = mcpauth.Rules{Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
	if strings.Contains(op.Name, "secret") {
		return fmt.Errorf("not for you: %w", mcpauth.ErrHidden)
	}
	return nil
}}

// secrets are operations that are hidden. Some names are written differently in JSON, in Go, in HTML and in headers.
var secrets = []struct{ method, params string }{
	{"tools/call", `"name":"secret"`},
	{"tools/call", `"name":"\u0073ecret"`},
	{"tools/call", `"arguments":{"name":"other"},"name":"secret & <b> \"q\" \\ é 'x'"`},
	{"tools/call", `"name":"secret_schema","arguments":{"n":"no number"}`},
	{"tools/call", `"name":"secret_header","arguments":{"r":"x"}`},
	{"tools/call", `"name":"secret_task"`},
	{"tools/call", `"name":"secret_task","task":{}`},
	{"tools/call", `"name":"secret_task","TASK":{"ttl":7}`},
	{"tools/call", `"name":"secret_only_task"`},
	{"tools/call", `"name":"secret_only_task","task":{}`},
	{"tools/call", `"name":"secret_of_session"`},
	{"tools/call", `"name":"secret","arguments":"no object"`},
	{"tools/call", `"name":"secret","task":"no object"`},
	{"tools/call", `"name":"secret","inputResponses":7`},
	{"prompts/get", `"name":"secret"`},
	{"prompts/get", `"name":"secret & \"q\""`},
	{"prompts/get", `"name":"secret","arguments":{"a":7}`},
	{"resources/read", `"uri":"secret://1?a=1&b=<2>"`},
	{"resources/read", `"uri":"secrets://7"`},
	{"resources/read", `"uri":"secret://of/session"`},
	{"resources/subscribe", `"uri":"secrets://7"`},
	{"completion/complete", `"ref":{"type":"ref/prompt","name":"secret"},"argument":{"name":"a","value":"b"}`},
	{"completion/complete", `"ref":{"type":"ref/resource","uri":"secrets://{id}"},"argument":{"name":"a","value":"b"}`},
}

// addSecrets adds the secrets to a server, and to each MCP session. ran counts.
func addSecrets(s *server.MCPServer, ran *atomic.Int32) {
	tool := func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		ran.Add(1)
		return mcp.NewToolResultText("ran"), nil
	}
	read := func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		ran.Add(1)
		return []mcp.ResourceContents{mcp.TextResourceContents{Text: "ran"}}, nil
	}
	for _, name := range []string{"secret", `secret & <b> "q" \ é 'x'`} {
		s.AddTool(mcp.NewTool(name), tool)
	}
	s.AddTool(mcp.NewTool("secret_schema", mcp.WithNumber("n", mcp.Required())), tool)
	s.AddTool(mcp.NewToolWithRawSchema("secret_header", "", json.RawMessage(`{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}`)), tool)
	s.AddTool(mcp.NewTool("secret_task", mcp.WithTaskSupport(mcp.TaskSupportOptional)), tool)
	s.AddTaskTool(mcp.NewTool("secret_only_task", mcp.WithTaskSupport(mcp.TaskSupportRequired)), func(context.Context, mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
		ran.Add(1)
		return new(mcp.CreateTaskResult), nil
	})
	for _, name := range []string{"secret", `secret & "q"`} {
		s.AddPrompt(mcp.NewPrompt(name), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			ran.Add(1)
			return new(mcp.GetPromptResult), nil
		})
	}
	s.AddResource(mcp.NewResource("secret://1?a=1&b=<2>", "s"), read)
	s.AddResourceTemplate(mcp.NewResourceTemplate("secrets://{id}", "s"), read)
	s.GetHooks().AddOnRegisterSession(func(_ context.Context, session server.ClientSession) {
		session.(server.SessionWithTools).SetSessionTools(map[string]server.ServerTool{"secret_of_session": {Tool: mcp.NewTool("secret_of_session"), Handler: tool}})
		session.(server.SessionWithResources).SetSessionResources(map[string]server.ServerResource{
			"secret://of/session": {Resource: mcp.NewResource("secret://of/session", "s"), Handler: read},
		})
	})
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends m.
func (f *fixture) ask(t testing.TB, m message) reply {
	t.Helper()
	resp := f.open(t, m)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// headerName is what a client of MCP 2026-07-28 puts into Mcp-Name for the name in params.
func headerName(t testing.TB, params string) string {
	t.Helper()
	var named struct{ Name, URI string }
	if err := json.Unmarshal([]byte("{"+strings.ReplaceAll(params, `"TASK"`, `"x"`)+"}"), &named); err != nil {
		t.Fatal(err)
	}
	name := named.Name + named.URI
	if strings.ContainsFunc(name, func(r rune) bool { return r > 126 }) {
		return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
	}
	return name
}

// TestHidden asks for hidden operations, and for the same on a server that does not have them: there is no difference, and
// none runs.
func TestHidden(t *testing.T) {
	t.Parallel()
	for _, byConfig := range []bool{false, true} {
		eachKind(t, func(t *testing.T, stateless bool, version string) {
			var ran atomic.Int32
			options := []server.ServerOption{withTasks, server.WithInputSchemaValidation(), server.WithResourceCapabilities(true, true)}
			prepared := func(rules mcpauth.Rules, has bool) *fixture {
				s := setup{
					sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: append([]server.ServerOption{server.WithHooks(new(server.Hooks))}, options...),
					prepare: func(m *server.MCPServer) {
						if has {
							addSecrets(m, &ran)
						}
					},
				}
				if byConfig {
					s.mount, s.config = true, func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, rules) }
				} else {
					s.policy = policyOf(t, rules)
				}
				return newFixture(t, s)
			}
			has, hasNot := prepared(hidingRules, true), prepared(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {}}}, false)
			ids := map[*fixture]string{has: has.sessionOf(t, ada, stateless, version), hasNot: hasNot.sessionOf(t, ada, stateless, version)}
			for _, c := range secrets {
				for _, name := range []string{headerName(t, c.params), "secret", "other", "=?base64?c2VjcmV0?=", "=?base64?c2Vj?", ""} {
					m := message{version: version, method: c.method, params: c.params, id: 7, name: name}
					var replies []reply
					for _, f := range []*fixture{has, hasNot} {
						m.token, m.session = f.token(ada), ids[f]
						replies = append(replies, f.ask(t, m))
					}
					if got, want := fmt.Sprintf("%+v", replies[0]), fmt.Sprintf("%+v", replies[1]); got != want {
						t.Errorf("%s %s, Mcp-Name %q:\n got %s\nwant %s", c.method, c.params, name, got, want)
					}
				}
			}
			if n := ran.Load(); n != 0 {
				t.Errorf("%d hidden operations ran", n)
			}
			if got := has.ask(t, call(has.token(ada), ids[has], version, "whoami")); got.status != http.StatusOK || !strings.Contains(got.body, ada) {
				t.Errorf("another operation: %+v", got)
			}
			// Where nothing is hidden, the same names run: what was compared exists.
			if ids[has] != "" {
				open := prepared(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {}}}, true)
				for _, params := range []string{`"name":"secret"`, `"name":"secret_of_session"`, `"name":"secret & <b> \"q\" \\ é 'x'"`} {
					m := message{token: open.token(ada), session: open.initialize(t, open.token(ada)), method: "tools/call", params: params, id: 7}
					waitFor(t, params+" runs", func() bool { return strings.Contains(open.ask(t, m).body, "ran") })
				}
			}
		})
	}
}

// TestHiddenIsLogged writes one line for each, with the reason, which the client does not see.
func TestHiddenIsLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}, policy: policyOf(t, hidingRules)})
	_, body := f.send(t, call(f.token(ada), "", legacy, "secret"))
	if log := f.log.String(); strings.Count(log, "outcome=operation_refused") != 1 || !strings.Contains(log, "not for you") || strings.Contains(body, "not for you") {
		t.Errorf("the client sees %s, the log says %s", body, log)
	}
}

// TestHiddenFailsClosed leaves out each part. What is hidden never runs, and callers without credentials get 401.
func TestHiddenFailsClosed(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	rules := hidingRules
	rules.Tools = map[string]mcpauth.Rule{"secret": {Public: true}, "whoami": {Public: true}}
	f := newFixture(t, setup{server: []server.ServerOption{server.WithHooks(new(server.Hooks))}, config: func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, rules) }})
	addSecrets(f.mcp, &ran)
	endpoint, err := mcpauthmcpgo.Handler(f.rs, f.mcp, mcpauthmcpgo.Config{Stateless: true})
	if err != nil {
		t.Fatal(err)
	}
	type embedding struct{ *mcpauthmcpgo.Endpoint }
	for name, c := range map[string]struct {
		handler http.Handler
		want    int
	}{
		"an endpoint":         {f.rs.Endpoint(endpoint), http.StatusOK},
		"a wrapped Handler":   {f.rs.Endpoint(http.HandlerFunc(endpoint.ServeHTTP)), http.StatusForbidden},
		"an embedded Handler": {f.rs.Endpoint(embedding{endpoint}), http.StatusForbidden},
		"Handler alone":       {endpoint, http.StatusOK},
	} {
		f.url = serve(t, c.handler)
		status, body := f.send(t, call(f.token(ada), "", legacy, "secret"))
		if status != c.want || status == http.StatusOK && !strings.Contains(body, `tool 'secret' not found`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		f.expect(t, name+", without credentials", call("", "", legacy, "secret"), http.StatusUnauthorized, "")
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("%d ran", n)
	}
}
