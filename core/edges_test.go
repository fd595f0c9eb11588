package mcpauth_test

// The cases at the edges: each kills a mutant that the others let live.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func TestMoreTokens(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = func() time.Time { return now }; cfg.ClockSkew = 10 * time.Second })
	env, key := f.env, f.env.Keys().Current()
	null := json.RawMessage("null")
	good := env.Token(nil)
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	respelled := good[:len(good)-1] + string(alphabet[strings.IndexByte(alphabet, good[len(good)-1])+1])
	many := m{}
	for i := range 300 {
		many[fmt.Sprint("x", i)] = 1
	}
	for _, c := range []struct {
		name, token string
		want        mcpauth.Outcome
	}{
		{"R34 PS256 by name, signed with RS256", env.Mint(mcpauthtest.Token{Header: m{"alg": "PS256"}}), mcpauth.OutcomeInvalidToken},
		{"R34 ES256 by name", env.Mint(mcpauthtest.Token{Header: m{"alg": "ES256"}}), mcpauth.OutcomeInvalidToken},
		{"R44 another spelling of the same signature", respelled, mcpauth.OutcomeInvalidToken},
		{"R44 something behind the header", env.Mint(mcpauthtest.Token{RawHeader: []byte(fmt.Sprintf(`{"alg":"RS256","kid":%q}{}`, key.ID()))}), mcpauth.OutcomeInvalidToken},
		{"null claims are absent", env.Token(m{"scope": null, "oid": null, "nbf": null, "iat": null, "cnf": null, "roles": null}), mcpauth.OutcomeAllowed},
		{"R44 a number that encoding/json refuses", env.Token(m{"x": json.RawMessage("1e999")}), mcpauth.OutcomeInvalidToken},
		{"R44 too many members", env.Token(many), mcpauth.OutcomeInvalidToken},
		{"R40 the last moment", env.Token(m{"exp": float64(now.Add(-10*time.Second).UnixMilli()+1) / 1000}), mcpauth.OutcomeAllowed},
		{"R40 the moment after", env.Token(m{"exp": now.Add(-10 * time.Second).Unix()}), mcpauth.OutcomeExpired},
		{"R41 at the limit", env.Token(m{"nbf": now.Add(10 * time.Second).Unix()}), mcpauth.OutcomeAllowed},
		{"R42 at the limit", env.Token(m{"iat": now.Add(10 * time.Second).Unix()}), mcpauth.OutcomeAllowed},
		{"expired, and never meant for us", env.Token(m{"exp": 1, "aud": "res_other"}), mcpauth.OutcomeInvalidToken},
	} {
		if d := authenticate(f.rs, c.token); d.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.name, d.Outcome, c.want)
		}
	}
}

func TestR49LongKidCausesNoFetch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.send(t, f.env.Token(nil))
	before := f.env.Requests(mcpauthtest.KeysPath)
	f.send(t, f.env.Mint(mcpauthtest.Token{Header: m{"kid": strings.Repeat("k", 257)}}))
	if n := f.env.Requests(mcpauthtest.KeysPath); n != before {
		t.Errorf("%d fetches", n-before)
	}
}

func TestR67PreflightNeedsAnOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	h := http.Header{"Access-Control-Request-Method": {"POST"}}
	if d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: h.Values}); d.Outcome != mcpauth.OutcomeNoCredentials {
		t.Errorf("%s", d.Outcome)
	}
}

func TestIsRevokedBesideRequiredScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.RequiredScopes = []string{"a"}
		cfg.IsRevoked = func(context.Context, *mcpauth.Session) (bool, error) { return true, nil }
	})
	for range 2 {
		if d := authenticate(f.rs, f.env.Token(m{"scope": "a"})); d.Outcome != mcpauth.OutcomeRevoked {
			t.Errorf("%s", d.Outcome)
		}
	}
	if d := authenticate(f.rs.WithRequiredScopes("b"), f.env.Token(m{"scope": "a b"})); d.Outcome != mcpauth.OutcomeRevoked {
		t.Errorf("%s", d.Outcome)
	}
}

func TestCacheLife(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	token := f.env.Token(m{"exp": c.now().Add(time.Hour).Unix()})
	first := authenticate(f.rs, token).Session
	c.advance(59 * time.Second)
	if authenticate(f.rs, token).Session != first {
		t.Error("forgotten before MaxAge")
	}
	c.advance(2 * time.Second)
	if s := authenticate(f.rs, token).Session; s == first || s == nil {
		t.Error("believed for longer than MaxAge, because it was used")
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.MaxEntries = 4 })
	used := f.env.Token(m{"sub": "usr_used"})
	first := authenticate(f.rs, used).Session
	for i := range 20 {
		authenticate(f.rs, f.env.Token(m{"sub": fmt.Sprint("usr_", i)}))
		if authenticate(f.rs, used).Session != first {
			t.Fatalf("evicted by newcomer %d, though used between any two", i)
		}
	}
}

func TestReadyFetchesOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for range 3 {
		if err := f.rs.Ready(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"a"}; cfg.Logger = nil })
	h := http.Header{"Authorization": {"Bearer " + f.env.Token(m{"scope": "a"})}, "Origin": {baseURL}}
	req := mcpauth.Request{Method: "POST", Path: "/mcp", Header: h.Values}
	f.rs.Authenticate(context.Background(), req)
	if n := testing.AllocsPerRun(100, func() { f.rs.Authenticate(context.Background(), req) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMetadataRoutesAreACopy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	clear(f.rs.MetadataRoutes())
	if f.rs.MetadataRoutes()[0].Path == "" {
		t.Error("the caller's slice is the server's own")
	}
}

func TestAudienceIsACopy(t *testing.T) {
	t.Parallel()
	s := mcpauthtest.NewSession(nil)
	a := s.Audience()
	a[0] = "x"
	if slices.Contains(s.Audience(), "x") {
		t.Error("shared")
	}
}

func TestR44More(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for name, more := range map[string]string{
		"objects nested too deeply":  `,"x":` + strings.Repeat(`{"x":`, 16) + `1` + strings.Repeat(`}`, 16),
		"not UTF-8 behind an escape": ",\"x\":\"\\n\xff\"",
	} {
		if d := authenticate(f.rs, f.env.Mint(mcpauthtest.Token{RawPayload: []byte(goodPayload(f.env, more))})); d.Outcome != mcpauth.OutcomeInvalidToken {
			t.Errorf("%s: %s", name, d.Outcome)
		}
	}
}

func TestR67RequestedHeadersAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	h := http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}}
	for range 100 {
		h.Add("Access-Control-Request-Headers", strings.Repeat("mcp-param-x,", 400))
		h.Add("Access-Control-Request-Headers", strings.Repeat("mcp-param-x,", 300))
	}
	d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: h.Values})
	if n := len(d.Reply.Header.Get("Access-Control-Allow-Headers")); n > 8<<10 {
		t.Errorf("%d bytes are sent back", n)
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	var kept context.Context
	r, _ := http.NewRequestWithContext(mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(nil)), http.MethodGet, "/mcp", nil)
	rs.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		_ = kept.Done()
	})
	if kept.Err() == nil {
		t.Error("a goroutine that outlives its handler waits for ever")
	}
}

func TestNewRefusesMore(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*mcpauth.Config){
		`EnvironmentURL: "[redacted]"`:                       func(c *mcpauth.Config) { c.EnvironmentURL = "https://user:hunter2@acme.scalekit.com:x" },
		`Issuers: "http://old.example.com" is not encrypted`: func(c *mcpauth.Config) { c.Issuers = []string{"http://old.example.com"} },
	} {
		cfg := goodConfig()
		change(&cfg)
		if errs := configErrors(t, cfg); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("%v", errs)
		}
	}
}

// TestR55EachSourceHasItsOwnTimeout has one source that hangs; the next one answers in time.
// TestNothingIsKeptOfPooledMemory verifies other tokens in the memory that the first one was verified in.
func TestNothingIsKeptOfPooledMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true })
	first := authenticate(f.rs, f.env.Token(m{"sub": "usr_ada", "scope": "a", "oid": "org_a"})).Session
	for range 10 {
		authenticate(f.rs, f.env.Token(m{"sub": "usr_bob", "scope": "b", "oid": "org_b"}))
	}
	if first.UserID() != "usr_ada" || !first.HasScopes("a") || first.OrganizationID() != "org_a" || first.Claims()["sub"] != "usr_ada" {
		t.Errorf("ada's session became %s, %v", first.UserID(), first.Claims())
	}
}

// TestR35ShapeComesBeforeTheKeys has a malformed token under an unknown kid: it must not cause a fetch, nor be called
// anything but invalid while the environment is down.
func TestR35ShapeComesBeforeTheKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := strings.Split(f.env.Mint(mcpauthtest.Token{Header: m{"kid": "nobody"}}), ".")
	for _, token := range []string{s[0] + "." + s[1] + ".+/", s[0] + "." + s[1] + "=." + s[2], s[0] + ".+/." + s[2], s[0] + "." + s[1] + "." + strings.Repeat("A", 2000)} {
		if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeInvalidToken && d.Outcome != mcpauth.OutcomeInvalidRequest {
			t.Errorf("%s", d.Outcome)
		}
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 0 {
		t.Errorf("%d fetches for tokens without a shape", n)
	}
}

// TestR69PrincipalSurvivesTheMigration has one user under both forms of the environment's issuer, and another issuer's.
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

// TestR71NothingHoldsTheToken prints all there is of a session and a decision, down to unexported fields.
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
