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

// outcome returns the result of a look-up as a word.
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

// TestR52Pace looks up kids one after the other: the first at once, the next one when its turn comes. A kid is refused only
// by a fetch that began after it was asked for.
func TestR52Pace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		begin := time.Now()
		step := func(kid, want string, at time.Duration, fetches int64) {
			t.Helper()
			expect(t, ks, kid, want)
			if got, n := time.Since(begin), s.fetches.Load(); got != at || n != fetches {
				t.Errorf("%s: after %v with %d fetches, want %v and %d", kid, got, n, at, fetches)
			}
		}
		step("a", "a", time.Second, 1)
		step("x", "unknown", 2*time.Second, 2)
		s.publish("a", "b")
		step("b", "b", lookupInterval+time.Second, 3)
		step("y", "unknown", 2*lookupInterval+time.Second, 4)
		step("b", "b", 2*lookupInterval+time.Second, 4)
		time.Sleep(time.Minute)
		begin = time.Now()
		s.publish("a", "b", "c")
		step("c", "c", time.Second, 5)
		step("x", "unknown", 2*time.Second, 6)
	})
}

// TestR53JoinedFetchMayBeTooOld rotates the keys while a fetch is in flight. A token under the new kid joins that fetch,
// doesn't find its key in it, and needs one more fetch.
func TestR53JoinedFetchMayBeTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		go ks.outcome("a")
		time.Sleep(500 * time.Millisecond)
		s.publish("a", "b")
		expect(t, ks, "b", "b")
		if n := s.fetches.Load(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestR54Backoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		ks := newTestKeySet(s)
		for _, backoff := range []time.Duration{2, 4, 8, 16, 30, 30} {
			before := s.fetches.Load()
			for range 10 {
				expect(t, ks, "a", "unavailable")
			}
			time.Sleep(backoff*time.Second - time.Millisecond)
			expect(t, ks, "a", "unavailable")
			if n := s.fetches.Load() - before; n != 1 {
				t.Fatalf("%d fetches within %d s, want 1", n, backoff)
			}
			time.Sleep(time.Millisecond)
		}
		s.publish("a")
		expect(t, ks, "a", "a")
	})
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

func TestR53NewKeyUnderAnOldID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		before := ks.snapshot.Load().keys["a"][0]
		s.keys.Store(&keysByID{"a": {publicKeys["b"]}})
		time.Sleep(maxAge)
		expect(t, ks, "a", "a")
		if after := ks.snapshot.Load().keys["a"][0]; after == before || !before.withdrawn.Load() {
			t.Error("another key under the same id was taken for the same key")
		}
	})
}

// TestR53RefreshStartsNoCoolDown rotates right after a routine refresh: the new key works at once.
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

// TestCacheHitsKeepTheSetFresh has only cache hits: they refresh the set, retry, and are not trusted any more after a day.
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
				t.Errorf("believed: %v", got)
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

func TestR54BackoffEndsWithASuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		ks := newTestKeySet(s)
		for range 4 {
			expect(t, ks, "a", "unavailable")
			time.Sleep(maxBackoff)
		}
		s.publish("a")
		expect(t, ks, "a", "a")
		s.keys.Store(nil)
		expect(t, ks, "b", "unavailable")
		time.Sleep(firstBackoff)
		before := s.fetches.Load()
		expect(t, ks, "b", "unavailable")
		if n := s.fetches.Load() - before; n != 1 {
			t.Errorf("%d fetches, want 1: the backoff of the earlier outage goes on", n)
		}
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

// TestR53NewKeyInAFlood rotates before a flood of unknown kids, one of which starts the refetch: the new key works at
// once. All others are refused by the next fetch, which began after the last of them.
func TestR53NewKeyInAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		s.publish("a", "b")
		for i := range 1000 {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				expect(t, ks, fmt.Sprint("x", i), "unknown")
			}()
		}
		time.Sleep(500 * time.Millisecond)
		expect(t, ks, "b", "b")
		time.Sleep(time.Minute)
		expect(t, ks, "b", "b")
		if n := s.fetches.Load(); n != 3 {
			t.Errorf("%d fetches, want 3", n)
		}
	})
}
