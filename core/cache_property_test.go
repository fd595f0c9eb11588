package mcpauth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A world is an environment, a clock and a list of revoked tokens, all in the hands of a test, and a pair of resource
// servers in it of which one has a cache.
type world struct {
	*fixture
	random   *rand.Rand
	clock    *clock
	revoked  sync.Map // token ids
	uncached *mcpauth.ResourceServer
	tokens   []presented
	keys     []*mcpauthtest.Key
	down     bool
}

// A presented token is one that comes again and again.
type presented struct {
	token, sub, id string
	last           *mcpauth.Session
}

const worldEntries = 16 // fewer than there are tokens, so that they push one another out

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), clock: newClock()}
	w.fixture = newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Now = w.clock.now
		cfg.Cache.MaxEntries = worldEntries
		cfg.RequiredScopes = []string{"a"}
		cfg.IsRevoked = func(_ context.Context, s *mcpauth.Session) (bool, error) {
			_, revoked := w.revoked.Load(s.TokenID())
			return revoked, nil
		}
	})
	w.uncached = mcpauth.WithoutCache(w.rs)
	w.keys = []*mcpauthtest.Key{w.env.Keys().Current()}
	for range 30 {
		w.issue()
	}
	return w
}

// issue mints a token, of which some are broken, under any key that there has been.
func (w *world) issue() {
	id := fmt.Sprint("tkn_", w.random.Uint64())
	sub := fmt.Sprint("usr_", len(w.tokens))
	now := w.clock.now()
	claims := m{
		"sub": sub, "jti": id, "scope": "a",
		"iat": now.Unix(), "exp": now.Add(time.Duration(w.random.IntN(900)) * time.Second).Unix(),
	}
	key := w.keys[len(w.keys)-1]
	if w.random.IntN(8) == 0 {
		key = w.keys[w.random.IntN(len(w.keys))] // one that may be withdrawn
	}
	switch w.random.IntN(10) {
	case 0:
		claims["scope"] = "b"
	case 1:
		claims["aud"] = "res_other"
	case 2:
		claims["nbf"] = now.Add(time.Minute).Unix()
	case 3:
		delete(claims, "iat")
		claims["exp"] = now.Add(20 * time.Minute).Unix()
	}
	token := w.env.Mint(mcpauthtest.Token{Key: key, Claims: claims})
	if w.random.IntN(10) == 0 { // the last byte is another's
		token = token[:len(token)-1] + strings.Trim("Aw", token[len(token)-1:])[:1]
	}
	p := presented{token: token, sub: sub, id: id}
	if len(w.tokens) < 60 {
		w.tokens = append(w.tokens, p)
	} else {
		w.tokens[w.random.IntN(len(w.tokens))] = p
	}
}

// step makes something happen.
func (w *world) step() string {
	switch n := w.random.IntN(100); {
	case n < 30:
		d := time.Duration(w.random.IntN(5_000)) * time.Millisecond
		w.clock.advance(d)
		mcpauth.Unpace(w.rs) // of which w.clock knows nothing
		return fmt.Sprint("wait ", d)
	case n < 31:
		d := time.Duration(w.random.Int64N(int64(11 * time.Minute)))
		w.clock.advance(d)
		return fmt.Sprint("wait ", d)
	case n < 32:
		w.clock.advance(-40 * time.Second)
		return "set the clock back"
	case n < 33 && len(w.keys) < 6:
		w.keys = append(w.keys, w.env.Keys().Rotate())
		return "rotate"
	case n < 34 && len(w.keys) > 1:
		key := w.keys[w.random.IntN(len(w.keys)-1)]
		w.env.Keys().Withdraw(key)
		return "withdraw " + key.ID()
	case n < 42:
		w.revoked.Store(w.tokens[w.random.IntN(len(w.tokens))].id, true)
		return "revoke"
	case n < 44:
		w.rs.PurgeCache()
		return "purge"
	case w.down && n < 60 || n < 45:
		var handler http.Handler // nil: the environment's own
		if w.down = !w.down; w.down {
			handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}
		for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, mcpauthtest.OpenIDPath, mcpauthtest.KeysPath} {
			w.env.Handle(path, handler)
		}
		return fmt.Sprint("down: ", w.down)
	default:
		w.issue()
		return "issue"
	}
}

// TestCachedAnswersAreTheUncachedOnes presents tokens to a resource server with a cache and to one without, which share
// their keys. Between the tokens keys rotate, time passes, and tokens are revoked, in a random order.
func TestCachedAnswersAreTheUncachedOnes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			hits, outcomes := 0, map[mcpauth.Outcome]int{}
			var story []string
			for range 2000 {
				story = append(story, w.step())
				for range 4 {
					p := &w.tokens[w.random.IntN(len(w.tokens))]
					if w.random.IntN(3) == 0 {
						p = &w.tokens[w.random.IntN(5)] // some come more often
					}
					cached, uncached := w.both(p.token)
					outcomes[cached.Outcome]++
					if cached.Outcome != uncached.Outcome {
						t.Fatalf("%s: %s with the cache, %s without; before it: %q", p.sub, cached.Outcome, uncached.Outcome, story[max(0, len(story)-20):])
					}
					if cached.Session == nil {
						continue
					}
					if cached.Session.UserID() != p.sub || cached.Session.TokenID() != p.id {
						t.Fatalf("%s got the session of %s", p.sub, cached.Session.UserID())
					}
					if cached.Session == p.last {
						hits++
					}
					p.last = cached.Session
				}
				if n := mcpauth.CacheLen(w.rs); n > worldEntries {
					t.Fatalf("%d entries", n)
				}
			}
			if hits < 500 {
				t.Errorf("only %d hits: nothing was tested", hits)
			}
			for _, outcome := range []mcpauth.Outcome{mcpauth.OutcomeAllowed, mcpauth.OutcomeExpired, mcpauth.OutcomeInvalidToken, mcpauth.OutcomeRevoked, mcpauth.OutcomeInsufficientScope, mcpauth.OutcomeUnavailable} {
				if outcomes[outcome] < 5 {
					t.Errorf("%s only %d times: nothing was tested", outcome, outcomes[outcome])
				}
			}
			t.Logf("%d hits; %v", hits, outcomes)
		})
	}
}

// both returns the decisions of the two servers about a token. An answer may start a refresh in the background: both are
// asked again when the keys changed in between. The context is cancelled already, because a token with an unknown kid would
// wait for its turn in real time, which the test does not move.
func (w *world) both(token string) (cached, uncached mcpauth.Decision) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		before := mcpauth.Settle(w.rs)
		cached, uncached = authenticateFor(gone, w.rs, token), authenticateFor(gone, w.uncached, token)
		if mcpauth.Settle(w.rs) == before {
			return cached, uncached
		}
	}
}

// TestCacheUnderLoad has 64 goroutines present tokens while keys rotate, tokens end and are revoked, and the cache is
// purged. No token gets the session of another one, and a token that was revoked or had ended before the request is
// refused.
func TestCacheUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64)
	tokens := w.tokens
	var ended [30]atomic.Bool // revoked, for good
	var allowed, denied atomic.Int64
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if allowed.Load()+denied.Load() < int64(4*i) { // otherwise all tokens end before a slow machine has presented some
				runtime.Gosched()
				i--
				continue
			}
			switch i % 4 {
			case 0:
				w.rs.PurgeCache()
			case 1:
				w.clock.advance(time.Second / 4)
			case 2:
				if i%64 == 2 && i/64 < len(ended)/2 {
					w.revoked.Store(tokens[i/64].id, true)
					ended[i/64].Store(true)
				}
			case 3:
				if i%400 == 3 && i/400 < 4 {
					w.env.Keys().Rotate()
				}
			}
		}
	})
	inParallel(64, func(g int) {
		random := rand.New(rand.NewPCG(uint64(g), 1))
		for range 300 {
			i := random.IntN(len(tokens))
			gone := ended[i].Load()
			d := authenticate(w.rs, tokens[i].token)
			switch {
			case d.Session == nil:
				denied.Add(1)
				continue
			case gone:
				t.Errorf("%s got in after it was revoked", tokens[i].sub)
			case d.Session.UserID() != tokens[i].sub || d.Session.TokenID() != tokens[i].id:
				t.Errorf("%s got the session of %s", tokens[i].sub, d.Session.UserID())
			}
			allowed.Add(1)
		}
	})
	close(stop)
	others.Wait()
	if n := mcpauth.CacheLen(w.rs); n > worldEntries {
		t.Errorf("%d entries", n)
	}
	t.Logf("%d allowed, %d refused", allowed.Load(), denied.Load())
	if allowed.Load() < 1000 || denied.Load() < 100 {
		t.Errorf("%d allowed, %d refused: nothing was tested", allowed.Load(), denied.Load())
	}
}
