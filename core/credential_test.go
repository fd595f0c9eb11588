package mcpauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// knownKey is the hook of tests: it knows one key.
func knownKey(_ context.Context, _, value string) (*mcpauth.Claims, error) {
	if value != "key-1" {
		return nil, nil //nolint:nilnil // which Config.Credential documents
	}
	return &mcpauth.Claims{Subject: "usr_1", TokenID: "id-1", ExpiresAt: time.Now().Add(time.Hour), OrganizationID: "org_1", Scopes: []string{"a", "b c"}, Roles: []string{"admin"}}, nil
}

// present authenticates a request with header lines, name and value in turn.
func present(rs *mcpauth.ResourceServer, lines ...string) mcpauth.Decision {
	h := http.Header{}
	for i := 0; i < len(lines); i += 2 {
		h.Add(lines[i], lines[i+1])
	}
	return rs.Authenticate(context.Background(), mcpauth.Request{Method: http.MethodPost, Path: "/mcp", Header: h.Values})
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	const auth = "Authorization"
	plain := newFixture(t, nil)
	bearer := newFixture(t, func(cfg *mcpauth.Config) { cfg.Credential = knownKey })
	header := newFixture(t, func(cfg *mcpauth.Config) { cfg.Credential, cfg.CredentialHeader = knownKey, "X-Api-Key" })
	for name, c := range map[string]struct {
		f     *fixture
		lines []string
		want  mcpauth.Outcome
	}{
		"a key without the setting":         {plain, []string{auth, "Bearer key-1"}, mcpauth.OutcomeInvalidToken},
		"a header without the setting":      {plain, []string{"X-Api-Key", "key-1"}, mcpauth.OutcomeNoCredentials},
		"Bearer":                            {bearer, []string{auth, "Bearer key-1"}, mcpauth.OutcomeAllowed},
		"an unknown key":                    {bearer, []string{auth, "Bearer key-2"}, mcpauth.OutcomeInvalidToken},
		"two lines":                         {bearer, []string{auth, "Bearer key-1", auth, "Bearer key-1"}, mcpauth.OutcomeInvalidRequest},
		"another scheme":                    {bearer, []string{auth, "ApiKey key-1"}, mcpauth.OutcomeNoCredentials},
		"no value":                          {bearer, []string{auth, "Bearer "}, mcpauth.OutcomeInvalidRequest},
		"a token":                           {bearer, []string{auth, "Bearer " + bearer.env.Token(nil)}, mcpauth.OutcomeAllowed},
		"a forged token":                    {bearer, []string{auth, "Bearer " + plain.env.Token(nil)}, mcpauth.OutcomeInvalidToken},
		"the header":                        {header, []string{"X-Api-Key", " key-1 "}, mcpauth.OutcomeAllowed},
		"the header, in another case":       {header, []string{"x-api-key", "key-1"}, mcpauth.OutcomeAllowed},
		"an unknown key in the header":      {header, []string{"X-Api-Key", "key-2"}, mcpauth.OutcomeInvalidToken},
		"the header twice":                  {header, []string{"X-Api-Key", "key-1", "X-Api-Key", "key-1"}, mcpauth.OutcomeInvalidRequest},
		"the header, empty":                 {header, []string{"X-Api-Key", ""}, mcpauth.OutcomeInvalidRequest},
		"the header with a control":         {header, []string{"X-Api-Key", "key-1\x00"}, mcpauth.OutcomeInvalidRequest},
		"the header, not ASCII":             {header, []string{"X-Api-Key", "kéy-1"}, mcpauth.OutcomeInvalidRequest},
		"the header, too long":              {header, []string{"X-Api-Key", strings.Repeat("k", 16<<10+1)}, mcpauth.OutcomeInvalidRequest},
		"a token in the header":             {header, []string{"X-Api-Key", header.env.Token(nil)}, mcpauth.OutcomeInvalidToken},
		"the key as Bearer, not the header": {header, []string{auth, "Bearer key-1"}, mcpauth.OutcomeInvalidToken},
		"a token as Bearer":                 {header, []string{auth, "Bearer " + header.env.Token(nil)}, mcpauth.OutcomeAllowed},
		"both":                              {header, []string{auth, "Bearer " + header.env.Token(nil), "X-Api-Key", "key-1"}, mcpauth.OutcomeInvalidRequest},
		"both, the token malformed":         {header, []string{auth, "Bearer", "X-Api-Key", "key-1"}, mcpauth.OutcomeInvalidRequest},
		"a proxy's own scheme and the key":  {header, []string{auth, "Basic eDp5", "X-Api-Key", "key-1"}, mcpauth.OutcomeAllowed},
		"neither":                           {header, nil, mcpauth.OutcomeNoCredentials},
	} {
		for range 2 { // the second time from the cache, if it is there
			if d := present(c.f.rs, c.lines...); d.Outcome != c.want || (d.Session != nil) != (c.want == mcpauth.OutcomeAllowed) {
				t.Errorf("%s: %s, want %s", name, d.Outcome, c.want)
			}
		}
	}
}

func TestCredentialSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Credential = knownKey
		cfg.ImpliedScopes = map[string][]string{"a": {"implied"}}
	})
	s := present(f.rs, "Authorization", "Bearer key-1").Session
	if s == nil {
		t.Fatal("no session")
	}
	if s.UserID() != "usr_1" || s.OrganizationID() != "org_1" || s.TokenID() != "id-1" || s.Issuer() != "" || s.IsMachine() ||
		!slices.Equal(s.Scopes(), []string{"a", "b", "c"}) || !slices.Equal(s.Roles(), []string{"admin"}) || !s.HasScopes("c", "implied") {
		t.Errorf("session %v", s)
	}
	claims := s.Claims()
	if claims["sub"] != "usr_1" || claims["oid"] != "org_1" || claims["scope"] != "a b c" || claims["exp"] != float64(s.ExpiresAt().Unix()) || claims["iss"] != nil || claims["iat"] != nil {
		t.Errorf("claims %v", claims)
	}
	token := authenticate(f.rs, f.env.Token(m{"sub": "usr_1"})).Session
	if token.Principal() == s.Principal() {
		t.Error("the user of a token and that of a key are one")
	}
	narrow := f.rs.WithRequiredScopes("missing")
	if d := present(narrow, "Authorization", "Bearer key-1"); d.Outcome != mcpauth.OutcomeInsufficientScope {
		t.Errorf("a scope that the key lacks: %s", d.Outcome)
	}
}

// TestR43CredentialOfAMachine has programs with a key of their own, whose ids have any form, and ids of the application's own system.
func TestR43CredentialOfAMachine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims mcpauth.Claims
		want   bool
	}{
		"a program":               {mcpauth.Claims{Subject: "ci", ClientID: "ci"}, true},
		"a machine of Scalekit":   {mcpauth.Claims{Subject: "m2m_1", ClientID: "m2m_1"}, true},
		"a user":                  {mcpauth.Claims{Subject: "usr_1"}, false},
		"a user of a program":     {mcpauth.Claims{Subject: "usr_1", ClientID: "ci"}, false},
		"an id without ClientID":  {mcpauth.Claims{Subject: "m2m_1"}, false},
		"a user of a DCR client":  {mcpauth.Claims{Subject: "usr_1", ClientID: "m2m_1"}, false},
		"an organization's key":   {mcpauth.Claims{Subject: "org_1", OrganizationID: "org_1"}, false},
		"a URL as its own client": {mcpauth.Claims{Subject: "https://ci.example", ClientID: "https://ci.example"}, true},
	} {
		f := newFixture(t, func(cfg *mcpauth.Config) {
			cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
				claims := c.claims
				claims.ExpiresAt, claims.ExternalOrganizationID, claims.ExternalUserID = time.Now().Add(time.Hour), "tenant-1", "user-1"
				return &claims, nil
			}
		})
		s := present(f.rs, "Authorization", "Bearer key-1").Session
		if s == nil || s.IsMachine() != c.want {
			t.Errorf("%s: %v, want a machine: %v", name, s, c.want)
			continue
		}
		if claims := s.Claims(); s.ExternalOrganizationID() != "tenant-1" || s.ExternalUserID() != "user-1" || claims["xoid"] != "tenant-1" || claims["xuid"] != "user-1" {
			t.Errorf("%s: ids of the application's own: %v", name, claims)
		}
	}
}

// TestCredentialIsNotAskedForTokens counts the calls of the hook for what looks like a JWT.
func TestCredentialIsNotAskedForTokens(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	hook := func(context.Context, string, string) (*mcpauth.Claims, error) {
		asked.Add(1)
		return &mcpauth.Claims{Subject: "x", ExpiresAt: time.Now().Add(time.Hour)}, nil
	}
	for _, name := range []string{"", "X-Api-Key"} {
		f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Credential, cfg.CredentialHeader = hook, name })
		token := f.env.Token(nil)
		for _, value := range []string{
			token, token + "x", "a.b.c", "..", "eyJhbGciOiJub25lIn0", token + "." + token, "eyJ",
			"ewogImFsZyI6Im5vbmUifQ.e30.", "a.b.c.d.e", "ZX.k.v.c.t", `{"payload":"e30","signatures":[]}`, ` {"payload":"e30"}`, "Bearer " + token,
		} {
			present(f.rs, "Authorization", "Bearer "+value)
			if name != "" {
				if d := present(f.rs, name, value); d.Outcome == mcpauth.OutcomeAllowed {
					t.Errorf("%.20s in %s is allowed", value, name)
				}
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the hook was asked %d times", n)
	}
}

// TestCredentialThatNeverEnds has the times with which programs say "never". Their milliseconds, or those of the end of a call,
// overflow.
func TestCredentialThatNeverEnds(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		time.Unix(math.MaxInt64, 0), time.UnixMilli(math.MaxInt64), time.UnixMilli(math.MaxInt64 - 60_000), time.Unix(1<<55, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		f := newFixture(t, func(cfg *mcpauth.Config) {
			cfg.CredentialHeader = "X-Api-Key"
			cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
				return &mcpauth.Claims{Subject: "usr_1", ExpiresAt: at}, nil
			}
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", "key")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(text) != "usr_1" {
			t.Errorf("%v: %d %q, %v", at, resp.StatusCode, text, err)
		}
		s := present(f.rs, "X-Api-Key", "key").Session
		if _, err := json.Marshal(s); err != nil || s.ExpiresAt().Year() != 9999 || s.Claims()["exp"] != 253402300799.0 {
			t.Errorf("%v: the session ends at %v, exp %v, %v", at, s.ExpiresAt(), s.Claims()["exp"], err)
		}
	}
}

// TestCredentialFaults has hooks that fail in every way: all refuse, and nothing is cached.
func TestCredentialFaults(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		hook func(context.Context) (*mcpauth.Claims, error)
		want mcpauth.Outcome
	}{
		"an error": {func(context.Context) (*mcpauth.Claims, error) { return nil, errors.New("down") }, mcpauth.OutcomeUnavailable},
		"claims and an error": {func(context.Context) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "x", ExpiresAt: later}, errors.New("down")
		}, mcpauth.OutcomeUnavailable},
		"a panic":    {func(context.Context) (*mcpauth.Claims, error) { panic("oops") }, mcpauth.OutcomeUnavailable},
		"no subject": {func(context.Context) (*mcpauth.Claims, error) { return &mcpauth.Claims{ExpiresAt: later}, nil }, mcpauth.OutcomeUnavailable},
		"no expiry":  {func(context.Context) (*mcpauth.Claims, error) { return &mcpauth.Claims{Subject: "x"}, nil }, mcpauth.OutcomeUnavailable},
		"issued in the future": {func(context.Context) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "x", IssuedAt: time.Now().Add(time.Minute), ExpiresAt: later}, nil
		}, mcpauth.OutcomeUnavailable},
		"issued after all times": {func(context.Context) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "x", IssuedAt: time.Unix(math.MaxInt64, 0), ExpiresAt: later}, nil
		}, mcpauth.OutcomeUnavailable},
		"expired before all times": {func(context.Context) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "x", ExpiresAt: time.Unix(-(1<<54)-1, 0)}, nil // whose milliseconds overflow
		}, mcpauth.OutcomeExpired},
		"expired": {func(context.Context) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "x", ExpiresAt: time.Now().Add(-time.Hour)}, nil
		}, mcpauth.OutcomeExpired},
	} {
		asked := 0
		f := newFixture(t, func(cfg *mcpauth.Config) {
			cfg.Credential = func(ctx context.Context, _, _ string) (*mcpauth.Claims, error) { asked++; return c.hook(ctx) }
		})
		for range 2 {
			if d := present(f.rs, "Authorization", "Bearer key"); d.Outcome != c.want {
				t.Errorf("%s: %s, want %s", name, d.Outcome, c.want)
			}
		}
		if asked != 2 {
			t.Errorf("%s: the hook was asked %d times, want 2", name, asked)
		}
	}
}

// TestCredentialHangs has a hook that ignores its context.
func TestCredentialHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		cfg := quietConfig()
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			<-end
			return &mcpauth.Claims{Subject: "x", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if d := present(rs, "Authorization", "Bearer key"); d.Outcome != mcpauth.OutcomeUnavailable || time.Since(start) != 5*time.Second {
			t.Errorf("%s after %v", d.Outcome, time.Since(start))
		}
	})
}

// TestCredentialIsCachedAndRevoked asks the hook once per MaxAge, and the revocation hook each time.
func TestCredentialIsCachedAndRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, revoked := 0, false
		cfg := quietConfig()
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			asked++
			return &mcpauth.Claims{Subject: "usr_1", TokenID: "id", ExpiresAt: time.Now().Add(90 * time.Second)}, nil
		}
		cfg.IsRevoked = func(_ context.Context, s *mcpauth.Session) (bool, error) { return revoked && s.TokenID() == "id", nil }
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		outcome := func() mcpauth.Outcome { return present(rs, "Authorization", "Bearer key").Outcome }
		for range 3 {
			if got := outcome(); got != mcpauth.OutcomeAllowed || asked != 1 {
				t.Errorf("%s, asked %d times", got, asked)
			}
		}
		revoked = true
		if got := outcome(); got != mcpauth.OutcomeRevoked {
			t.Errorf("revoked: %s", got)
		}
		revoked = false
		time.Sleep(61 * time.Second)
		if got := outcome(); got != mcpauth.OutcomeAllowed || asked != 2 {
			t.Errorf("past MaxAge: %s, asked %d times", got, asked)
		}
		rs.PurgeCache()
		if got := outcome(); got != mcpauth.OutcomeAllowed || asked != 3 {
			t.Errorf("after PurgeCache: %s, asked %d times", got, asked)
		}
	})
}

// TestCredentialExpires has a cached credential whose end comes before that of its entry.
func TestCredentialExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := quietConfig()
		end := time.Now().Add(10 * time.Second)
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "usr_1", ExpiresAt: end}, nil
		}
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			want  mcpauth.Outcome
		}{{0, mcpauth.OutcomeAllowed}, {39 * time.Second, mcpauth.OutcomeAllowed}, {2 * time.Second, mcpauth.OutcomeExpired}} { // 30 s of skew
			time.Sleep(c.after)
			if d := present(rs, "Authorization", "Bearer key"); d.Outcome != c.want {
				t.Errorf("after %v more: %s, want %s", c.after, d.Outcome, c.want)
			}
		}
	})
}

// TestR67CredentialHeaderInPreflight lets pages on allowed origins send the header.
func TestR67CredentialHeaderInPreflight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Credential, cfg.CredentialHeader, cfg.AllowedOrigins = knownKey, "X-Api-Key", []string{"https://app.example.com"}
	})
	h := http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}}
	d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: http.MethodOptions, Path: "/mcp", Header: h.Values})
	if d.Outcome != mcpauth.OutcomePreflight || !strings.HasSuffix(d.Reply.Header.Get("Access-Control-Allow-Headers"), ", X-Api-Key") {
		t.Errorf("%s %v", d.Outcome, d.Reply.Header)
	}
}

// TestR89CredentialOfAnotherServer lets a session of one resource server through to another, which knows no such key.
func TestR89CredentialOfAnotherServer(t *testing.T) {
	t.Parallel()
	a := newFixture(t, func(cfg *mcpauth.Config) { cfg.Credential = knownKey })
	b := newFixture(t, nil)
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer key-1")
	w := httptest.NewRecorder()
	protect(a.rs, protect(b.rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the session of another resource server lets a request in")
	}))).ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}
