package mcpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func serveText(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
}

// inParallel calls do n times at once.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// TestReadyFetchesOnce calls Ready three times: the keys are fetched by the first.
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

func TestR52ColdStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	tokens := make([]string, 500)
	for i := range tokens {
		tokens[i] = f.env.Token(m{"sub": fmt.Sprintf("usr_%d", i)})
	}
	inParallel(len(tokens), func(i int) {
		if d := authenticate(f.rs, tokens[i]); d.Session == nil || d.Session.UserID() != fmt.Sprintf("usr_%d", i) {
			t.Errorf("request %d: %s", i, d.Outcome)
		}
	})
	for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.KeysPath} {
		if n := f.env.Requests(path); n != 1 {
			t.Errorf("%s was asked %d times, want 1", path, n)
		}
	}
}

// TestR52UnknownKids sends a thousand tokens with unknown kids at once. One of them is looked up right away, all others by
// the next fetch. Good tokens are accepted meanwhile.
func TestR52UnknownKids(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := f.env.Token(nil)
	if got := f.send(t, good); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	before := f.env.Requests(mcpauthtest.KeysPath)
	stranger := mcpauthtest.NewKey("x")
	forged := make([]string, 1000)
	for i := range forged {
		forged[i] = f.env.Mint(mcpauthtest.Token{Key: stranger, Header: m{"kid": fmt.Sprint("snk_", i)}})
	}
	var denied atomic.Int64
	began := time.Now()
	inParallel(len(forged), func(i int) {
		started := time.Now()
		if d := authenticate(f.rs, good); d.Outcome != mcpauth.OutcomeAllowed || time.Since(started) > 3*time.Second+busy {
			t.Errorf("a good token in the flood: %s after %v", d.Outcome, time.Since(started))
		}
		d := authenticate(f.rs, forged[i])
		for d.Outcome == mcpauth.OutcomeUnavailable && time.Since(started) < patience {
			d = authenticate(f.rs, forged[i]) // on a busy machine, it may have waited for too long, and comes again
		}
		if d.Outcome == mcpauth.OutcomeInvalidToken {
			denied.Add(1)
		}
	})
	if denied.Load() != 1000 {
		t.Errorf("%d of 1000 were invalid_token", denied.Load())
	}
	most := 2 + int(time.Since(began)/(4*time.Second)) // a busy machine sends them for longer
	if n := f.env.Requests(mcpauthtest.KeysPath) - before; n < 1 || n > most {
		t.Errorf("%d extra requests for keys, want 1 to %d", n, most)
	}
	// A wrong signature under a known kid causes none at all.
	before = f.env.Requests(mcpauthtest.KeysPath)
	for range 20 {
		authenticate(f.rs, f.env.Mint(mcpauthtest.Token{Key: stranger, Header: m{"kid": f.env.Keys().Current().ID()}}))
	}
	if n := f.env.Requests(mcpauthtest.KeysPath) - before; n != 0 {
		t.Errorf("wrong signatures caused %d requests", n)
	}
	for _, cause := range []string{"no key of the environment has the token's kid", "the token's signature is wrong"} {
		if !strings.Contains(f.log.String(), `cause="`+cause+`"`) {
			t.Errorf("the log does not say that %s", cause)
		}
	}
}

func TestR52UnknownKidWhileTheEnvironmentIsDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := f.env.Token(nil)
	f.send(t, good)
	f.env.Stop()
	if got := f.send(t, f.env.Mint(mcpauthtest.Token{Header: m{"kid": "snk_unknown"}})); got.status != http.StatusServiceUnavailable {
		t.Errorf("an unknown kid: status %d, want 503", got.status)
	}
	if got := f.send(t, good); got.status != http.StatusOK {
		t.Errorf("a good token: status %d, want 200", got.status)
	}
}

func TestR53Rotation(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	claims := m{"exp": c.now().Add(time.Hour).Unix()}
	old := f.env.Keys().Current()
	oldToken := f.env.Token(claims)
	for i := range 2 { // the second time at once
		token := f.env.Token(claims)
		if got := f.send(t, token); got.status != http.StatusOK {
			t.Fatalf("after rotation %d: status %d", i, got.status)
		}
		f.env.Keys().Rotate()
	}
	if got := f.send(t, oldToken); got.status != http.StatusOK {
		t.Fatalf("an old key that is still published: status %d", got.status)
	}
	f.env.Keys().Withdraw(old)
	c.advance(11 * time.Minute)
	f.send(t, f.env.Token(claims))
	mcpauth.Unpace(f.rs) // otherwise the old key id waits for some seconds
	if got := f.insist(t, oldToken); got.status != http.StatusUnauthorized {
		t.Errorf("a withdrawn key, after the maximum age: status %d, want 401", got.status)
	}
}

func TestR53WithdrawnKeyTakesItsCachedTokensAlong(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.MaxAge = 10 * time.Minute })
	old := f.env.Keys().Current()
	token := f.env.Token(nil)
	f.send(t, token)
	f.env.Keys().Rotate()
	f.env.Keys().Withdraw(old)
	f.send(t, f.env.Token(nil)) // its kid is unknown: a refetch
	mcpauth.Unpace(f.rs)        // otherwise the old key id waits for some seconds
	if got := f.insist(t, token); got.status != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", got.status)
	}
}

func TestR54DownAtStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	token := f.env.Token(nil)
	f.env.Stop()
	got := f.send(t, token)
	if got.status != http.StatusServiceUnavailable || got.body.Error != "temporarily_unavailable" || got.challenge != "" {
		t.Fatalf("status %d, challenge %q, body %s", got.status, got.challenge, got.text)
	}
	wait, err := strconv.Atoi(got.retryAfter)
	if err != nil || wait < 1 || wait > 30 {
		t.Fatalf("Retry-After %q", got.retryAfter)
	}
	if err := f.rs.Ready(context.Background()); err == nil {
		t.Error("ready without the environment")
	}
	f.env.Start()
	deadline := time.Now().Add(patience)
	for f.send(t, token).status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("no recovery after the environment's return")
		}
		time.Sleep(50 * time.Millisecond) // the backoff is real here; internal/keys/set_internal_test.go has it on a fake clock
	}
	if err := f.rs.Ready(context.Background()); err != nil {
		t.Errorf("not ready after the return: %v", err)
	}
}

func TestR54KeysSurviveAnOutage(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	token := f.env.Token(m{"exp": c.now().Add(48 * time.Hour).Unix()})
	f.send(t, token)
	f.env.Stop()
	for range 23 {
		c.advance(time.Hour)
		if got := f.send(t, token); got.status != http.StatusOK {
			t.Fatalf("in the outage: status %d", got.status)
		}
	}
	if !strings.Contains(f.log.String(), `level=WARN msg="JWKS resolution failed; the keys from before stay in use"`) {
		t.Errorf("no warning in the log:\n%s", f.log)
	}
	c.advance(2 * time.Hour)
	if got := f.send(t, token); got.status != http.StatusServiceUnavailable {
		t.Errorf("after a day: status %d, want 503", got.status)
	}
	f.env.Start()
	c.advance(time.Minute)
	if got := f.send(t, token); got.status != http.StatusOK {
		t.Errorf("after the return: status %d, want 200", got.status)
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
