package mcpauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestCachedTokensEndByTheClock has a token that is cached: its exp and nbf are looked at on each use.
func TestCachedTokensEndByTheClock(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	token := f.env.Token(m{"exp": c.now().Add(30 * time.Second).Unix(), "nbf": c.now().Unix()})
	first := authenticate(f.rs, token).Session
	if again := authenticate(f.rs, token).Session; again != first {
		t.Fatal("not cached")
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

// TestPurgeCache purges the cache: the next use of a token makes a new session, from the keys that are there.
func TestPurgeCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	token := f.env.Token(nil)
	first := authenticate(f.rs, token).Session
	f.rs.PurgeCache()
	if again := authenticate(f.rs, token).Session; again == first || again == nil {
		t.Error("PurgeCache forgot nothing")
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("keys were fetched %d times, want 1", n)
	}
}

// TestPurgeCacheMeanwhile purges the cache while a token and another credential are being verified: what was found then is not
// kept, because the verification began with what was known before.
func TestPurgeCacheMeanwhile(t *testing.T) {
	t.Parallel()
	var purging atomic.Pointer[mcpauth.ResourceServer] // nil for none
	purge := func() {
		if rs := purging.Load(); rs != nil {
			rs.PurgeCache()
		}
	}
	f := newFixture(t, func(cfg *mcpauth.Config) {
		environment := http.DefaultTransport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			purge()
			return environment.RoundTrip(req)
		})}
		cfg.CredentialHeader = "X-Api-Key"
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			purge()
			return &mcpauth.Claims{Subject: "usr_1", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}
	})
	token := "Bearer " + f.env.Token(nil)
	verify := func(name, value string) {
		t.Helper()
		if d := present(f.rs, name, value); d.Outcome != mcpauth.OutcomeAllowed {
			t.Fatalf("%s: %s", name, d.Outcome)
		}
	}
	purging.Store(f.rs)
	verify("Authorization", token) // fetches the keys
	if n := mcpauth.CacheLen(f.rs); n != 0 {
		t.Error("a token was kept that was verified during a purge")
	}
	verify("X-Api-Key", "key")
	if n := mcpauth.CacheLen(f.rs); n != 0 {
		t.Error("a credential was kept that was verified during a purge")
	}
	purging.Store(nil)
	verify("Authorization", token)
	verify("X-Api-Key", "key")
	if n := mcpauth.CacheLen(f.rs); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// TestCacheMaxAge has a token that is used all the time: its signature is checked again after MaxAge all the same.
func TestCacheMaxAge(t *testing.T) {
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
		t.Error("trusted for longer than MaxAge, because it was used")
	}
}

// TestCacheIsBounded has more tokens than fit. Each is accepted with its own session, and as many as fit are remembered.
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
	// Tokens that fail evict no session.
	kept := authenticate(f.rs, tokens[0]).Session
	stranger := mcpauthtest.NewKey(f.env.Keys().Current().ID())
	for i := range 20 {
		authenticate(f.rs, f.env.Mint(mcpauthtest.Token{Key: stranger, Claims: m{"sub": fmt.Sprint(i)}}))
	}
	if authenticate(f.rs, tokens[0]).Session != kept {
		t.Error("forged tokens evicted an honest session")
	}
}

// TestCacheKeepsWhatIsUsed has more tokens than fit, and one that is used between any two of them: that one stays.
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

// TestCacheTellsTokensApart has tokens, good and bad, that the cache's hash takes for one that is cached.
func TestCacheTellsTokensApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	first, second := f.env.Token(m{"sub": "usr_1"}), f.env.Token(m{"sub": "usr_2"})
	session := authenticate(f.rs, first).Session
	payload := strings.Index(first, ".") + 1
	signature := strings.LastIndex(first, ".") + 1
	for _, bad := range []string{
		second[:strings.LastIndex(second, ".")+1] + first[signature:], // other claims under the signature
		first[:signature] + second[strings.LastIndex(second, ".")+1:], // another signature under the claims
		first[:payload+4] + "A" + first[payload+5:],
		first[:signature+4] + "-" + first[signature+5:],
		first[:len(first)-1], first + "A", first + "=",
	} {
		mcpauth.SharePlace(f.rs, first, bad)
		if d := authenticate(f.rs, bad); d.Session != nil {
			t.Errorf("%s was allowed as %s", bad, d.Session.UserID())
		}
	}
	mcpauth.SharePlace(f.rs, first, second)
	other := authenticate(f.rs, second).Session
	if other == nil || other.UserID() != "usr_2" {
		t.Fatalf("a good token got the session %v", other)
	}
	if authenticate(f.rs, second).Session != other {
		t.Error("a token is not cached where another one was")
	}
	if again := authenticate(f.rs, first).Session; again == nil || again.UserID() != session.UserID() {
		t.Errorf("the first token got the session %v", again)
	}
}

// TestNothingNegativeIsCached has a token that is refused until its nbf, and accepted from then on: a refusal is not
// remembered.
func TestNothingNegativeIsCached(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	early := f.env.Token(m{"nbf": c.now().Add(time.Minute).Unix(), "exp": c.now().Add(time.Hour).Unix()})
	for range 3 {
		if d := authenticate(f.rs, early); d.Outcome != mcpauth.OutcomeInvalidToken {
			t.Fatalf("outcome %s before nbf", d.Outcome)
		}
	}
	c.advance(31 * time.Second) // and the skew is 30
	if d := authenticate(f.rs, early); d.Outcome != mcpauth.OutcomeAllowed {
		t.Errorf("outcome %s at nbf", d.Outcome)
	}
}

// TestFloodsLeaveTheCacheAlone sends what an attacker without a token can send, and what a client sends that does not
// notice that its token has ended. No cached session is evicted by it, and nothing of it is kept.
func TestFloodsLeaveTheCacheAlone(t *testing.T) {
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Cache.MaxEntries = 4
		cfg.Logger = slog.New(slog.DiscardHandler) // the fixture's keeps all lines
	})
	honest := make([]string, 4)
	sessions := make([]*mcpauth.Session, len(honest))
	for i := range honest {
		honest[i] = f.env.Token(m{"jti": string(rune('a' + i))})
		sessions[i] = authenticate(f.rs, honest[i]).Session
	}
	expired := f.env.Token(m{"exp": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()})
	foreign := f.env.Token(m{"aud": "res_other"})
	before := heap()
	for i := range 3000 {
		last := honest[i%len(honest)]
		for _, token := range []string{
			last[:len(last)-1] + base64URL[i%64:i%64+1],             // differs in the last byte from one that is good
			last[:len(last)-2] + base64URL[i/64%64:i/64%64+1] + "w", // in the last but one
			expired, foreign,
			last + strings.Repeat("A", 16<<10-len(last)), // as long as a token may be
			last + strings.Repeat("A", 16<<10-len(last)+1+i%7),
		} {
			if token == last {
				continue
			}
			if d := authenticate(f.rs, token); d.Session != nil {
				t.Fatalf("%.40s... was allowed", token)
			}
		}
	}
	if n := mcpauth.CacheLen(f.rs); n != len(honest) {
		t.Errorf("%d tokens are cached, want the %d good ones", n, len(honest))
	}
	for i := range honest {
		if authenticate(f.rs, honest[i]).Session != sessions[i] {
			t.Errorf("good token %d was verified again", i)
		}
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more in use", grown)
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
