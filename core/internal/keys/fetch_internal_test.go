package keys

import (
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

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

// TestR91NoRefusalByAnOlderFetch joins a fetch that began before the request and lacks its kid. When the next fetch can't be
// made in time, the result is 503 and not a refusal.
func TestR91NoRefusalByAnOlderFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{takes: 3500 * time.Millisecond}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		go ks.outcome("x")
		time.Sleep(time.Second)
		s.publish("a", "b")
		began := time.Now()
		expect(t, ks, "b", "unavailable")
		if took := time.Since(began); took != waitTimeout {
			t.Errorf("after %v", took)
		}
		time.Sleep(time.Second)
		expect(t, ks, "b", "b")
		time.Sleep(time.Minute)
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
			t.Errorf("%d fetches, want 1: the backoff of the outage before goes on", n)
		}
	})
}

// TestR91FaultsOfTheTransport has a Config.HTTPClient that panics, ends its goroutine, or never returns, for one of the
// documents or for all.
func TestR91FaultsOfTheTransport(t *testing.T) {
	t.Parallel()
	for fault, answer := range map[string]func(*http.Request) (int, string){
		"panics": func(*http.Request) (int, string) { panic("a bug of the user's") },
		"exits":  func(*http.Request) (int, string) { runtime.Goexit(); return 0, "" },
		"hangs":  func(*http.Request) (int, string) { time.Sleep(time.Hour); return 0, "" },
	} {
		for name, c := range map[string]struct {
			paths []string
			want  string
		}{
			"metadata":  {[]string{testMetadata}, "a"},
			"the hedge": {[]string{testMetadata, "/keys"}, "unavailable"},
			"all":       {[]string{testMetadata, testAppended, testOpenID, "/keys"}, "unavailable"},
		} {
			t.Run(fault+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSite(0)
					for _, path := range c.paths {
						s.set(path, 0, answer)
					}
					ks := s.keySet()
					expect(t, ks, "a", c.want)
					time.Sleep(fetchTimeout)
					ks.mu.Lock()
					if ks.flight != nil {
						t.Error("the fetch goes on")
					}
					ks.mu.Unlock()
					time.Sleep(2 * time.Hour)
				})
			})
		}
	}
}
