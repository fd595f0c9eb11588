package mcpauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestSessionShowsItsClaims has a token with every claim that Session has a method for.
func TestSessionShowsItsClaims(t *testing.T) {
	t.Parallel()
	s := mcpauthtest.NewSession(m{
		"sub": "usr_7", "client_id": "m2m_3", "sid": "ses_9", "jti": "tkn_4", "oid": "org_1", "xoid": "tenant-1", "xuid": "user-1",
		"scope": "a b  c", "roles": []string{"admin"}, "permissions": []string{"orders:read"}, "aud": []string{"https://x.example", "res_test"},
		"iat": 1_700_000_000, "exp": 4_000_000_000.25, "quota": 12, "nested": m{"k": []int{1}},
	})
	for got, want := range map[string]string{
		s.UserID(): "usr_7", s.ClientID(): "m2m_3", s.SessionID(): "ses_9", s.TokenID(): "tkn_4", s.OrganizationID(): "org_1",
		s.ExternalOrganizationID(): "tenant-1", s.ExternalUserID(): "user-1", s.Principal(): strings.TrimSuffix(s.Issuer(), "/resources/res_test") + "\nusr_7",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for name, lists := range map[string][2][]string{
		"scopes":      {s.Scopes(), {"a", "b", "c"}},
		"roles":       {s.Roles(), {"admin"}},
		"permissions": {s.Permissions(), {"orders:read"}},
		"audience":    {s.Audience(), {"https://x.example", "res_test"}},
	} {
		if !slices.Equal(lists[0], lists[1]) {
			t.Errorf("%s: got %q, want %q", name, lists[0], lists[1])
		}
	}
	if !s.IssuedAt().Equal(time.Unix(1_700_000_000, 0)) || !s.ExpiresAt().Equal(time.UnixMilli(4_000_000_000_250)) {
		t.Errorf("issued %v, expires %v", s.IssuedAt(), s.ExpiresAt())
	}
	if s.IsMachine() {
		t.Error("a user is taken for a machine")
	}
	if s.HasScopes("a", "d") || !s.HasScopes("a", "c") || !s.HasScopes() || s.HasScopes("orders:read") || s.HasScopes("admin") {
		t.Error("HasScopes")
	}
	var mine struct {
		Quota  int
		Nested struct{ K []int }
	}
	if err := s.DecodeClaims(&mine); err != nil || mine.Quota != 12 || mine.Nested.K[0] != 1 {
		t.Errorf("DecodeClaims: %+v, %v", mine, err)
	}
	if err := s.DecodeClaims(&[]string{}); err == nil {
		t.Error("an object was decoded into a slice")
	}
}

// TestR43IsMachine has the tokens that Scalekit issues, and some that look like another.
func TestR43IsMachine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims m
		want   bool
	}{
		"an MCP user": {m{"sub": "usr_1", "client_id": "m2m_1", "sid": "ses_1"}, false},
		"an MCP user of a client with a document":     {m{"sub": "usr_1", "client_id": "https://client.example/metadata.json", "sid": "ses_1"}, false},
		"a full-stack user":                           {m{"sub": "usr_1", "client_id": "skc_1", "oid": "org_1", "jti": "tkn_1", "roles": []string{"admin"}}, false},
		"a user without client_id":                    {m{"sub": "usr_1", "client_id": nil}, false},
		"a machine of an organization":                {m{"sub": "m2morg_1", "client_id": "m2morg_1", "oid": "org_1", "scopes": []string{"a"}, "sid": nil}, true},
		"a client of the MCP server":                  {m{"sub": "m2m_1", "client_id": "m2m_1", "scope": "a", "sid": nil}, true},
		"two machines in one token":                   {m{"sub": "m2m_1", "client_id": "m2m_2"}, false},
		"the id of a machine in another case":         {m{"sub": "M2M_1", "client_id": "M2M_1"}, false},
		"a user that another issuer gives as client":  {m{"sub": "usr_1", "client_id": "usr_1"}, false},
		"a client whose id is the URL of a document":  {m{"sub": "https://client.example/", "client_id": "https://client.example/"}, false},
		"the environment's own credentials":           {m{"sub": "skc_1", "client_id": "skc_1"}, false},
		"an id that only begins like that of machine": {m{"sub": "m2mabc", "client_id": "m2mabc"}, false},
	} {
		if got := mcpauthtest.NewSession(c.claims).IsMachine(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if new(mcpauth.Session).IsMachine() {
		t.Error("a session without subject and client is a machine")
	}
}

// TestSessionIsImmutable writes into everything that a session returns. The next request with the same token gets the same
// session from the cache, and must find it unchanged.
func TestSessionIsImmutable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	token := f.env.Token(m{"scope": "a b", "roles": []string{"r"}, "permissions": []string{"p"}, "nested": m{"k": "v"}})
	vandalize := func(s *mcpauth.Session) {
		for _, list := range [][]string{s.Scopes(), s.Roles(), s.Permissions(), s.Audience()} {
			for i := range list[:cap(list)] {
				list[:cap(list)][i] = "stolen"
			}
		}
		claims := s.Claims()
		claims["nested"].(m)["k"] = "stolen" //nolint:forcetypeassert // the token was made above
		claims["sub"] = "usr_stolen"
		var raw m
		if err := s.DecodeClaims(&raw); err != nil {
			t.Error(err)
		}
		clear(raw)
	}
	first := authenticate(f.rs, token).Session
	vandalize(first)
	second := authenticate(f.rs, token).Session
	if second != first {
		t.Fatal("the second session did not come from the cache, so nothing was tested")
	}
	if !slices.Equal(second.Scopes(), []string{"a", "b"}) || second.Roles()[0] != "r" || second.Permissions()[0] != "p" ||
		second.Audience()[0] != "res_test" || second.Claims()["sub"] != "usr_1" {
		t.Errorf("the session changed: %v", second.Claims())
	}
	if nested, ok := second.Claims()["nested"].(m); !ok || nested["k"] != "v" {
		t.Errorf("nested claims changed: %v", second.Claims()["nested"])
	}
}

// TestAudienceIsACopy writes into the list of a session that came without a cache.
func TestAudienceIsACopy(t *testing.T) {
	t.Parallel()
	s := mcpauthtest.NewSession(nil)
	a := s.Audience()
	a[0] = "x"
	if slices.Contains(s.Audience(), "x") {
		t.Error("the caller's slice is the session's own")
	}
}

func TestSessionFromContext(t *testing.T) {
	t.Parallel()
	if s, err := mcpauth.SessionFromContext(context.Background()); s != nil || !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("got %v, %v", s, err)
	}
	s := mcpauthtest.NewSession(nil)
	ctx := mcpauth.NewContext(context.Background(), s)
	if got, err := mcpauth.SessionFromContext(ctx); got != s || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := mcpauth.SessionFromContext(mcpauth.NewContext(ctx, nil)); got != nil || !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("hidden: got %v, %v", got, err)
	}
}

// TestR69PrincipalSurvivesTheMigration has one user under both forms of the environment's issuer, who stays the same, and
// under another issuer, where the subject is another user.
func TestR69PrincipalSurvivesTheMigration(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Issuers = []string{"https://old.example.com"} })
	principal := func(issuer string) string {
		s := authenticate(f.rs, f.env.Token(m{"iss": issuer})).Session
		if s.Issuer() != issuer {
			t.Errorf("issuer %s", s.Issuer())
		}
		return s.Principal()
	}
	if a, b := principal(f.env.URL()), principal(f.env.Issuer()); a != b || a != f.env.URL()+"\nusr_1" {
		t.Errorf("%q and %q", a, b)
	}
	if c := principal("https://old.example.com"); c != "https://old.example.com\nusr_1" {
		t.Errorf("%q", c)
	}
}

// TestR71NothingHoldsTheToken looks for the token in the session and the decision, unexported fields included.
func TestR71NothingHoldsTheToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	token := f.env.Token(nil)
	d := authenticate(f.rs, token)
	all := fmt.Sprintf("%+v %+v", *d.Session, d)
	for segment := range strings.SplitSeq(token, ".") {
		if strings.Contains(all, segment) {
			t.Errorf("a segment of the token is in %s", all)
		}
	}
}

func TestR72SessionLogsNoClaims(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "session", mcpauthtest.NewSession(m{"email": "ada@example.com", "oid": "org_1"}))
	if got := b.String(); strings.Contains(got, "ada@") || !strings.Contains(got, "session.user_id=usr_1 session.organization_id=org_1") {
		t.Errorf("got %s", got)
	}
}
