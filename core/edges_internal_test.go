package mcpauth

// The cases at the edges: each kills a mutant that the others let live.

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestR53RefreshStartsNoCoolDown rotates right after a routine refresh: the new key works at once.
func TestR53RefreshStartsNoCoolDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		time.Sleep(keyRefreshAge)
		expect(t, ks, "a", "a") // starts a refresh beside itself
		synctest.Wait()
		s.publish("a", "b")
		expect(t, ks, "b", "b")
	})
}

// TestCacheHitsKeepTheSetFresh: a server whose requests are all cache hits refreshes, retries, and stops after a day.
func TestCacheHitsKeepTheSetFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		key := ks.snapshot.Load().keys["a"]
		hit := func(usable bool, fetches int64) {
			t.Helper()
			before := s.fetches.Load()
			if got := ks.believes(key, time.Now()); got != usable {
				t.Errorf("believed: %v", got)
			}
			time.Sleep(time.Millisecond)
			if got := s.fetches.Load() - before; got != fetches {
				t.Errorf("%d fetches, want %d", got, fetches)
			}
		}
		hit(true, 0)
		time.Sleep(keyRefreshAge)
		s.keys.Store(nil)
		hit(true, 1)
		hit(true, 0)
		time.Sleep(firstBackoff)
		hit(true, 1) // failed; again after the backoff and not only after that of the flight
		time.Sleep(keyStaleAge)
		hit(false, 0)
	})
}

func TestR54BackoffEndsWithASuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
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
			t.Errorf("%d fetches, want 1: the backoff of the outage before goes on", n)
		}
	})
}

func TestR55WaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Hour}
		ks := newTestKeySet(s)
		asked := time.Now()
		expect(t, ks, "a", "unavailable")
		if waited := time.Since(asked); waited != fetchTimeout {
			t.Errorf("waited %v", waited)
		}
	})
}

// TestWaitIsBoundedInAll joins a fetch that lacks the kid, and starts one of its own: five seconds are for both.
func TestWaitIsBoundedInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: fetchTimeout - time.Millisecond}
		s.publish("a")
		ks := newTestKeySet(s)
		go ks.outcome("a")
		time.Sleep(time.Millisecond)
		asked := time.Now()
		ks.outcome("x")
		if waited := time.Since(asked); waited > fetchTimeout {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(time.Minute)
	})
}

func TestClientThatIsGoneDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		time.Sleep(keyMaxAge)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		asked := time.Now()
		if _, err := ks.find(ctx, "a"); err != nil || time.Since(asked) > 0 {
			t.Errorf("waited %v, %v", time.Since(asked), err)
		}
		time.Sleep(time.Minute)
	})
}

func TestUnavailableRoundsUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "1", time.Nanosecond: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		if got := unavailable(d).Header.Get("Retry-After"); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestQuotedString(t *testing.T) {
	t.Parallel()
	d := &denials{metadataURL: `https://h/"\`}
	if got := d.challenge(401, "", "x", "").Header.Get("WWW-Authenticate"); got != `Bearer resource_metadata="https://h/\"\\"` {
		t.Errorf("%s", got)
	}
}

func TestR55KeySizes(t *testing.T) {
	t.Parallel()
	n := func(bytes int) string { return strings.Repeat("_", (bytes*8+5)/6) } // all ones
	for bits, want := range map[int]bool{1536: false, 2048: true, 3072: true, 16384: false} {
		_, key := usableKey(`{"kty":"RSA","kid":"a","e":"AQAB","n":"` + n(bits/8) + `"}`)
		if (key != nil) != want {
			t.Errorf("%d bits: %v", bits, key != nil)
		}
	}
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `{"kty":"RSA","kid":"%d","e":"AQAB","n":"%s"},`, i, n(256))
	}
	keys, err := decodeKeySet(`{"keys":[` + strings.TrimSuffix(b.String(), ",") + `]}`)
	if len(keys) != maxKeys || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
