package mcpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR91SlowEnvironment has documents over sockets that take long each: the first request gets in, within the time that
// it waits, and the next fetch asks for one document.
func TestR91SlowEnvironment(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{1700 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			c := newClock()
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
			f.env.SetDelay(delay)
			token := f.env.Token(m{"exp": c.now().Add(time.Hour).Unix()})
			if got := f.send(t, token); got.status != http.StatusOK {
				t.Fatalf("status %d\n%s", got.status, f.log)
			}
			if metadata, keys := f.env.Requests(mcpauthtest.MetadataPath), f.env.Requests(mcpauthtest.KeysPath); metadata != 1 || keys != 1 {
				t.Errorf("metadata was asked for %d times, keys %d times", metadata, keys)
			}
			c.advance(15 * time.Minute) // old enough for the request to wait for the refresh
			fresh := f.env.Keys().Rotate()
			if got := f.send(t, f.env.Mint(mcpauthtest.Token{Key: fresh, Claims: m{"exp": c.now().Add(time.Hour).Unix()}})); got.status != http.StatusOK {
				t.Errorf("a new key: status %d\n%s", got.status, f.log)
			}
			if n := f.env.Requests(mcpauthtest.MetadataPath); n != 1 {
				t.Errorf("metadata was asked for %d times", n)
			}
			if n := f.env.Requests(mcpauthtest.KeysPath); n != 2 {
				t.Errorf("keys were asked for %d times", n)
			}
		})
	}
}

// TestR91TokensOfKeysUnderOneID has two keys with one id: tokens of both are good. When one of them is withdrawn, its
// tokens go, and those of the other stay in the cache.
func TestR91TokensOfKeysUnderOneID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	first := f.env.Keys().Current()
	second := mcpauthtest.NewKey(first.ID())
	publish := func(keys ...*mcpauthtest.Key) {
		var all []any
		for _, key := range keys {
			all = append(all, key.PublicJWK())
		}
		f.env.Handle(mcpauthtest.KeysPath, serveText(string(marshal(m{"keys": all}))))
	}
	tokens := map[*mcpauthtest.Key]string{}
	for _, key := range []*mcpauthtest.Key{first, second, mcpauthtest.NewKey(first.ID())} {
		tokens[key] = f.env.Mint(mcpauthtest.Token{Key: key})
	}
	publish(first, second)
	sessions := map[*mcpauthtest.Key]*mcpauth.Session{}
	for key, token := range tokens {
		d := authenticate(f.rs, token)
		if want := key == first || key == second; (d.Outcome == mcpauth.OutcomeAllowed) != want {
			t.Fatalf("%s, want %v", d.Outcome, want)
		}
		sessions[key] = d.Session
	}

	publish(second)
	authenticate(f.rs, f.env.Mint(mcpauthtest.Token{Header: m{"kid": "snk_unknown"}})) // causes a fetch
	if d := authenticate(f.rs, tokens[second]); d.Session != sessions[second] {
		t.Errorf("%s: a token of the key that stays is verified again", d.Outcome)
	}
	if d := authenticate(f.rs, tokens[first]); d.Outcome != mcpauth.OutcomeInvalidToken {
		t.Errorf("%s: a token of the withdrawn key", d.Outcome)
	}
}

// TestR91UnknownYet has a kid that can't be looked up at the moment: the client is told to come again, and not to sign in.
func TestR91UnknownYet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	for i := range 10 {
		d := authenticateFor(gone, f.rs, f.env.Mint(mcpauthtest.Token{Header: m{"kid": fmt.Sprint("snk_", i)}}))
		if d.Outcome != mcpauth.OutcomeUnavailable || d.Reply.Status != http.StatusServiceUnavailable || d.Reply.Header.Get("Retry-After") != "2" || len(d.Reply.Header["Www-Authenticate"]) != 0 {
			t.Errorf("%s, %v", d.Outcome, d.Reply)
		}
		mcpauth.Settle(f.rs)
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 2 {
		t.Errorf("keys were asked for %d times, want 2", n)
	}
}
