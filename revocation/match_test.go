package mcpauthrevocation_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103Matching has every kind of entry, and sessions that it meets and does not meet.
func TestR103Matching(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	at := func(e mcpauthrevocation.Entry, d time.Duration) mcpauthrevocation.Entry {
		e.At = now.Add(d)
		return e
	}
	whole := m{"sub": "usr_1", "sid": "ses_1", "jti": "tkn_1", "oid": "org_1", "client_id": "m2m_1", "iat": now.Unix()}
	without := func(claim string) m {
		claims := maps.Clone(whole)
		claims[claim] = nil
		return claims
	}
	for name, c := range map[string]struct {
		entry  mcpauthrevocation.Entry
		claims m
		want   bool
	}{
		"the token": {mcpauthrevocation.Token("tkn_1"), whole, true},
		"the token, revoked before it was issued": {at(mcpauthrevocation.Token("tkn_1"), -time.Hour), whole, true},
		"another token":                        {mcpauthrevocation.Token("tkn_2"), whole, false},
		"a token without id":                   {mcpauthrevocation.Token("tkn_1"), without("jti"), false},
		"the session":                          {mcpauthrevocation.Session("ses_1"), whole, true},
		"the session, revoked before":          {at(mcpauthrevocation.Session("ses_1"), -time.Hour), whole, true},
		"another session":                      {mcpauthrevocation.Session("ses_10"), whole, false},
		"an id in another case":                {mcpauthrevocation.Session("SES_1"), whole, false},
		"the id of another kind":               {mcpauthrevocation.Session("usr_1"), whole, false},
		"the user":                             {mcpauthrevocation.User("usr_1"), whole, true},
		"the user, in the same second":         {at(mcpauthrevocation.User("usr_1"), 0), whole, true},
		"the user, at the end of the second":   {at(mcpauthrevocation.User("usr_1"), 999*time.Millisecond), whole, true},
		"the user, a nanosecond before":        {at(mcpauthrevocation.User("usr_1"), -1), whole, false},
		"the user, the second before":          {at(mcpauthrevocation.User("usr_1"), -time.Second), whole, false},
		"the user, without iat":                {at(mcpauthrevocation.User("usr_1"), -time.Hour), without("iat"), true},
		"another user":                         {mcpauthrevocation.User("usr_2"), whole, false},
		"the member":                           {mcpauthrevocation.Member("usr_1", "org_1"), whole, true},
		"the member, before":                   {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Second), whole, false},
		"the member, without iat":              {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Hour), without("iat"), true},
		"the member of another organization":   {mcpauthrevocation.Member("usr_1", "org_2"), whole, false},
		"another member":                       {mcpauthrevocation.Member("usr_2", "org_1"), whole, false},
		"the member, without organization":     {mcpauthrevocation.Member("usr_1", "org_1"), without("oid"), true},
		"the same, before":                     {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Second), without("oid"), false},
		"another member, without organization": {mcpauthrevocation.Member("usr_2", "org_1"), without("oid"), false},
		"the organization":                     {mcpauthrevocation.Organization("org_1"), whole, true},
		"the organization, before":             {at(mcpauthrevocation.Organization("org_1"), -time.Second), whole, false},
		"the organization, without iat":        {at(mcpauthrevocation.Organization("org_1"), -time.Hour), without("iat"), true},
		"another organization":                 {mcpauthrevocation.Organization("org_2"), whole, false},
		"an organization that is not named":    {mcpauthrevocation.Organization("org_1"), without("oid"), false},
		"the client":                           {mcpauthrevocation.Client("m2m_1"), whole, true},
		"the client, before":                   {at(mcpauthrevocation.Client("m2m_1"), -time.Second), whole, false},
		"another client":                       {mcpauthrevocation.Client("m2m_2"), whole, false},
		"a session without client":             {mcpauthrevocation.Client("m2m_1"), without("client_id"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, _ := newList(t, mcpauthrevocation.Config{})
			check := list.Watch(mcpauthtest.NewSession(c.claims))
			for range 2 {
				if entry := entryOf(t, check); entry != "" {
					t.Fatal("revoked before: ", entry)
				}
			}
			revoke(t, list, c.entry)
			for _, check := range []func() error{check, list.Watch(mcpauthtest.NewSession(c.claims))} {
				want := ""
				if c.want {
					want = c.entry.String()
				}
				if entry := entryOf(t, check); entry != want {
					t.Errorf("refused for %q, want %q", entry, want)
				}
			}
		})
	}
}

// TestR103LatestOfSeveralMembers has a user removed from several organizations: a token without an organization meets the
// latest.
func TestR103LatestOfSeveralMembers(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	list, _ := newList(t, mcpauthrevocation.Config{})
	check := list.Watch(mcpauthtest.NewSession(m{"iat": now.Unix()}))
	for i, org := range []string{"org_1", "org_2", "org_3"} {
		e := mcpauthrevocation.Member("usr_1", org)
		e.At = now.Add(time.Duration(i-2) * time.Second)
		revoke(t, list, e)
		if refused := entryOf(t, check) != ""; refused != (i == 2) {
			t.Errorf("%s: refused %t", org, refused)
		}
	}
}

// TestR103OutrightRefusals has sessions that are refused whatever was revoked.
func TestR103OutrightRefusals(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		cfg    mcpauthrevocation.Config
		claims m
		want   string // in the cure
	}{
		"a day":                   {claims: m{"exp": now.Unix() + 86400, "iat": now.Unix()}},
		"longer than a day":       {claims: m{"exp": now.Unix() + 86401, "iat": now.Unix()}, want: "MaxTokenLife"},
		"longer, set":             {cfg: mcpauthrevocation.Config{MaxTokenLife: 48 * time.Hour}, claims: m{"exp": now.Unix() + 86401, "iat": now.Unix()}},
		"old and long":            {claims: m{"exp": now.Unix() + 100, "iat": now.Unix() - 86400}, want: "MaxTokenLife"},
		"long without iat":        {claims: m{"exp": now.Unix() + 2*86400, "iat": nil}, want: "MaxTokenLife"},
		"short without iat":       {claims: m{"exp": now.Unix() + 86000, "iat": nil}},
		"no organization":         {claims: m{}},
		"no organization, but to": {cfg: mcpauthrevocation.Config{RefuseWithoutOrganization: true}, claims: m{}, want: "RefuseWithoutOrganization"},
		"an organization":         {cfg: mcpauthrevocation.Config{RefuseWithoutOrganization: true}, claims: m{"oid": "org_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, _ := newList(t, c.cfg)
			err := list.Watch(mcpauthtest.NewSession(c.claims))()
			revoked := (*mcpauth.RevokedError)(nil)
			if refused := errors.As(err, &revoked); refused != (c.want != "") || refused && !strings.Contains(revoked.Cure, c.want) {
				t.Errorf("%+v", err)
			}
		})
	}
}
