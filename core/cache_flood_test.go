package mcpauth_test

import (
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestFloodsLeaveTheCacheAlone sends what an attacker without a token can send, and what a client sends that does not
// notice that its token has ended: nobody who is cached has to make room for it, and nothing of it is kept.
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
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	before := heap()
	for i := range 3000 {
		last := honest[i%len(honest)]
		for _, token := range []string{
			last[:len(last)-1] + alphabet[i%64:i%64+1],             // which differs in the last byte from one that is good
			last[:len(last)-2] + alphabet[i/64%64:i/64%64+1] + "w", // in the last but one
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

// TestNothingNegativeIsCached has a token that is refused, and good once what it was refused for is over.
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
