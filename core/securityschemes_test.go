package mcpauth_test

import (
	"context"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestSecuritySchemes has rules of all kinds, with scopes for every request and without.
func TestSecuritySchemes(t *testing.T) {
	t.Parallel()
	rules := mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{
			"public": {Public: true}, "user": {}, "read": {Scopes: []string{"mail:read", "base"}},
			"any":   {AnyScopes: [][]string{{"a", "b"}, {"c"}, {"d"}}},
			"both":  {Scopes: []string{"c", "x"}, AnyScopes: [][]string{{"c", "b"}}},
			"staff": {Roles: []string{"staff"}, Hide: true},
		},
		Prompts: map[string]mcpauth.Rule{"only a prompt": {Public: true}},
		Check:   func(context.Context, *mcpauth.Session, mcpauth.Operation) error { panic("not asked") },
		Strict:  true,
	}
	config := quietConfig()
	config.Policy = newPolicy(t, rules)
	plain, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	config.RequiredScopes = []string{"base"}
	based, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		rs    *mcpauth.ResourceServer
		of    *mcpauth.Policy
		tool  string
		given string
	}{
		{"public", plain, config.Policy, "public", `[{"type":"noauth"}]`},
		{"public, with scopes of every request", based, config.Policy, "public", `[{"type":"noauth"},{"type":"oauth2","scopes":["base"]}]`},
		{"a user", plain, config.Policy, "user", `[{"type":"oauth2"}]`},
		{"a user, with scopes of every request", based, config.Policy, "user", `[{"type":"oauth2","scopes":["base"]}]`},
		{"scopes", plain, config.Policy, "read", `[{"type":"oauth2","scopes":["mail:read","base"]}]`},
		{"scopes, each once", based, config.Policy, "read", `[{"type":"oauth2","scopes":["base","mail:read"]}]`},
		{"the shortest alternative", plain, config.Policy, "any", `[{"type":"oauth2","scopes":["c"]}]`},
		{"scopes and an alternative", based, config.Policy, "both", `[{"type":"oauth2","scopes":["base","c","x","b"]}]`},
		{"a role", plain, config.Policy, "staff", `[{"type":"oauth2"}]`},
		{"not listed", based, config.Policy, "other", `[{"type":"oauth2","scopes":["base"]}]`},
		{"of another kind", plain, config.Policy, "only a prompt", `[{"type":"oauth2"}]`},
		{"an equal policy that is not the server's", plain, newPolicy(t, rules), "public", `[{"type":"oauth2"}]`},
		{"a related server, where nothing is public", plain.WithRequiredScopes("more"), config.Policy, "public", `[{"type":"oauth2","scopes":["more"]}]`},
	} {
		if got := string(marshal(c.rs.SecuritySchemes(c.of, c.tool))); got != c.given {
			t.Errorf("%s: got %s, want %s", c.name, got, c.given)
		}
	}
	schemes := based.SecuritySchemes(config.Policy, "read")
	schemes[0].Scopes[0] = "changed"
	if got := based.SecuritySchemes(config.Policy, "read")[0].Scopes[0]; got != "base" {
		t.Errorf("the result is shared: %s", got)
	}
}
