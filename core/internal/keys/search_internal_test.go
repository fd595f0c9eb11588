package keys

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestR91SlowDocuments has documents that are slow, and some that never come.
func TestR91SlowDocuments(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	for name, c := range map[string]struct {
		delay        time.Duration
		change       func(s *site)
		first        time.Duration // until the first token is verified
		firstAsked   string
		refreshed    time.Duration // until the set is fetched again
		refreshAsked string
	}{
		"1.7 s":           {1700 * time.Millisecond, nil, 2700 * time.Millisecond, "1 /keys 2", 1700 * time.Millisecond, "/keys"},
		"3.5 s":           {3500 * time.Millisecond, nil, 4500 * time.Millisecond, "1 /keys 2 3", 3500 * time.Millisecond, "/keys"},
		"0.9 s":           {900 * time.Millisecond, nil, 1800 * time.Millisecond, "1 /keys", 900 * time.Millisecond, "/keys"},
		"metadata hangs":  {0, func(s *site) { s.set(testMetadata, never, nil) }, time.Second, "1 /keys 2 3", holdTime, "/keys 1"},
		"the first hangs": {0, func(s *site) { s.set(testMetadata, never, nil); s.set(testAppended, 0, metadataFor("/keys")) }, time.Second, "1 /keys 2", 0, "/keys"},
		"the first hangs and there is no ENV/keys": {0, func(s *site) {
			s.set(testMetadata, never, nil)
			s.set(testAppended, 0, metadataFor("/jwks"))
			s.set("/jwks", 0, keySetOf("a"))
			s.set("/keys", 100*time.Millisecond, nil)
		}, time.Second, "1 /keys 2 /jwks", 0, "/jwks"},
		"the keys are elsewhere, and slow": {0, func(s *site) {
			s.set(testMetadata, 0, metadataFor("/jwks"))
			s.set("/jwks", 3500*time.Millisecond, keySetOf("a"))
			s.set("/keys", 0, nil)
		}, 3500 * time.Millisecond, "1 /jwks /keys", 3500 * time.Millisecond, "/jwks"},
		"the keys elsewhere hang": {0, func(s *site) {
			s.set(testMetadata, 0, metadataFor("/jwks"))
			s.set("/jwks", never, nil)
		}, time.Second, "1 /jwks /keys", time.Second, "/jwks /keys 1"},
		"no metadata, 0.5 s each": {500 * time.Millisecond, func(s *site) { s.set(testMetadata, 500*time.Millisecond, nil) }, 1500 * time.Millisecond, "1 2 3 /keys", holdTime, "/keys 1 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(c.delay)
				if c.change != nil {
					c.change(s)
				}
				ks := s.keySet()
				began := time.Now()
				expect(t, ks, "a", "a")
				if took := time.Since(began); took != c.first {
					t.Errorf("the first took %v, want %v", took, c.first)
				}
				synctest.Wait()
				if asked := s.take(); !sameWords(asked, c.firstAsked) {
					t.Errorf("asked for %q, want %q", asked, c.firstAsked)
				}
				time.Sleep(maxAge)
				s.take()
				began = time.Now()
				expect(t, ks, "a", "a")
				if took := time.Since(began); took != c.refreshed {
					t.Errorf("the refresh took %v, want %v", took, c.refreshed)
				}
				synctest.Wait()
				if asked := s.take(); !sameWords(asked, c.refreshAsked) {
					t.Errorf("then asked for %q, want %q", asked, c.refreshAsked)
				}
				time.Sleep(fetchTimeout)
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.open != 0 {
					t.Errorf("%d requests outlive the fetch", s.open)
				}
			})
		})
	}
}

// sameWords compares words regardless of their order: requests that are sent at the same instant arrive in any order.
func sameWords(a, b string) bool {
	count := make(map[string]int)
	for w := range strings.FieldsSeq(a) {
		count[w]++
	}
	for w := range strings.FieldsSeq(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestR91LateMetadataIsRemembered has metadata that comes after keys were found at ENV/keys: the next fetch asks only the
// address that it names.
func TestR91LateMetadataIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(0)
		s.set(testMetadata, 3*time.Second, metadataFor("/jwks"))
		s.set("/jwks", 0, keySetOf("b"))
		ks := s.keySet()
		expect(t, ks, "a", "a")
		time.Sleep(5 * time.Second)
		s.take()
		s.within(t, ks, "b", "b", 0, "/jwks")
	})
}

// TestR91NewKeyInAFlood sends unknown kids and publishes new keys for more than an hour. No new key waits longer than five
// seconds, and no minute has more than 15 fetches.
func TestR91NewKeyInAFlood(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*site){
		"as usual":    func(*site) {},
		"no metadata": func(s *site) { s.set(testMetadata, 500*time.Millisecond, nil) },
		"metadata is the third source": func(s *site) {
			s.set(testMetadata, 500*time.Millisecond, nil)
			s.set(testOpenID, 500*time.Millisecond, metadataFor("/keys"))
		},
		"keys elsewhere": func(s *site) {
			s.set(testMetadata, 500*time.Millisecond, metadataFor("/jwks"))
			s.set("/keys", 500*time.Millisecond, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const length = 75 * time.Minute
				s := newSite(500 * time.Millisecond)
				change(s)
				s.set("/jwks", 500*time.Millisecond, keySetOf("a"))
				ks := s.keySet()
				expect(t, ks, "a", "a")
				s.take()
				began := time.Now()
				var all sync.WaitGroup
				all.Go(func() {
					for i := 0; time.Since(began) < length; i++ {
						time.Sleep(777 * time.Millisecond)
						all.Go(func() { expect(t, ks, fmt.Sprint("x", i), "unknown") })
					}
				})
				all.Go(func() {
					for i := 0; time.Since(began) < length; i++ {
						time.Sleep(7321 * time.Millisecond)
						kid := fmt.Sprint("new", i)
						s.mu.Lock()
						for _, path := range []string{"/keys", "/jwks"} {
							if s.answers[path] != nil {
								s.answers[path] = keySetOf("a", kid)
							}
						}
						s.mu.Unlock()
						asked := time.Now()
						expect(t, ks, kid, kid)
						if took := time.Since(asked); took >= 5*time.Second {
							t.Errorf("%v: a new key works after %v", time.Since(began), took)
						}
					}
				})
				all.Wait()
				time.Sleep(fetchTimeout)
				s.mu.Lock()
				defer s.mu.Unlock()
				var fetches []time.Time
				for _, a := range s.asked {
					if a.path == "/jwks" || a.path == "/keys" && s.answers["/keys"] != nil {
						fetches = append(fetches, a.at)
					}
				}
				for i := 15; i < len(fetches); i++ {
					if d := fetches[i].Sub(fetches[i-15]); d <= time.Minute {
						t.Fatalf("16 fetches within %v", d)
					}
				}
				if len(fetches) < 900 {
					t.Errorf("%d fetches are too few for a flood", len(fetches))
				}
			})
		})
	}
}

// TestR91NotAcceptable has an environment that answers 406 to the media types in Accept.
func TestR91NotAcceptable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(0)
		for path, answer := range s.answers {
			s.set(path, 0, func(req *http.Request) (int, string) {
				if len(req.Header["Accept"]) > 0 {
					return http.StatusNotAcceptable, ""
				}
				return answer(req)
			})
		}
		s.within(t, s.keySet(), "a", "a", 0, "1 1 /keys /keys")
		s.set("/keys", 0, func(*http.Request) (int, string) { return http.StatusNotAcceptable, "" })
		s.within(t, s.keySet(), "a", "unavailable", 0, "1 1 /keys /keys 2 3")
	})
}

// TestR91FaultsOfTheTransport has a user's transport that panics, ends its goroutine, or never returns, for one of the
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

// TestR91NoRefusalByAnOlderFetch joins a fetch that began before the request and lacks its kid. When the next fetch can't be
// made in time, the result is that the keys are unavailable, not that the kid is unknown.
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
				t.Fatalf("beyond maxWaiting: %v", err)
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

// TestR91FlappingEnvironment makes every second fetch fail, while cache hits and unknown kids keep coming.
func TestR91FlappingEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var fetches []time.Time
		ks := newTestKeySet(nil)
		ks.fetch = func(_ context.Context, found func(keysByID)) error {
			mu.Lock()
			fetches = append(fetches, time.Now())
			down := len(fetches)%2 == 0
			mu.Unlock()
			if down {
				return errors.New("down")
			}
			found(keysByID{"a": {publicKeys["a"]}})
			return nil
		}
		expect(t, ks, "a", "a")
		key := ks.snapshot.Load().keys["a"][0]
		for range 6000 {
			time.Sleep(100 * time.Millisecond)
			if !ks.Trusts(key, time.Now()) {
				t.Fatal("the key is lost")
			}
			go ks.outcome("x")
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i := 15; i < len(fetches); i++ {
			if d := fetches[i].Sub(fetches[i-15]); d <= time.Minute {
				t.Fatalf("16 fetches within %v", d)
			}
		}
	})
}

// TestR91SeveralKeysUnderOneID checks that at most four of them count, each once, and that each is withdrawn by itself.
func TestR91SeveralKeysUnderOneID(t *testing.T) {
	t.Parallel()
	set := make(keysByID)
	exponent := func(e int) *rsa.PublicKey { return &rsa.PublicKey{N: publicKeys["a"].N, E: e} }
	for _, e := range []int{3, 3, 5, 7, 3, 9, 11} {
		set.add("a", exponent(e))
	}
	if len(set["a"]) != maxKeysPerID || set["a"][3].E != 9 {
		t.Fatalf("%d keys", len(set["a"]))
	}
	ks := newTestKeySet(nil)
	ks.publish(set, time.Now(), 1)
	before := ks.snapshot.Load().keys["a"]
	ks.publish(keysByID{"a": {exponent(13), exponent(7), exponent(3)}}, time.Now(), 2)
	after := ks.snapshot.Load().keys["a"]
	if after[1] != before[2] || after[2] != before[0] {
		t.Error("a key that stayed lost its identity")
	}
	for i, withdrawn := range []bool{false, true, false, true} {
		if before[i].withdrawn.Load() != withdrawn {
			t.Errorf("key %d withdrawn: %v", i, !withdrawn)
		}
	}
}
