package keys

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestR91WaitingIsBounded sends more requests with unknown kids than may wait. The excess gets 503 at once, with a
// Retry-After of a second, and known kids are not affected.
func TestR91WaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		for i := range maxWaiting {
			go expect(t, ks, fmt.Sprint("x", i), "unknown")
		}
		synctest.Wait()
		began := time.Now()
		for range 100 {
			_, err := ks.Find(context.Background(), "y")
			var down *Unavailable
			if !errors.As(err, &down) || down.RetryAfter != time.Second {
				t.Fatalf("a request more than may wait: %v", err)
			}
			expect(t, ks, "a", "a")
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("they waited %v", took)
		}
		time.Sleep(waitTimeout)
		expect(t, ks, "y", "unknown")
		if n := ks.waiting.Load(); n != 0 {
			t.Errorf("%d are counted as waiting", n)
		}
	})
}

// An environment answers without a network: synctest's clock stands still while a goroutine waits for a socket.
type environment struct {
	keys    atomic.Pointer[keysByID] // nil while down
	takes   time.Duration
	fetches atomic.Int64
}

func (s *environment) fetch(ctx context.Context, found func(keysByID)) error {
	s.fetches.Add(1)
	keys := s.keys.Load() // a slow answer shows the keys of the time when it began
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if keys == nil {
		return errors.New("connection refused")
	}
	found(*keys)
	return nil
}

func (s *environment) publish(kids ...string) {
	keys := make(keysByID)
	for _, kid := range kids {
		keys.add(kid, publicKeys[kid])
	}
	s.keys.Store(&keys)
}

var publicKeys = func() map[string]*rsa.PublicKey {
	keys := make(map[string]*rsa.PublicKey)
	for _, kid := range []string{"a", "b", "c"} {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[kid] = &private.PublicKey
	}
	return keys
}()

func newTestKeySet(s *environment) *Set {
	return &Set{fetch: s.fetch, now: time.Now, logger: slog.New(slog.DiscardHandler)}
}

// outcome returns the result of Find as a word.
func (set *Set) outcome(kid string) string {
	keys, err := set.Find(context.Background(), kid)
	var down *Unavailable
	switch {
	case errors.As(err, &down):
		return "unavailable"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case err != nil:
		return err.Error()
	}
	return keys[0].id
}

func expect(t *testing.T, ks *Set, kid, want string) {
	t.Helper()
	if got := ks.outcome(kid); got != want {
		t.Errorf("%s: %s, want %s", kid, got, want)
	}
}

func TestR54StaleKeysAreUsedForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: 100 * time.Millisecond}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		s.keys.Store(nil)
		expect(t, ks, "b", "unavailable") // this fetch finds the environment down
		start := time.Now()
		for time.Since(start) < staleAge-time.Minute {
			time.Sleep(30 * time.Second)
			asked := time.Now()
			expect(t, ks, "a", "a")
			if waited := time.Since(asked); waited > 0 {
				t.Fatalf("a request waited %v for an environment that is known to be down", waited)
			}
		}
		time.Sleep(2 * time.Minute)
		expect(t, ks, "a", "unavailable")
	})
}

func TestR53OldSetIsRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a", "b")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		key := ks.snapshot.Load().keys["a"][0]
		s.publish("a")

		time.Sleep(refreshAge)
		asked := time.Now()
		expect(t, ks, "b", "b") // the refresh that it starts runs in the background
		if waited := time.Since(asked); waited > 0 {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(2 * time.Second)
		expect(t, ks, "b", "unknown")
		if ks.snapshot.Load().keys["a"][0] != key || key.withdrawn.Load() {
			t.Error("a key that did not change lost its identity")
		}

		s.publish("b")
		time.Sleep(8 * time.Hour) // a quiet night
		expect(t, ks, "a", "unknown")
		if !key.withdrawn.Load() {
			t.Error("a withdrawn key is not marked")
		}
	})
}

// TestR53RefreshStartsNoCoolDown rotates the keys right after a routine refresh: the new key works at once.
func TestR53RefreshStartsNoCoolDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		time.Sleep(refreshAge)
		expect(t, ks, "a", "a") // starts a refresh in the background
		synctest.Wait()
		s.publish("a", "b")
		expect(t, ks, "b", "b")
	})
}

// TestCacheHitsKeepTheSetFresh has requests that are all cache hits. They refresh the keys and repeat a failed refresh;
// after a day without success, the keys are no longer trusted.
func TestCacheHitsKeepTheSetFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		key := ks.snapshot.Load().keys["a"][0]
		hit := func(usable bool, fetches int64) {
			t.Helper()
			before := s.fetches.Load()
			if got := ks.Trusts(key, time.Now()); got != usable {
				t.Errorf("the key is trusted: %v", got)
			}
			time.Sleep(time.Millisecond)
			if got := s.fetches.Load() - before; got != fetches {
				t.Errorf("%d fetches, want %d", got, fetches)
			}
		}
		hit(true, 0)
		time.Sleep(refreshAge)
		s.keys.Store(nil)
		hit(true, 1)
		hit(true, 0)
		time.Sleep(firstBackoff)
		hit(true, 1) // failed; the next one comes after the backoff, and doesn't wait for 2*fetchTimeout
		time.Sleep(staleAge)
		hit(false, 0)
	})
}

func TestR55WaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Hour}
		ks := newTestKeySet(s)
		asked := time.Now()
		expect(t, ks, "a", "unavailable")
		if waited := time.Since(asked); waited != waitTimeout {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(fetchTimeout - waitTimeout) // the fetch ends too, or synctest reports its goroutine
	})
}

// TestWaitIsBoundedInAll joins a fetch that lacks the kid, and starts one of its own: both together take at most five
// seconds.
func TestWaitIsBoundedInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: waitTimeout - time.Millisecond}
		s.publish("a")
		ks := newTestKeySet(s)
		go ks.outcome("a")
		time.Sleep(time.Millisecond)
		asked := time.Now()
		ks.outcome("x")
		if waited := time.Since(asked); waited > waitTimeout {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(time.Minute)
	})
}

func TestClientThatIsGoneDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		time.Sleep(maxAge)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		asked := time.Now()
		if _, err := ks.Find(ctx, "a"); err != nil || time.Since(asked) > 0 {
			t.Errorf("waited %v, %v", time.Since(asked), err)
		}
		time.Sleep(time.Minute)
	})
}
