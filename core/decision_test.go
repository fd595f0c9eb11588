package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestNothingIsKeptOfAHeader overwrites the header's bytes after each call, as fasthttp does with its buffers.
func TestNothingIsKeptOfAHeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.BaseURL = "http://localhost:3001" })
	call := func(lines map[string][]string) (mcpauth.Decision, func()) {
		var buffers []aliased
		d := f.rs.Authenticate(context.Background(), mcpauth.Request{
			Method: http.MethodPost, Path: "/mcp",
			Header: func(name string) []string {
				var out []string
				for _, line := range lines[name] {
					a := alias(line)
					buffers = append(buffers, a)
					out = append(out, a.s)
				}
				return out
			},
		})
		return d, func() {
			for _, b := range buffers {
				for i := range b.b {
					b.b[i] = 'X'
				}
			}
		}
	}
	header := map[string][]string{
		"Authorization": {"Bearer " + f.env.Token(m{"scope": "a", "roles": []string{"r"}})},
		"Origin":        {"http://localhost:6274"},
	}
	for range 2 { // verified, then from the cache
		d, overwrite := call(header)
		overwrite()
		if d.Session == nil || d.Session.UserID() != "usr_1" || d.Session.Scopes()[0] != "a" || d.Session.Roles()[0] != "r" || d.Session.Claims()["sub"] != "usr_1" {
			t.Fatalf("the session changed with the buffers: %+v", d.Session)
		}
		header := http.Header{}
		d.SetHeader(header)
		if got := header.Get("Access-Control-Allow-Origin"); got != "http://localhost:6274" {
			t.Errorf("the allowed origin changed with the buffers: %q", got)
		}
	}
	d, overwrite := func() (mcpauth.Decision, func()) {
		header["Access-Control-Request-Method"] = []string{"POST"}
		var overwrite func()
		d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: func(name string) []string {
			var out []string
			if name == "Access-Control-Request-Headers" {
				a := alias("mcp-param-x")
				overwrite = func() { copy(a.b, "XXXXXXXXXXX") }
				return []string{a.s}
			}
			for _, line := range header[name] {
				out = append(out, alias(line).s)
			}
			return out
		}})
		return d, overwrite
	}()
	overwrite()
	if got := d.Reply.Header.Get("Access-Control-Allow-Headers"); !strings.HasSuffix(got, ", mcp-param-x") {
		t.Errorf("the allowed headers changed with the buffers: %q", got)
	}
}

func TestWithScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"a"} })
	narrow := f.rs.WithRequiredScopes("b", "a")
	onlyA, both := f.env.Token(m{"scope": "a"}), f.env.Token(m{"scope": "a b"})
	for i := range 2 { // verified, then from the cache they share
		for _, c := range []struct {
			rs    *mcpauth.ResourceServer
			token string
			want  mcpauth.Outcome
		}{{f.rs, onlyA, mcpauth.OutcomeAllowed}, {narrow, onlyA, mcpauth.OutcomeInsufficientScope}, {f.rs, both, mcpauth.OutcomeAllowed}, {narrow, both, mcpauth.OutcomeAllowed}} {
			if d := authenticate(c.rs, c.token); d.Outcome != c.want {
				t.Errorf("round %d: %s, want %s", i, d.Outcome, c.want)
			}
		}
	}
	if got := authenticate(narrow, onlyA).Reply.Header.Get("WWW-Authenticate"); !strings.Contains(got, `scope="a b"`) {
		t.Errorf("the challenge does not name all scopes: %s", got)
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d key fetches, want 1: the keys are not shared", n)
	}
}

func TestIsRevoked(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	var failing atomic.Bool
	var asked atomic.Int64
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.IsRevoked = func(_ context.Context, s *mcpauth.Session) (bool, error) {
			asked.Add(1)
			if failing.Load() {
				return false, errors.New("redis://10.0.0.1 refused")
			}
			return revoked.Load() && s.UserID() == "usr_1", nil
		}
	})
	token := f.env.Token(nil)
	for _, step := range []struct {
		revoked, failing bool
		want             int
	}{{false, false, 200}, {false, false, 200}, {true, false, 401}, {false, true, 503}, {false, false, 200}} {
		revoked.Store(step.revoked)
		failing.Store(step.failing)
		got := f.send(t, token)
		if got.status != step.want {
			t.Errorf("%+v: status %d", step, got.status)
		}
		if strings.Contains(got.text, "redis") {
			t.Errorf("R56 internal text in %s", got.text)
		}
	}
	if asked.Load() != 5 {
		t.Errorf("the hook was asked %d times in 5 requests", asked.Load())
	}
	if f.send(t, "x"); asked.Load() != 5 {
		t.Error("the hook was asked about a token that is not valid")
	}
}

func TestCacheHitsCostNoVerification(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	token := f.env.Token(m{"exp": c.now().Add(30 * time.Second).Unix(), "nbf": c.now().Unix()})
	first := authenticate(f.rs, token).Session
	if again := authenticate(f.rs, token).Session; again != first {
		t.Fatal("not cached")
	}
	f.rs.PurgeCache()
	if again := authenticate(f.rs, token).Session; again == first || again == nil {
		t.Error("PurgeCache forgot nothing")
	}
	c.advance(59 * time.Second)
	if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeAllowed {
		t.Errorf("within the leeway: %s", d.Outcome)
	}
	c.advance(2 * time.Second)
	if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeExpired {
		t.Errorf("a cached token outlived its exp: %s", d.Outcome)
	}
	c.advance(-5 * time.Minute) // a clock that is set back, before nbf
	if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeInvalidToken {
		t.Errorf("a cached token before its nbf: %s", d.Outcome)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.MaxEntries = 4 })
	tokens := make([]string, 12)
	sessions := make([]*mcpauth.Session, len(tokens))
	for i := range tokens {
		tokens[i] = f.env.Token(m{"sub": fmt.Sprintf("usr_%d", i)})
		sessions[i] = authenticate(f.rs, tokens[i]).Session
	}
	cached := 0
	for i, token := range slices.Backward(tokens) { // the newest first: each miss evicts another
		if s := authenticate(f.rs, token).Session; s == sessions[i] {
			cached++
		} else if s.UserID() != fmt.Sprintf("usr_%d", i) {
			t.Errorf("token %d got the session of %s", i, s.UserID())
		}
	}
	if cached != 4 {
		t.Errorf("%d of the sessions were kept, want 4", cached)
	}
	// Tokens that fail push nobody out.
	kept := authenticate(f.rs, tokens[0]).Session
	stranger := mcpauthtest.NewKey(f.env.Keys().Current().ID())
	for i := range 20 {
		authenticate(f.rs, f.env.Mint(mcpauthtest.Token{Key: stranger, Claims: m{"sub": fmt.Sprint(i)}}))
	}
	if authenticate(f.rs, tokens[0]).Session != kept {
		t.Error("forged tokens evicted an honest session")
	}
}

func TestDenialsAreLoggedWithCauseAndCure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ResourceID = "" })
	evil := mcpauthtest.NewKey(f.env.Keys().Current().ID())
	for _, c := range []struct {
		name, token string
		want, not   string
	}{
		{
			"audience", f.env.Token(m{"iss": f.env.URL(), "aud": "https://other.example"}),
			`level=INFO msg="request refused" outcome=invalid_token cause="the token is meant for another resource" token_iss=` + f.env.URL() +
				` token_aud=[https://other.example] resource=https://mcp.example.com/mcp accepted_aud="[https://mcp.example.com/mcp https://mcp.example.com]" cure="register this URL as the Server URL in the Scalekit dashboard, or set SCALEKIT_RESOURCE_ID"`, "",
		},
		{"issuer", f.env.Token(nil), `cause="the token has another issuer" token_iss=` + f.env.Issuer(), ""},
		{"R72 forged", f.env.Mint(mcpauthtest.Token{Key: evil, Claims: m{"aud": "attackers-text", "iss": "attackers-text"}}), `cause="the token's signature is wrong"`, "attackers-text"},
		{"expired", f.env.Token(m{"iss": f.env.URL(), "aud": baseURL, "exp": 1_700_000_000, "iat": 1, "sub": "usr_secret"}), `outcome=expired cause="the token is expired"`, "usr_secret"},
		{"none", "", `level=DEBUG msg="request refused" outcome=no_credentials`, ""},
	} {
		before := len(f.log.String())
		f.send(t, c.token)
		got := f.log.String()[before:]
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		if c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: the log shows %s", c.name, c.not)
		}
		if c.token != "" && strings.Contains(got, c.token[:40]) {
			t.Errorf("%s: the log shows the token", c.name)
		}
	}
}
