package mcpauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR59ImpliedScopes has scopes that imply others, through others too, and in a circle.
func TestR59ImpliedScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.ImpliedScopes = map[string][]string{"admin": {"write"}, "write": {"read"}, "x": {"y"}, "y": {"x"}}
	})
	s := authenticate(f.rs, f.env.Token(m{"scope": "admin x"})).Session
	if !s.HasScopes("admin", "write", "read", "x", "y") || s.HasScopes("z") {
		t.Error("an implied scope is missing, or another one is held")
	}
	if got := s.Scopes(); !slices.Equal(got, []string{"admin", "x"}) {
		t.Errorf("Scopes names implied ones: %q", got)
	}
	if s := authenticate(f.rs, f.env.Token(m{"scope": "read"})).Session; s.HasScopes("write") {
		t.Error("the hierarchy goes both ways")
	}
}

// TestR100HeldScopes has a token that lacks a scope in each place where one can be missing. By default the challenge names
// what is needed there; with ChallengeHeldScopes also what the token holds, and never what this server does not know.
func TestR100HeldScopes(t *testing.T) {
	t.Parallel()
	const holds = "mail:read other:server offline_access base admin shown"
	check := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		if op.Name == "checked" || op.Name == "both" {
			return mcpauth.NeedScopes("abroad")
		}
		return nil
	}
	call := func(tool string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
	}
	for _, c := range []struct {
		name, body string
		required   []string
		needed     string
		also       string // with the setting
	}{
		{"of every request", call("read"), []string{"missing"}, "base missing", "shown mail:read"},
		{"of a rule", call("send"), nil, "base mail:send", "shown mail:read"},
		{"of a rule, with one that is held", call("forward"), nil, "base mail:read mail:send", "shown"},
		{"of the nearest alternative", call("any"), nil, "base mail:read x", "shown"},
		{"of a batch", "[" + call("send") + "," + call("read") + "]", nil, "base mail:send mail:read", "shown"},
		{"of Check", call("checked"), nil, "base abroad", "shown mail:read"},
		{"of a rule and of Check", call("both"), nil, "base mail:read abroad", "shown"},
	} {
		for _, setting := range []bool{false, true} {
			f := newFixture(t, func(cfg *mcpauth.Config) {
				cfg.ChallengeHeldScopes = setting
				cfg.RequiredScopes = []string{"base"}
				cfg.Scopes = []string{"shown", "not:held"}
			})
			policy := newPolicy(t, mcpauth.Rules{Check: check, Tools: map[string]mcpauth.Rule{
				"read": {Scopes: []string{"mail:read"}}, "send": {Scopes: []string{"mail:send"}}, "forward": {Scopes: []string{"mail:read", "mail:send"}},
				"any": {AnyScopes: [][]string{{"y", "z"}, {"mail:read", "x"}}}, "both": {Scopes: []string{"mail:read"}},
			}})
			handler := f.rs.WithRequiredScopes(c.required...).RequireOperations(policy)(http.NotFoundHandler())
			r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+f.env.Token(m{"scope": holds}))
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			want := c.needed
			if setting {
				want += " " + c.also
			}
			if challenge := w.Header().Get("WWW-Authenticate"); w.Code != http.StatusForbidden || !strings.Contains(challenge, `scope="`+want+`"`) {
				t.Errorf("scopes %s, setting %t: %d %s, want %q", c.name, setting, w.Code, challenge, want)
			}
		}
	}
}

// TestR100ImpliedScopes names a scope that is held only through another, if that one is not known here.
func TestR100ImpliedScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		holds  string
		scopes []string
		want   string
	}{
		{"all", []string{"a", "b"}, "base a b"},            // all is not advertised
		{"all", []string{"a", "b", "all"}, "base all"},     // which is enough
		{"all a", []string{"a", "b", "all"}, "base a all"}, // as the token has it
		{"all some", []string{"a", "b", "some"}, "base b some"},
		{"x", []string{"x", "y"}, "base x"}, // a circle
		{"x", []string{"y"}, "base y"},
		{"base:not", []string{"a"}, "base"},
	} {
		f := newFixture(t, func(cfg *mcpauth.Config) {
			cfg.ChallengeHeldScopes, cfg.Scopes, cfg.RequiredScopes = true, c.scopes, []string{"base"}
			cfg.ImpliedScopes = map[string][]string{"all": {"a", "b"}, "some": {"a"}, "x": {"y"}, "y": {"x"}}
		})
		got := f.send(t, f.env.Token(m{"scope": c.holds}))
		if got.status != http.StatusForbidden || !strings.Contains(got.challenge, `scope="`+c.want+`"`) {
			t.Errorf("%s of %s: %d %s, want %q", c.holds, c.scopes, got.status, got.challenge, c.want)
		}
	}
}

// TestR100ScopesOfOtherRoutes are known when the routes are set up, and named in the challenges of all of them.
func TestR100ScopesOfOtherRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ChallengeHeldScopes, cfg.RequiredScopes = true, []string{"base"} })
	f.rs.WithRequiredScopes("admin")
	f.rs.RequireOperations(newPolicy(t, mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"mail:read"}})}))
	got := f.send(t, f.env.Token(m{"scope": "mail:read admin other"}))
	if !strings.Contains(got.challenge, `scope="base admin mail:read"`) {
		t.Errorf("%d %s", got.status, got.challenge)
	}
	if got := f.send(t, ""); !strings.Contains(got.challenge, `scope="base"`) {
		t.Errorf("without a token: %d %s", got.status, got.challenge)
	}
	if got := f.send(t, f.env.Token(m{"scope": "admin", "exp": 1})); got.status != http.StatusUnauthorized || !strings.Contains(got.challenge, `scope="base"`) {
		t.Errorf("expired: %d %s", got.status, got.challenge)
	}
}

// TestR7OfflineAccess advertises offline_access. Challenges that name scopes name it, too, because clients then ask for these
// alone; one without scopes stays without, because clients would ask for it alone. No token needs it.
func TestR7OfflineAccess(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: scopeRules(map[string][]string{"send": {"mail:send"}})})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.AdvertiseOfflineAccess = true })
	if got := string(mcpauth.ReplyOf(f.rs.MetadataRoutes()[1], "GET").Body); !strings.Contains(got, `"scopes_supported":["offline_access"]`) {
		t.Errorf("%s", got)
	}
	handler := f.rs.RequireOperations(policy)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	related := f.rs.WithRequiredScopes("mail").RequireToken()(handler)
	for _, c := range []struct {
		handler http.Handler
		token   string
		tool    string
		status  int
		scope   string // in the challenge
	}{
		{handler, "", "send", 401, ""},
		{handler, "x", "send", 401, ""},
		{handler, f.env.Token(m{"scope": "mail:read"}), "send", 403, "mail:send offline_access"},
		{handler, f.env.Token(m{"scope": "offline_access"}), "send", 403, "mail:send offline_access"},
		{handler, f.env.Token(m{"scope": "mail:send"}), "send", 200, ""},
		{handler, f.env.Token(nil), "read", 200, ""},
		{related, "", "send", 401, "mail offline_access"},
		{related, f.env.Token(nil), "send", 403, "mail offline_access"},
		{related, f.env.Token(m{"scope": "mail"}), "read", 200, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+c.tool+`"}}`))
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, r)
		challenge := w.Header().Get("Www-Authenticate")
		if w.Code != c.status || c.scope != "" && !strings.Contains(challenge, `scope="`+c.scope+`"`) || c.scope == "" && strings.Contains(challenge, "scope=") {
			t.Errorf("%s: %d %s, want %q", c.tool, w.Code, challenge, c.scope)
		}
	}
}
