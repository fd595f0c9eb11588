package keys

import (
	"net/http"
	"strings"
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
		"the first hangs and ENV/keys is 404": {0, func(s *site) {
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
