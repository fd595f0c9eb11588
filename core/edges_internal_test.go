package mcpauth

// The cases at the edges: each kills a mutant that the others let live.

import (
	"context"
	"fmt"
	"regexp"
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
		key := ks.snapshot.Load().keys["a"][0]
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
		if waited := time.Since(asked); waited != waitTimeout {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(fetchTimeout - waitTimeout) // and that of the fetch too
	})
}

// TestWaitIsBoundedInAll joins a fetch that lacks the kid, and starts one of its own: five seconds are for both.
func TestWaitIsBoundedInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: waitTimeout - time.Millisecond}
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

func TestR15QuotedString(t *testing.T) {
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

// TestR15R20Challenges looks at every challenge there is: its parameters, each once, as clients parse them, and the words
// that clients look for without anchors.
func TestR15R20Challenges(t *testing.T) {
	t.Parallel()
	d := newDenials("https://h.example/.well-known/oauth-protected-resource/mcp", []string{"a", "b"})
	parameter := regexp.MustCompile(`^([a-z_]+)="((?:[^"\\]|\\.)*)"$`)
	for name, reply := range map[string]Reply{
		"no credentials": d.noCredentials, "malformed": d.malformed, "invalid": d.invalidToken, "expired": d.expired, "scope": d.insufficientScope,
	} {
		lines := reply.Header["Www-Authenticate"]
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "Bearer ") {
			t.Fatalf("%s: %q", name, lines)
		}
		seen := make(map[string]bool)
		parameters := strings.Split(strings.TrimPrefix(lines[0], "Bearer "), ", ")
		for i, text := range parameters {
			m := parameter.FindStringSubmatch(text)
			if m == nil || seen[m[1]] {
				t.Fatalf("%s: %q in %s", name, text, lines[0])
			}
			seen[m[1]] = true
			if m[1] == "error_description" && (i != len(parameters)-1 || regexp.MustCompile(`["\\]|scope=|error=|resource_metadata=`).MatchString(m[2])) {
				t.Errorf("%s: %s", name, lines[0])
			}
		}
		if !seen["resource_metadata"] || !seen["scope"] || seen["error"] == (name == "no credentials") || seen["error"] != seen["error_description"] {
			t.Errorf("%s: %s", name, lines[0])
		}
	}
}

// TestR53NewKeyInAFlood rotates before a flood of unknown kids, one of which starts the refetch: the new key works at
// once. All others are refused by the next fetch, which began after the last of them.
func TestR53NewKeyInAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
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
