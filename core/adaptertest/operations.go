package adaptertest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// call is a JSON-RPC request for a tool.
func call(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"NAME":"x","name":1}}}`, tool)
}

// runOperations mounts a handler behind RequireOperations. Status, challenge and body are the same for every
// framework, and the handler gets the bytes that were sent.
func runOperations(t *testing.T, f *Framework) {
	start := func(strict bool) *app {
		a := f.prepare(t, func(cfg *mcpauth.Config) {
			cfg.RequiredScopes = []string{"greet:read"}
			cfg.ImpliedScopes = map[string][]string{"admin": {"orders:read", "orders:write"}}
		})
		policy, err := mcpauth.NewPolicy(mcpauth.Rules{
			Tools:        map[string]mcpauth.Rule{"delete_order": {Scopes: []string{"orders:read", "orders:write"}}, "list_orders": {Scopes: []string{"orders:read"}}, "whoami": {}},
			Prompts:      map[string]mcpauth.Rule{"review": {Scopes: []string{"orders:read"}}},
			Resources:    map[string]mcpauth.Rule{"orders://{id}": {Scopes: []string{"orders:read"}}, "orders://{id}/audit": {Scopes: []string{"audit"}}},
			Strict:       strict,
			MaxBodyBytes: 100 << 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		require := a.rs.RequireOperations(policy)
		a.build.Mount(a.rs, require(http.HandlerFunc(a.handle)))
		a.serve(t)
		return a
	}
	open, strict := start(false), start(true)
	const (
		insufficient = "operation_scopes.txt"
		unreadable   = "message_refused.txt"
		unlisted     = "operation_refused.txt"
	)
	with := func(scope, body string, more ...string) func(*app) request {
		return func(a *app) request {
			h := bearer(a.env.Token(map[string]any{"scope": "greet:read " + scope}))
			for i := 0; i < len(more); i += 2 {
				h.Set(more[i], more[i+1])
			}
			return request{header: h, body: body}
		}
	}
	for _, c := range []struct {
		app *app
		wireCase
	}{
		{open, wireCase{name: "R32 without a token the body is not looked at", golden: "operation_no_credentials.txt", req: fixed(request{body: "{{{"})}},
		{open, wireCase{name: "R58 all scopes of the tool in one challenge", golden: insufficient, req: with("orders:read", call("delete_order"))}},
		{open, wireCase{name: "R58 without any of them", golden: insufficient, req: with("", call("delete_order"))}},
		{open, wireCase{name: "R58 a batch needs the union", golden: insufficient, req: with("orders:read", "["+call("delete_order")+","+call("whoami")+","+call("list_orders")+"]")}},
		{open, wireCase{name: "R64 Mcp-Name is not believed", golden: insufficient, req: with("", call("delete_order"), "Mcp-Name", "whoami", "Mcp-Method", "tools/call")}},
		{open, wireCase{name: "R64 a name with escapes", golden: insufficient, req: with("", strings.ReplaceAll(call("delete_order"), "_", `\u005f`))}},
		{open, wireCase{name: "R64 NAME", golden: unreadable, req: with("admin", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","NAME":"delete_order"}}`)}},
		{open, wireCase{name: "R64 a long s", golden: unreadable, req: with("admin", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"},"paramſ":{"name":"delete_order"}}`)}},
		{open, wireCase{name: "R64 a repeated member", golden: unreadable, req: with("admin", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"delete_order"}}`)}},
		{open, wireCase{name: "R64 not JSON", golden: unreadable, req: with("admin", "hello")}},
		{open, wireCase{name: "R64 too long", golden: "message_too_long.txt", req: with("admin", call(strings.Repeat("x", 101<<10)))}},
		{strict, wireCase{name: "R62 not listed, strict", golden: unlisted, req: with("admin", call("other"))}},
		{strict, wireCase{name: "R62 a notification that MCP does not have, strict", golden: unlisted, req: with("admin", `{"jsonrpc":"2.0","method":"notifications/other"}`)}},
		{strict, wireCase{name: "R62 R64 one of a batch is not listed", golden: unlisted, req: with("admin", "["+call("other")+","+call("whoami")+"]")}},
	} {
		t.Run(c.name, func(t *testing.T) { c.app.check(t, c.wireCase) })
	}

	for _, c := range []struct {
		name  string
		app   *app
		scope string
		body  string
	}{
		{"R58 with the scopes", open, "orders:read orders:write", call("delete_order")},
		{"R59 with a scope that implies them", open, "admin", call("delete_order")},
		{"R64 a tool that needs none", strict, "", call("whoami")},
		{"R64 not listed, not strict", open, "", call("other")},
		{"R64 white space is kept", open, "", " \r\n" + call("whoami") + "\t"},
		{"R64 no operation", strict, "", `{"jsonrpc":"2.0","id":"a","method":"tools/list"}`},
		{"R64 a notification", strict, "", `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
		{"R64 a response", strict, "", `{"jsonrpc":"2.0","id":1,"result":{"name":"delete_order"}}`},
		{"R64 no body", strict, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.app.ran.Load()
			resp := c.app.send(t, with(c.scope, c.body)(c.app))
			if resp.status != http.StatusOK || resp.body != "usr_1 "+c.body || c.app.ran.Load() != before+1 {
				t.Errorf("status %d, %q; want the handler to see %q", resp.status, resp.body, c.body)
			}
		})
	}
}
