package mcpauth_test

import (
	"strconv"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func TestR64OperationPolicy(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{
		Tools:     map[string][]string{"delete_order": {"orders:read", "orders:write"}, "whoami": nil},
		Prompts:   map[string][]string{"review": {"orders:read"}},
		Resources: map[string][]string{"files:///secret/{+path}": {"secret"}, "files:///secret/top": {"top"}, "db://*": {"db"}, "note://Mine%20/x": {"note"}, "docs:secret/{+path}": {"docs"}, "tree:///a/": {"tree"}, "tree:///b/{x}/": {"tree"}, "mid://a*xa*a": {"mid"}, "ends://a*a": {"ends"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tool, prompt, resource := policy.AllowsTool, policy.AllowsPrompt, policy.AllowsResource
	for _, c := range []struct {
		allows func(*mcpauth.Session, string) bool
		name   string
		scope  string
		want   bool
	}{
		{tool, "delete_order", "orders:read orders:write", true},
		{tool, "delete_order", "orders:write", false},
		{tool, "delete_order", "", false},
		{tool, "Delete_Order", "", true}, // another tool
		{tool, "whoami", "", true},
		{tool, "review", "", true}, // a prompt's name
		{prompt, "review", "", false},
		{prompt, "review", "orders:read", true},

		{resource, "files:///secret/a", "", false},
		{resource, "files:///secret/a/b", "secret", true},
		{resource, "files:///secret/", "", false},
		{resource, "files:///secret/top", "secret", false}, // two patterns, the scopes of both
		{resource, "files:///secret/top", "secret top", true},
		{resource, "files:///secrets", "", true},
		{resource, "db://", "", false},
		{resource, "db://x?y=z", "", false},
		{resource, "adb://x", "", true},
		{resource, "note://Mine%20/x", "", false},
		{resource, "note://Mine%20/y", "", true},

		// What leads to the same file does not lead around the pattern.
		{resource, "files:///public/../secret/a", "", false},
		{resource, "files:///./secret/a", "", false},
		{resource, "files:////secret//a", "", false},
		{resource, "files:///%73ecret/a", "", false},
		{resource, "files:///secret%2fa", "", false},
		{resource, "files:///%2e%2E/secret/a", "", false},
		{resource, "files:///public/%2e./secret/a", "", false},
		{resource, "files:///../../secret/a", "", false},
		{resource, "FILES:///Secret/a", "", false},
		{resource, `files:///public\..\secret\a`, "", false},
		{resource, "files:///secret/a?x", "", false},
		{resource, "files:///secret/top#y", "secret", false},
		{resource, "files:///x/../secret/.", "", false},
		{resource, "files:///secret//../a", "secret top db note docs tree mid ends", true},
		{resource, "files:///secret/b//../top", "secret", false},
		{resource, "files:///secret//../top", "secret", false},
		{resource, "files:///ſecret/a", "", false},
		{resource, "files:///%C5%BFecret/a", "", false},
		{resource, " files:///sec\tret/a\n", "", false},
		{resource, "files:///SECRET/K", "", false},
		{resource, "files://host/../secret/a", "", false},
		{resource, "note://mine /x", "", false},
		{resource, "files:///secret/top/", "secret", false},
		{resource, "files:///secret//top//?x", "secret", false},
		{resource, `files:///secret/top\`, "secret", false},
		{resource, "tree:///a", "", false},
		{resource, "tree:///b/c", "", false},
		{resource, "tree:///bc", "", true},
		{resource, "ends://a", "", true}, // the parts of a pattern do not overlap
		{resource, "ends://aa", "", false},
		{resource, "mid://axa", "", true},
		{resource, "mid://axaa", "", false},
		{resource, "docs:secret/a", "", false},
		{resource, "docs:./secret/a", "", false},
		{resource, "docs:../docs/secret/a", "", false},
		{resource, "docs:%2e/secret/a", "", false},
		{resource, "docs:/secret/a", "", false},
		{resource, "docs:///Secret/a", "", false},
		{resource, "docs:public/secret/a", "", true},
		{resource, "files:///public/..secret/a", "", true},
		{resource, "files:///public/%", "", true},
	} {
		if got := c.allows(mcpauthtest.NewSession(map[string]any{"scope": c.scope}), c.name); got != c.want {
			t.Errorf("%s with %q: %v, want %v", c.name, c.scope, got, c.want)
		}
	}
}

// TestR64StrictResources has URIs which are listed as they stand, and which a server could take for what is not listed.
func TestR64StrictResources(t *testing.T) {
	t.Parallel()
	policy := func(strict bool) *mcpauth.OperationPolicy {
		policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{
			Resources: map[string][]string{"files:///public/{+path}": nil, "repo://host/secret": {"s"}, "search://all?q={q}": nil, "note://*": nil, "box://{id}/open": nil},
			Strict:    strict,
		})
		if err != nil {
			t.Fatal(err)
		}
		return policy
	}
	open, strict := policy(false), policy(true)
	owner, nobody := mcpauthtest.NewSession(map[string]any{"scope": "s"}), mcpauthtest.NewSession(nil)
	for _, c := range []struct {
		uri            string
		strict, nobody bool // whether the owner of s may read it under the strict policy, and nobody under the open one
	}{
		{"files:///public/a", true, true},
		{"files:///public/", true, true},
		{"files:///public/a//b?d", true, true},
		{"files:///public/a/../b", false, false}, // it could lead anywhere
		{"files:///public/%61", true, true},
		{"files:///public/../secret/a", false, false},
		{"files:///public/%2e%2e/secret/a", false, false},
		{"files:///public/%252e%252e/secret/a", false, false},
		{"files:///x%2Fy/../secret/a", false, false},
		{`files:///public\x/../secret/a`, false, false},
		{"files:///public/..;x/secret/a", false, false},
		{"files:///public/x/.. /secret", false, false},
		{`files:///public/..\secret`, false, false},
		{"FILES:///public/a", false, true},
		{"repo://host/secret", true, false},
		{"repo://host/../secret", false, false},
		{"repo://host/x/../../secret", false, false},
		{"repo://host/secret?x", false, false},
		{"repo://secret", false, true},
		{"search://all?q=x", true, true},
		{"search://all", false, true},
		{"note://Mine/x...y", true, true},
		{"note://Mine/.hidden/..x/y..", true, true},
		{"other://x", false, true},
		{"box://a/open", true, true},
		{"box://secret?/open", false, true}, // box://secret to a server that ignores the query
	} {
		if got := strict.AllowsResource(owner, c.uri); got != c.strict {
			t.Errorf("%s, strict, with the scope: %v, want %v", c.uri, got, c.strict)
		}
		if got := open.AllowsResource(nobody, c.uri); got != c.nobody {
			t.Errorf("%s, not strict, without a scope: %v, want %v", c.uri, got, c.nobody)
		}
		if open.AllowsResource(nil, c.uri) != c.nobody {
			t.Errorf("%s without a session is not as without a scope", c.uri)
		}
	}
}

// TestR64DotSegmentsCostNothing asks for what needs the scopes of many patterns. A body may do so a thousand times.
func TestR64DotSegmentsCostNothing(t *testing.T) {
	resources := make(map[string][]string)
	for i := range 300 {
		resources["a://"+strconv.Itoa(i)] = []string{"s" + strconv.Itoa(i)}
	}
	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{Resources: resources})
	if err != nil {
		t.Fatal(err)
	}
	nobody := mcpauthtest.NewSession(nil)
	if got := testing.AllocsPerRun(10, func() {
		if policy.AllowsResource(nobody, "a://../") {
			t.Error("it is allowed")
		}
	}); got > 20 {
		t.Errorf("%v allocations", got)
	}
}
