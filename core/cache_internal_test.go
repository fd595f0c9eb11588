package mcpauth

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// TestCacheProvesEveryByte looks for texts that differ a little from a cached token, in a cache whose hash takes all of them
// for the token.
func TestCacheProvesEveryByte(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, length := range []int{1, 15, 16, 17, 127, 128, 129, 910, maxTokenBytes} {
		c := cacheOf(t, 4)
		token := strings.Repeat("A", length)
		c.put(token, new(Session), new(keys.Key), now, 0)
		if c.get(token, now) == nil {
			t.Fatalf("a token of %d bytes is not found", length)
		}
		var others []string
		for i := 0; i < length; i += 1 + length/1000 {
			others = append(others, token[:i]+"B"+token[i+1:])
		}
		others = append(others, "", token[1:], token+"A", token+"\x00", "\x00"+token, token+strings.Repeat("\x00", 16), token+token)
		for _, other := range others {
			c.share(token, other)
			if c.shards[0].Load().find(maphash.String(c.seed, other)) == nil {
				t.Fatal("the hash tells them apart: nothing was tested")
			}
			if c.get(other, now) != nil {
				t.Fatalf("%d bytes: taken for a token of %d bytes from which it differs", len(other), length)
			}
		}
		if c.get(token, now) == nil {
			t.Errorf("a token of %d bytes is not found any more", length)
		}
	}
}

// share has the cache find the entry of token where other is looked for, as if they had the same hash.
func (c *tokenCache) share(token, other string) {
	e := c.entryOf(token)
	shared := &cacheEntry{place: maphash.String(c.seed, other), session: e.session, key: e.key, until: e.until, proof: e.proof}
	shard := c.shard(shared.place)
	shard.CompareAndSwap(nil, new(cacheShard))
	s := shard.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	shared.slot = len(s.ring)
	s.ring = append(s.ring, shared)
	s.link(shared)
}

func (c *tokenCache) entryOf(token string) *cacheEntry {
	place := maphash.String(c.seed, token)
	return c.shard(place).Load().find(place)
}

func cacheOf(t *testing.T, entries int) *tokenCache {
	t.Helper()
	c, err := newTokenCache(CacheConfig{MaxEntries: entries, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCacheOfAnySize has limits that a user may set, up to those that stand for none.
func TestCacheOfAnySize(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{1, 2, 3, 255, 256, 257, 10_000, 1 << 30, math.MaxInt} {
		c := cacheOf(t, entries)
		if n := len(c.shards); n > maxShards || c.limit < 1 || c.limit > entries/n {
			t.Errorf("%d entries: %d shards of %d", entries, n, c.limit)
		}
		if c.limit > 256 && len(c.shards) < maxShards {
			t.Errorf("%d entries: %d in each of only %d shards", entries, c.limit, len(c.shards))
		}
		now := time.Now()
		c.put("token", new(Session), new(keys.Key), now, 0)
		if c.get("token", now) == nil {
			t.Errorf("%d entries: nothing is kept", entries)
		}
	}
}

// TestCachePurge purges a cache, which keeps no session alive afterwards, and then puts what was verified before: it is not kept,
// also where nothing was kept yet.
func TestCachePurge(t *testing.T) {
	t.Parallel()
	c := cacheOf(t, 10_000)
	key, now, before := new(keys.Key), time.Now(), c.generation.Load()
	for i := range 100 {
		c.put(strconv.Itoa(i), new(Session), key, now, before)
	}
	c.purge()
	for i := range c.shards {
		s := c.shards[i].Load()
		if s == nil {
			continue
		}
		if n := len(s.ring) + s.hand; n != 0 || slices.ContainsFunc(s.ring[:cap(s.ring)], func(e *cacheEntry) bool { return e != nil }) {
			t.Fatalf("shard %d has %d entries, or memory of some", i, n)
		}
	}
	for i := range 1000 {
		token := strconv.Itoa(i)
		if c.put(token, new(Session), key, now, before); c.get(token, now) != nil {
			t.Fatalf("%s was kept, which was verified before the purge", token)
		}
		if c.put(token, new(Session), key, now, c.generation.Load()); c.get(token, now) == nil {
			t.Fatalf("%s is not kept after the purge", token)
		}
	}
}

// TestCacheLists has readers walk the lists of a small cache while a writer adds, replaces, evicts and purges. What they find
// is the token that they looked for, and the lists hold exactly what the ring holds.
func TestCacheLists(t *testing.T) {
	t.Parallel()
	c := cacheOf(t, 100)
	key, now := new(keys.Key), time.Now()
	tokens := make([]string, 300)
	for i := range tokens {
		tokens[i] = strconv.Itoa(i)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for range 4 {
		readers.Go(func() {
			for found := 0; ; {
				token := tokens[rand.IntN(len(tokens))]
				if e := c.get(token, now); e != nil {
					found++
					if e.session.subject != token {
						t.Errorf("%s was found as %s", token, e.session.subject)
						return
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 1))
	for step := range 20_000 {
		token := tokens[random.IntN(len(tokens))]
		c.put(token, &Session{subject: token}, key, now, c.generation.Load())
		if e := c.get(token, now); e == nil || e.session.subject != token {
			t.Fatalf("step %d: %s is not found", step, token)
		}
		if step%1000 == 999 {
			c.purge()
		}
		if step%100 == 0 || step%1000 == 999 {
			c.check(t)
		}
	}
}

// check compares the lists with the ring.
func (c *tokenCache) check(t *testing.T) {
	t.Helper()
	s := c.shards[0].Load()
	linked := 0
	for i := range s.lists {
		for e := s.lists[i].Load(); e != nil; e = e.next.Load() {
			linked++
			if s.ring[e.slot] != e {
				t.Fatalf("%s is not in its slot", e.session.subject)
			}
		}
	}
	if linked != len(s.ring) || linked > c.limit {
		t.Fatalf("%d entries in lists, %d in the ring of at most %d", linked, len(s.ring), c.limit)
	}
}
