package adaptertest

import (
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// runToolResults has a client that reads challenges in the results of tool calls, another client on the same server, and what
// stays an HTTP status for both.
func runToolResults(t *testing.T, f *Framework) {
	rules := publicRules()
	rules.Prompts["letter"] = mcpauth.Rule{Scopes: []string{"orders:read"}}
	set := withRules(t, rules)
	prepare := func() *app {
		return f.prepare(t, func(cfg *mcpauth.Config) {
			set(cfg)
			cfg.RequiredScopes = []string{"base"}
			cfg.ChallengeInResultFor = []string{"openai-mcp"}
		})
	}
	a, closed := prepare(), prepare()
	a.build.Outer("Access-Control-Allow-Origin", "https://outer.example")
	a.build.Outer("X-Request-Id", "42")
	a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a}))
	a.serve(t)
	closed.build.Mount(closed.rs, http.HandlerFunc(closed.handle)) // nothing is public
	closed.serve(t)

	with := func(scope, body string, more ...string) func(*app) request {
		return func(a *app) request {
			h := http.Header{"User-Agent": {"openai-mcp/1.0.0 (ChatGPT)"}}
			if scope != "" {
				h.Set("Authorization", "Bearer "+a.env.Token(map[string]any{"scope": scope}))
			}
			for i := 0; i < len(more); i += 2 {
				h.Set(more[i], more[i+1])
			}
			return request{header: h, body: body}
		}
	}
	orders := call("orders")
	named := strings.Replace(orders, `"id":1,`, `"id":"\u0061\/\"",`, 1)
	const (
		needs       = "tool_result_no_credentials.txt"
		lacks       = "tool_result_scopes.txt"
		lacksNamed  = "tool_result_id.txt"
		lacksOrigin = "tool_result_origin.txt"
		challenged  = "tool_result_others.txt"
	)
	for _, c := range []struct {
		app *app
		wireCase
	}{
		{a, wireCase{name: "without credentials", golden: needs, req: with("", orders)}},
		{a, wireCase{name: "without the scope", golden: lacks, req: with("base", orders)}},
		{closed, wireCase{name: "without the scope, behind another handler", golden: "tool_result_closed.txt", req: with("base", orders)}},
		{a, wireCase{name: "the id comes back as it was sent", golden: lacksNamed, req: with("base", named)}},
		{a, wireCase{name: "from a page", golden: lacksOrigin, req: with("base", orders, "Origin", baseURL)}},
		{a, wireCase{name: "another client", golden: challenged, req: with("base", orders, "User-Agent", "another/1.0 (openai-mcp/1)")}},
		{a, wireCase{name: "a batch", golden: challenged, req: with("base", "["+orders+"]")}},
		{a, wireCase{name: "a notification", golden: challenged, req: with("base", strings.Replace(orders, `"id":1,`, "", 1))}},
		{a, wireCase{name: "a prompt", golden: challenged, req: with("base", message("prompts/get", `{"name":"letter"}`))}},
	} {
		t.Run(c.name, func(t *testing.T) { c.app.check(t, c.wireCase) })
	}
	for _, c := range []struct {
		name   string
		app    *app
		req    request
		status int
	}{
		{"no credentials where nothing is public", closed, with("", orders)(closed), 401},
		{"a bad token", a, with("", orders, "Authorization", "Bearer nonsense")(a), 401},
		{"an expired token", a, with("", orders, "Authorization", "Bearer "+a.env.Token(map[string]any{"exp": 1_700_000_000, "iat": 1_600_000_000}))(a), 401},
		{"without a scope of every request", a, with("other", orders)(a), 403},
		{"a body that can be read in two ways", a, with("base", strings.Replace(orders, `"id":1`, `"id":1,"id":2`, 1))(a), 400},
		{"the same without credentials", a, with("", strings.Replace(orders, `"id":1`, `"id":1,"id":2`, 1))(a), 401},
		{"a user's MCP session without credentials", a, with("", orders, "Mcp-Session-Id", "ses_of_a_user")(a), 401},
		{"another origin", a, with("", orders, "Origin", "https://evil.example")(a), 403},
		{"an allowed call", a, with("base orders:read", orders)(a), 200},
		{"a public call", a, with("", call("weather"))(a), 200},
	} {
		if resp := c.app.send(t, c.req); resp.status != c.status || strings.Contains(resp.body, "www_authenticate") {
			t.Errorf("%s: status %d, %s", c.name, resp.status, resp.body)
		}
	}
}
