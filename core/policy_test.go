package mcpauth_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func TestR64OperationScopesMistakes(t *testing.T) {
	t.Parallel()
	type list = map[string][]string
	for name, c := range map[string]struct {
		scopes mcpauth.Rules
		field  string
	}{
		"nothing":              {mcpauth.Rules{}, "Rules"},
		"an empty name":        {mcpauth.Rules{Tools: scopeRules(list{"": nil})}, "Tools"},
		"a pattern for a tool": {mcpauth.Rules{Tools: scopeRules(list{"admin_*": {"a"}})}, "Tools"},
		"a control character":  {mcpauth.Rules{Prompts: scopeRules(list{"a\nb": {"a"}})}, "Prompts"},
		"broken UTF-8":         {mcpauth.Rules{Prompts: scopeRules(list{"a\xff": {"a"}})}, "Prompts"},
		"no scope":             {mcpauth.Rules{Tools: scopeRules(list{"a": {"x y"}})}, "Tools"},
		"an empty scope":       {mcpauth.Rules{Tools: scopeRules(list{"a": {""}})}, "Tools"},
		"offline_access":       {mcpauth.Rules{Prompts: scopeRules(list{"a": {"offline_access"}})}, "Prompts"},
		"a resource's scope":   {mcpauth.Rules{Resources: scopeRules(list{"a://b": {"\""}})}, "Resources"},
		"an empty pattern":     {mcpauth.Rules{Resources: scopeRules(list{"": {"a"}})}, "Resources"},
		"an unclosed brace":    {mcpauth.Rules{Resources: scopeRules(list{"a://{b": {"a"}})}, "Resources"},
		"a stray brace":        {mcpauth.Rules{Resources: scopeRules(list{"a://b}": {"a"}})}, "Resources"},
		"empty braces":         {mcpauth.Rules{Resources: scopeRules(list{"a://{}": {"a"}})}, "Resources"},
		"nested braces":        {mcpauth.Rules{Resources: scopeRules(list{"a://{{b}}": {"a"}})}, "Resources"},
		"a space":              {mcpauth.Rules{Resources: scopeRules(list{"a://b c": {"a"}})}, "Resources"},
		"no scheme":            {mcpauth.Rules{Resources: scopeRules(list{"orders/{id}": {"a"}})}, "Resources"},
		"a path":               {mcpauth.Rules{Resources: scopeRules(list{"/orders": {"a"}})}, "Resources"},
		"an empty scheme":      {mcpauth.Rules{Resources: scopeRules(list{"://b": {"a"}})}, "Resources"},
		"dot segments":         {mcpauth.Rules{Resources: scopeRules(list{"a://b/../c": {"a"}})}, "Resources"},
		"encoded dot segments": {mcpauth.Rules{Resources: scopeRules(list{"a://b/%2E%2e/c": {"a"}})}, "Resources"},
		"a stray percent sign": {mcpauth.Rules{Resources: scopeRules(list{"a://50%": {"a"}})}, "Resources"},
		"no alternatives":      {mcpauth.Rules{Tools: map[string]mcpauth.Rule{"a": {AnyScopes: [][]string{}}}}, "Tools"},
		"no roles":             {mcpauth.Rules{Tools: map[string]mcpauth.Rule{"a": {Roles: []string{}}}}, "Tools"},
		"a negative bound":     {mcpauth.Rules{Tools: scopeRules(list{"a": nil}), MaxBodyBytes: -1}, "MaxBodyBytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := mcpauth.NewPolicy(c.scopes)
			var mistake *mcpauth.ConfigError
			if !errors.As(err, &mistake) || mistake.Field != c.field || !strings.ContainsAny(mistake.Reason, ";") {
				t.Errorf("got %v, want a mistake in %s with its cure", err, c.field)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		_, err := mcpauth.NewPolicy(mcpauth.Rules{
			Tools: scopeRules(list{"": {"a b"}}), Resources: scopeRules(list{"x": {"offline_access"}, "{": nil}), MaxBodyBytes: -1,
		})
		if mistakes := slices.Collect(mcpauth.ConfigErrors(err)); len(mistakes) != 6 {
			t.Errorf("got %v, want 6 mistakes", err)
		}
	})
}

func TestR64OperationPolicy(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools:     scopeRules(map[string][]string{"delete_order": {"orders:read", "orders:write"}, "whoami": nil}),
		Prompts:   scopeRules(map[string][]string{"review": {"orders:read"}}),
		Resources: scopeRules(map[string][]string{"files:///secret/{+path}": {"secret"}, "files:///secret/top": {"top"}, "db://*": {"db"}, "note://Mine%20/x": {"note"}, "docs:secret/{+path}": {"docs"}, "tree:///a/": {"tree"}, "tree:///b/{x}/": {"tree"}, "mid://a*xa*a": {"mid"}, "ends://a*a": {"ends"}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	const tool, prompt, resource = mcpauth.OperationTool, mcpauth.OperationPrompt, mcpauth.OperationResource
	for _, c := range []struct {
		kind  mcpauth.OperationKind
		name  string
		scope string
		want  bool
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

		// Other spellings of a URI do not lead around its pattern. TestR64Match of internal/operation has more of them.
		{resource, "files:///%73ecret/a", "", false},
		{resource, "FILES:///Secret//a", "", false},
		{resource, "files:///secret/top#y", "secret", false},
		{resource, "files:///secret//top//?x", "secret", false},
		{resource, "files:///secret//top//?x", "secret top", true},
		{resource, "tree:///bc", "", true},
		{resource, "ends://a", "", true}, // the parts of a pattern do not overlap
		{resource, "docs:///Secret/a", "", false},
		{resource, "docs:public/secret/a", "", true},
		{resource, "files:///public/..secret/a", "", true},

		// A URI with dot segments needs the scopes of all patterns.
		{resource, "files:///public/../secret/a", "", false},
		{resource, "files:///secret/b//../top", "secret top", false},
		{resource, "files:///secret//../a", "secret top db note docs tree mid ends", true},
		{resource, "docs:%2e/other", "docs", false},
	} {
		if got := allows(policy, mcpauthtest.NewSession(map[string]any{"scope": c.scope}), c.kind, c.name); got != c.want {
			t.Errorf("%s with %q: %v, want %v", c.name, c.scope, got, c.want)
		}
	}
}

// TestR64StrictResources has URIs which are listed as they stand, and which a server could take for what is not listed.
func TestR64StrictResources(t *testing.T) {
	t.Parallel()
	policy := func(strict bool) *mcpauth.Policy {
		policy, err := mcpauth.NewPolicy(mcpauth.Rules{
			Resources: scopeRules(map[string][]string{"files:///public/{+path}": nil, "repo://host/secret": {"s"}, "search://all?q={q}": nil, "note://*": nil, "box://{id}/open": nil}),
			Strict:    strict,
		})
		if err != nil {
			t.Fatal(err)
		}
		return policy
	}
	open, strict := policy(false), policy(true)
	holder, other := mcpauthtest.NewSession(map[string]any{"scope": "s"}), mcpauthtest.NewSession(nil)
	for _, c := range []struct {
		uri          string
		strict, open bool // whether a holder of s may read it under the strict policy, and a caller without scopes under the open one
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
		if got := allows(strict, holder, mcpauth.OperationResource, c.uri); got != c.strict {
			t.Errorf("%s, strict, with the scope: %v, want %v", c.uri, got, c.strict)
		}
		if got := allows(open, other, mcpauth.OperationResource, c.uri); got != c.open {
			t.Errorf("%s, not strict, without a scope: %v, want %v", c.uri, got, c.open)
		}
		if allows(open, nil, mcpauth.OperationResource, c.uri) != c.open {
			t.Errorf("%s without a session is answered otherwise than with one that has no scope", c.uri)
		}
	}
}

// TestR64DotSegmentsCostNothing asks for what needs the scopes of many patterns. A body may do so a thousand times.
func TestR64DotSegmentsCostNothing(t *testing.T) {
	resources := make(map[string][]string)
	for i := range 300 {
		resources["a://"+strconv.Itoa(i)] = []string{"s" + strconv.Itoa(i)}
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Resources: scopeRules(resources)})
	if err != nil {
		t.Fatal(err)
	}
	caller := mcpauthtest.NewSession(nil)
	if got := testing.AllocsPerRun(10, func() {
		if allows(policy, caller, mcpauth.OperationResource, "a://../") {
			t.Error("it is allowed")
		}
	}); got > 60 {
		t.Errorf("%v allocations", got)
	}
}

// TestPolicyText has rules whose names and claims look like other rules, or can't be seen: each has a text of its own, and a
// line of its own.
func TestPolicyText(t *testing.T) {
	t.Parallel()
	type rules = map[string]mcpauth.Rule
	seen := make(map[string]string)
	for name, tools := range map[string]rules{
		"one role":                  {"t": {Roles: []string{"a, b"}}},
		"two roles":                 {"t": {Roles: []string{"a", "b"}}},
		"a role in quotes":          {"t": {Roles: []string{`"a, b"`}}},
		"a role and a permission":   {"t": {Roles: []string{"a"}, Permissions: []string{"b"}}},
		"a role like both":          {"t": {Roles: []string{"a; permissions b"}}},
		"a role of two lines":       {"t": {Roles: []string{"a\ntool u: public"}}},
		"a role and a tool":         {"t": {Roles: []string{"a"}}, "u": {Public: true}},
		"a name like a tool":        {"t: a role of a\u2028tool u": {Public: true}},
		"a name like a rule":        {"t: a role of a": {Public: true}},
		"a name that turns round":   {"\u202et": {Roles: []string{"a"}}},
		"a name with a zero width":  {"t\u200b": {Roles: []string{"a"}}},
		"a name with another space": {"t\u00a0": {Roles: []string{"a"}}},
		"a name with a space":       {"t ": {Roles: []string{"a"}}},
		"broken text":               {"t": {Organizations: []string{"\xff"}}},
		"other broken text":         {"t": {Organizations: []string{"\xfe"}}},
		"its replacement":           {"t": {Organizations: []string{"\ufffd"}}},
		"scopes with separators":    {"t": {Scopes: []string{"a,", "b"}}},
		"others":                    {"t": {Scopes: []string{"a", ",b"}}},
		"alternatives":              {"t": {AnyScopes: [][]string{{"a", "+"}, {"b"}}}},
		"other alternatives":        {"t": {AnyScopes: [][]string{{"a"}, {"+", "b"}}}},
	} {
		p, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: tools})
		if err != nil {
			t.Fatal(err)
		}
		text := p.String()
		if lines := strings.Count(text, "\n"); lines != len(tools)+1 || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q", name, text)
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s are the same: %q", name, other, text)
		}
		seen[text] = name
	}
	p, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: rules{"größe-2_x": {Roles: []string{"büro"}}}, Resources: rules{"a://{id}?q=*": {Scopes: []string{"a:b/c"}}}})
	if want := "tool größe-2_x: a role of büro\nresource a://{id}?q=*: scopes a:b/c\nothers: every authenticated caller\n"; err != nil || p.String() != want {
		t.Errorf("%v: %s", err, p)
	}
}
