package mcpauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A source is an environment without a network: synctest's clock moves only while nobody waits for a socket.
type source struct {
	keys    atomic.Pointer[keysByID] // nil while down
	takes   time.Duration
	fetches atomic.Int64
}

func (s *source) fetch(ctx context.Context, found func(keysByID)) error {
	s.fetches.Add(1)
	keys := s.keys.Load() // a slow answer is as old as its beginning
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

func (s *source) publish(kids ...string) {
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

func newTestKeySet(s *source) *keySet {
	return &keySet{fetch: s.fetch, now: time.Now, logger: slog.New(slog.DiscardHandler)}
}

// outcome names what find said.
func (ks *keySet) outcome(kid string) string {
	keys, err := ks.find(context.Background(), kid)
	var down *unavailableError
	switch {
	case errors.As(err, &down):
		return "unavailable"
	case errors.Is(err, refuseKey):
		return "unknown"
	case err != nil:
		return err.Error()
	}
	return keys[0].id
}

func expect(t *testing.T, ks *keySet, kid, want string) {
	t.Helper()
	if got := ks.outcome(kid); got != want {
		t.Errorf("%s: %s, want %s", kid, got, want)
	}
}

// TestR52Pace looks up kids one after the other: the first at once, the next one when its turn comes. None of them is
// refused by a fetch that began before it was asked for.
func TestR52Pace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
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

// TestR53JoinedFetchMayBeTooOld rotates while a fetch is in flight: the token under the new kid joins it, doesn't find its
// key in it, and has to be looked for once more.
func TestR53JoinedFetchMayBeTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
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
		s := &source{}
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
		s := &source{takes: 100 * time.Millisecond}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		s.keys.Store(nil)
		expect(t, ks, "b", "unavailable") // which says that it is down
		start := time.Now()
		for time.Since(start) < keyStaleAge-time.Minute {
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
		s := &source{takes: time.Second}
		s.publish("a", "b")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		key := ks.snapshot.Load().keys["a"][0]
		s.publish("a")

		time.Sleep(keyRefreshAge)
		asked := time.Now()
		expect(t, ks, "b", "b") // beside the refresh that it starts
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
		s := &source{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		before := ks.snapshot.Load().keys["a"][0]
		s.keys.Store(&keysByID{"a": {publicKeys["b"]}})
		time.Sleep(keyMaxAge)
		expect(t, ks, "a", "a")
		if after := ks.snapshot.Load().keys["a"][0]; after == before || !before.withdrawn.Load() {
			t.Error("another key under the same id was taken for the same key")
		}
	})
}
