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

// TestR38toR47Claims has well-signed tokens whose claims differ from those of a good one.
func TestR38toR47Claims(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFixture(t, stoppedClock(now))
	env := f.env
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	claims := func(c m) string { return env.Token(c) }
	null := json.RawMessage("null")

	f.judge(t, []tokenCase{
		{"R38 the environment", claims(m{"iss": env.URL()}), 200},
		{"R38 the resource", claims(m{"iss": env.Issuer()}), 200},
		{"R38 a slash more", claims(m{"iss": env.URL() + "/"}), 401},
		{"R38 another resource", claims(m{"iss": env.URL() + "/resources/res_other"}), 401},
		{"R38 another environment", claims(m{"iss": "https://evil.example"}), 401},
		{"R38 another case", claims(m{"iss": strings.ToUpper(env.URL())}), 401},
		{"R38 none", claims(m{"iss": nil}), 401},
		{"R38 a list", claims(m{"iss": []string{env.URL()}}), 401},
		{"R39 a string", claims(m{"aud": env.ResourceID()}), 200},
		{"R39 among others", claims(m{"aud": []string{"https://x.example", env.ResourceID()}}), 200},
		{"R39 none", claims(m{"aud": nil}), 401},
		{"R39 an empty list", claims(m{"aud": []string{}}), 401},
		{"R39 an empty string", claims(m{"aud": ""}), 401},
		{"R39 the URL while an id is configured", claims(m{"aud": baseURL + "/mcp"}), 401},
		{"R39 a prefix", claims(m{"aud": "res_tes"}), 401},
		{"R39 another case", claims(m{"aud": "RES_TEST"}), 401},
		{"R39 more", claims(m{"aud": "res_test/"}), 401},
		{"R39 an object", claims(m{"aud": m{"res_test": true}}), 401},
		{"R39 a list with a number", claims(m{"aud": []any{"res_test", 1}}), 401},
		{"R39 environment credentials", claims(m{"aud": []string{"skc_1", env.URL()}, "sub": "skc_1"}), 401},
		{"R40 no exp", claims(m{"exp": nil}), 401},
		{"R40 exp null", claims(m{"exp": null}), 401},
		{"R40 expired", claims(m{"exp": in(-31 * time.Second)}), 401},
		{"R40 within the leeway", claims(m{"exp": in(-25 * time.Second)}), 200},
		{"R40 a fraction", claims(m{"exp": float64(in(time.Minute)) + 0.5}), 200},
		{"R40 with an exponent", claims(m{"exp": json.RawMessage("9e9")}), 200},
		{"R40 a string", claims(m{"exp": "9999999999"}), 401},
		{"R40 an overflow", claims(m{"exp": json.RawMessage("9223372036854775808")}), 401},
		{"R40 the largest int64", claims(m{"exp": json.RawMessage("9223372036854775807")}), 401},
		{"R40 infinity", claims(m{"exp": json.RawMessage("1e999")}), 401},
		{"R40 negative", claims(m{"exp": -1}), 401},
		{"R41 nbf in the future", claims(m{"nbf": in(35 * time.Second)}), 401},
		{"R41 nbf within the leeway", claims(m{"nbf": in(25 * time.Second)}), 200},
		{"R41 nbf of another type", claims(m{"nbf": "now"}), 401},
		{"R42 iat in the future", claims(m{"iat": in(35 * time.Second)}), 401},
		{"R42 iat within the leeway", claims(m{"iat": in(25 * time.Second)}), 200},
		{"R42 no iat", claims(m{"iat": nil}), 200},
		{"R43 no sub", claims(m{"sub": nil}), 401},
		{"R43 an empty sub", claims(m{"sub": ""}), 401},
		{"R43 a number", claims(m{"sub": 1}), 401},
		{"R44 a client_id of another type", claims(m{"client_id": 1}), 401},
		{"R45 scope of another type", claims(m{"scope": 1}), 401},
		{"R46 an ID token", claims(m{"aud": "m2m_1", "nonce": "n"}), 401},
		{"R46 a logout token", env.Mint(mcpauthtest.Token{Header: m{"typ": "logout+jwt"}, Claims: m{"events": m{}}}), 401},
		{"R102 a nonce", claims(m{"nonce": "n"}), 401},
		{"R102 an empty nonce", claims(m{"nonce": ""}), 401},
		{"R102 a nonce of another type", claims(m{"nonce": 1}), 401},
		{"R102 events", claims(m{"events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}}), 401},
		{"R102 events of another type", claims(m{"events": []int{}}), 401},
		{"R102 at_hash", claims(m{"at_hash": "x"}), 401},
		{"R102 c_hash", claims(m{"c_hash": "x"}), 401},
		{"R102 s_hash", claims(m{"s_hash": false}), 401},
		{"R102 null is absent", claims(m{"nonce": null, "events": null}), 200},
		{"R102 another case is another claim", claims(m{"Nonce": "n", "EVENTS": m{}}), 200},
		{"R102 inside another claim", claims(m{"custom_claims": m{"nonce": "n", "events": m{}}}), 200},
		{"R47 bound to a key", claims(m{"cnf": m{"jkt": "x"}}), 401},
		{"null is absent", claims(m{"scope": null, "oid": null, "nbf": null, "iat": null, "cnf": null, "roles": null}), 200},
	})
}

// TestR40R41R42AtTheLimit has times that are as far from now as the clock skew allows, and a moment further.
func TestR40R41R42AtTheLimit(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	const skew = 10 * time.Second
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = func() time.Time { return now }; cfg.ClockSkew = skew })
	for _, c := range []struct {
		name   string
		claims m
		want   mcpauth.Outcome
	}{
		{"the last millisecond of exp", m{"exp": float64(now.Add(-skew).UnixMilli()+1) / 1000}, mcpauth.OutcomeAllowed},
		{"the moment after exp", m{"exp": now.Add(-skew).Unix()}, mcpauth.OutcomeExpired},
		{"nbf at the limit", m{"nbf": now.Add(skew).Unix()}, mcpauth.OutcomeAllowed},
		{"nbf behind the limit", m{"nbf": float64(now.Add(skew).UnixMilli()+1) / 1000}, mcpauth.OutcomeInvalidToken},
		{"iat at the limit", m{"iat": now.Add(skew).Unix()}, mcpauth.OutcomeAllowed},
		{"iat behind the limit", m{"iat": float64(now.Add(skew).UnixMilli()+1) / 1000}, mcpauth.OutcomeInvalidToken},
	} {
		if d := authenticate(f.rs, f.env.Token(c.claims)); d.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.name, d.Outcome, c.want)
		}
	}
}

// TestR40ExpiredTokenOfAnotherResource is invalid and not expired: a client that refreshes it gets no further.
func TestR40ExpiredTokenOfAnotherResource(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if d := authenticate(f.rs, f.env.Token(m{"exp": 1, "aud": "res_other"})); d.Outcome != mcpauth.OutcomeInvalidToken {
		t.Errorf("%s", d.Outcome)
	}
}

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

// TestR39AudienceWithoutResourceID has audiences that are compared with the resource's URL, the base URL and
// Config.Audiences.
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
		{"the base URL when it is not a resource", func(cfg *mcpauth.Config) { cfg.OmitRootMetadata = true }, baseURL, 401},
		{"the base URL with a slash", nil, baseURL + "/", 200},
		{"the base URL, configured with a slash", func(cfg *mcpauth.Config) { cfg.BaseURL += "/" }, baseURL, 200},
		{"the base URL, both with a slash", func(cfg *mcpauth.Config) { cfg.BaseURL += "/" }, baseURL + "/", 200},
		{"the resource without a path, with a slash", func(cfg *mcpauth.Config) { cfg.Path, cfg.BaseURL = "/", "https://other.example" }, "https://other.example/", 200},
		{"an added one, with a slash", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example"} }, "https://a.example/", 200},
		{"an added one, configured with a slash", func(cfg *mcpauth.Config) { cfg.Audiences = []string{"https://a.example/"} }, "https://a.example", 200},
		{"two slashes", nil, baseURL + "//", 401},
		{"a slash, when the base URL is not a resource", func(cfg *mcpauth.Config) { cfg.OmitRootMetadata = true }, baseURL + "/", 401},
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

// TestR40Expired lets time pass until a token has expired, and then the skew: the reply says token_expired.
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

// TestR43R45Claims has claims that come in several forms: scopes, the organization, and the client of a machine.
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

// TestR43ClaimsOfAnotherType has claims that decide nothing, of types that they should not be. They count as absent, and
// the log names them once for each token.
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
	// Claims that decide are refused when they have another type. So is what is not strict JSON, in any claim.
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
