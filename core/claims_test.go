package mcpauth_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func TestR38AddedIssuer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Issuers = []string{"https://old.example.com/"} })
	if got := f.send(t, f.env.Token(m{"iss": "https://old.example.com/"})); got.status != http.StatusOK {
		t.Errorf("status %d, want 200", got.status)
	}
	if got := f.send(t, f.env.Token(m{"iss": "https://old.example.com"})); got.status != http.StatusUnauthorized {
		t.Errorf("without its slash: status %d, want 401", got.status)
	}
}

func TestR39AudienceWithoutResourceID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*mcpauth.Config)
		aud    string
		want   int
	}{
		{"the resource", nil, baseURL + "/mcp", 200},
		{"the base URL", nil, baseURL, 200},
		{"the base URL when it is no resource", func(cfg *mcpauth.Config) { cfg.OmitRootMetadata = true }, baseURL, 401},
		{"the base URL with a slash", nil, baseURL + "/", 200},
		{"the base URL, configured with a slash", func(cfg *mcpauth.Config) { cfg.BaseURL += "/" }, baseURL, 200},
		{"the base URL, both with a slash", func(cfg *mcpauth.Config) { cfg.BaseURL += "/" }, baseURL + "/", 200},
		{"the resource without a path, with a slash", func(cfg *mcpauth.Config) { cfg.Path, cfg.BaseURL = "/", "https://other.example" }, "https://other.example/", 200},
		{"an added one, with a slash", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example"} }, "https://a.example/", 200},
		{"an added one, configured with a slash", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example/"} }, "https://a.example", 200},
		{"two slashes", nil, baseURL + "//", 401},
		{"a slash, when the base URL is no resource", func(cfg *mcpauth.Config) { cfg.OmitRootMetadata = true }, baseURL + "/", 401},
		{"a slash and a query", nil, baseURL + "/?", 401},
		{"a query", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example?/"} }, "https://a.example?", 401},
		{"a slash behind a path", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example/x"} }, "https://a.example/x/", 401},
		{"no slash behind a path", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example/x/"} }, "https://a.example/x", 401},
		{"a slash behind an id", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"urn:mine"} }, "urn:mine/", 401},
		{"a slash behind another scheme", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"app://mine"} }, "app://mine/", 401},
		{"nothing but a scheme", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://"} }, "https:///", 401},
		{"a slash more", nil, baseURL + "/mcp/", 401},
		{"a prefix", nil, baseURL + "/mc", 401},
		{"another case", nil, "https://MCP.example.com/mcp", 401},
		{"an id that is not configured", nil, "res_test", 401},
		{"an added one", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"urn:mine"} }, "urn:mine", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(cfg *mcpauth.Config) {
				cfg.ResourceID = ""
				if c.change != nil {
					c.change(cfg)
				}
			})
			if got := f.send(t, f.env.Token(m{"iss": f.env.URL(), "aud": c.aud})); got.status != c.want {
				t.Errorf("status %d, want %d", got.status, c.want)
			}
			if got := f.send(t, f.env.Token(m{"aud": c.aud})); got.status != http.StatusUnauthorized {
				t.Errorf("a resource's issuer without a resource id: status %d, want 401", got.status)
			}
		})
	}
}

func TestR40Expired(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Now = c.now
		cfg.ClockSkew = 2 * time.Minute
	})
	token := f.env.Token(m{"exp": c.now().Add(time.Minute).Unix()})
	for _, step := range []struct {
		after  time.Duration
		status int
	}{{0, 200}, {2*time.Minute + 58*time.Second, 200}, {3 * time.Second, 401}} {
		c.advance(step.after)
		got := f.send(t, token)
		if got.status != step.status {
			t.Fatalf("status %d, want %d", got.status, step.status)
		}
		if step.status == http.StatusUnauthorized && got.body.Reason != "token_expired" {
			t.Errorf("reason %q, want token_expired", got.body.Reason)
		}
	}
}

func TestR43R45Claims(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claims  m
		scopes  string
		org     string
		machine bool
	}{
		{m{"scope": "a b"}, "a b", "", false},
		{m{"scope": []string{"a", "b c"}}, "a b c", "", false},
		{m{"scopes": []string{"a", "b"}}, "a b", "", false},
		{m{"scopes": "a b"}, "a b", "", false},
		{m{"scp": []string{"a"}}, "a", "", false},
		{m{"scope": "a b", "scopes": []string{"b", "c"}, "scp": "d"}, "a b c d", "", false},
		{m{"scope": "", "permissions": []string{"p"}}, "", "", false},
		{m{"oid": "org_1", "org_id": "org_2", "custom_claims": m{"org_id": "org_3"}}, "", "org_1", false},
		{m{"org_id": "org_2", "custom_claims": m{"org_id": "org_3"}}, "", "org_2", false},
		{m{"custom_claims": m{"org_id": "org_3", "x": []int{1}}}, "", "org_3", false},
		{m{"custom_claims": m{"org_id": 3}}, "", "", false},
		{m{"custom_claims": "whatever"}, "", "", false},
		{m{"sub": "m2morg_1", "client_id": "m2morg_1", "oid": "org_1", "scopes": []string{"a"}}, "a", "org_1", true},
		{m{"client_id": nil}, "", "", false},
	} {
		s := mcpauthtest.NewSession(c.claims)
		// Members come out of a map sorted, so the union is compared as a set.
		scopes := s.Scopes()
		slices.Sort(scopes)
		if got := strings.Join(scopes, " "); got != c.scopes || s.OrganizationID() != c.org || s.IsMachine() != c.machine {
			t.Errorf("%v: scopes %q, organization %q, machine %v", c.claims, got, s.OrganizationID(), s.IsMachine())
		}
	}
}

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
