package keys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

// TestR53NewKeyInAFlood rotates the keys before a flood of unknown kids, one of which starts the refetch. The new key works
// at once. All other kids are refused by the next fetch, which began after the last of them was asked for.
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
					t.Errorf("%d fetches: no flood", len(fetches))
				}
			})
		})
	}
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
