package mcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR43ClaimsOfAnotherType has claims that decide nothing, of types that they should not be. They count as absent, and the
// log says so once for each token, by name.
func TestR43ClaimsOfAnotherType(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	const value = "remarkable"
	wrong := map[string]any{"a number": 42, "a list": []any{value, 1}, "an object": m{value: m{}}, "true": true, "a string": value, "lists": []any{[]string{value}}}
	for _, claim := range []string{"sid", "jti", "oid", "org_id", "xoid", "xuid", "roles", "permissions"} {
		for name, v := range wrong {
			if _, ok := v.(string); ok && claim != "roles" && claim != "permissions" {
				continue // which is right
			}
			before := len(f.log.String())
			token := f.env.Token(m{claim: v})
			s := authenticate(f.rs, token).Session
			if s == nil {
				t.Errorf("%s is %s: refused", claim, name)
				continue
			}
			if got := s.SessionID() + s.TokenID() + s.OrganizationID() + s.ExternalOrganizationID() + s.ExternalUserID() + strings.Join(s.Roles(), "") + strings.Join(s.Permissions(), ""); strings.Contains(got, value) || strings.Contains(got, "42") {
				t.Errorf("%s is %s: the session has %q", claim, name, got)
			}
			if s.Claims()[claim] == nil {
				t.Errorf("%s is %s: Claims does not show it", claim, name)
			}
			if authenticate(f.rs, token).Session != s {
				t.Fatal("not cached")
			}
			log := f.log.String()[before:]
			if strings.Count(log, "level=DEBUG msg=\"claims of another type") != 1 || !strings.Contains(log, "claims=["+claim+"]") || strings.Contains(log, value) {
				t.Errorf("%s is %s: the log says\n%s", claim, name, log)
			}
		}
	}
	for name, c := range map[string]struct {
		claims m
		org    string
	}{
		"oid, with org_id":       {m{"oid": 42, "org_id": "org_2"}, "org_2"},
		"all but custom_claims":  {m{"oid": 42, "org_id": []int{}, "custom_claims": m{"org_id": "org_3"}}, "org_3"},
		"custom_claims.org_id":   {m{"custom_claims": m{"org_id": 42}}, ""},
		"custom_claims":          {m{"custom_claims": 42}, ""},
		"none, custom ones null": {m{"custom_claims": m{"org_id": nil}}, ""},
	} {
		if s := authenticate(f.rs, f.env.Token(c.claims)).Session; s == nil || s.OrganizationID() != c.org {
			t.Errorf("%s: %v", name, s)
		}
	}
	// What decides is refused as before, and what is no strict JSON everywhere.
	for _, claims := range []m{
		{"iss": 1},
		{"aud": 1},
		{"exp": "x"},
		{"nbf": "x"},
		{"iat": "x"},
		{"sub": 1},
		{"client_id": 7},
		{"scope": 1},
		{"scopes": m{}},
		{"scp": []int{1}},
		{"cnf": 1},
		{"roles": json.RawMessage(`{"a":1,"a":2}`)},
		{"roles": json.RawMessage(`["a",{"a":1,"a":2}]`)},
		{"oid": json.RawMessage(`[{"a":1,"a":2}]`)},
		{"roles": json.RawMessage(`[1,1e999]`)},
	} {
		if d := authenticate(f.rs, f.env.Token(claims)); d.Outcome != mcpauth.OutcomeInvalidToken {
			t.Errorf("%v: %s", claims, d.Outcome)
		}
	}
}
