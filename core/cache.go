package mcpauth

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// A tokenHash stands for a token in the cache: all 32 bytes of its SHA-256, so that no other token can take its place.
type tokenHash [32]byte

// hashOf returns the SHA-256 of a token. The hash reads the string where it is: a conversion would copy it first, which
// would be most of the time of a hit apart from the hash itself.
func hashOf(token string) tokenHash {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token))) //nolint:gosec // Sum256 only reads
}

// A tokenCache remembers tokens that passed every check that does not change with time. It is bounded, and holds
// successes only: a token that fails costs its signature check again, and can't push a good one out.
//
// It is divided into shards so that readers on different cores do not share a lock. A shard is made for its first token, so
// that a process can have very many resource servers. One that is full evicts by the clock algorithm: what was used since the
// hand last passed stays for another round.
type tokenCache struct {
	shards []atomic.Pointer[cacheShard] // nil until the first token comes
	limit  int                          // of each shard
	maxAge int64                        // milliseconds

	generation atomic.Uint32 // changes with each purge
}

type cacheShard struct {
	mu    sync.RWMutex
	index map[tokenHash]*cacheEntry
	ring  []*cacheEntry
	hand  int
	_     [64]byte // keeps the locks of neighbours off one cache line
}

// A cacheEntry is a verified token, which goes when the key that signed it goes, or another credential.
type cacheEntry struct {
	session *Session
	key     *keys.Key // nil for a credential that is not a token
	until   int64     // milliseconds since 1970, after which the signature is checked again
	used    atomic.Bool
	slot    int // in the ring
	hash    tokenHash
}

// newTokenCache returns a cache for at most entries tokens, or nil, which remembers nothing.
func newTokenCache(cfg CacheConfig) *tokenCache {
	if cfg.Disabled {
		return nil
	}
	shards := 1
	for shards < 32 && shards*64 < cfg.MaxEntries {
		shards *= 2
	}
	return &tokenCache{
		shards: make([]atomic.Pointer[cacheShard], shards),
		limit:  max(1, cfg.MaxEntries/shards),
		maxAge: cfg.MaxAge.Milliseconds(),
	}
}

func (c *tokenCache) shard(hash *tokenHash) *atomic.Pointer[cacheShard] {
	return &c.shards[binary.LittleEndian.Uint32(hash[:])%uint32(len(c.shards))] //nolint:gosec // at most 32
}

// get returns the entry of a token, or nil. The caller checks what changes with time.
func (c *tokenCache) get(hash *tokenHash, now time.Time) *cacheEntry {
	s := c.shard(hash).Load()
	if s == nil {
		return nil
	}
	s.mu.RLock()
	e := s.index[*hash]
	s.mu.RUnlock()
	if e == nil {
		return nil
	}
	if left := e.until - now.UnixMilli(); left <= 0 || left > c.maxAge { // more is left when the clock was set back
		return nil
	}
	if !e.used.Load() { // a plain read first: the line stays shared among the cores
		e.used.Store(true)
	}
	return e
}

// put remembers a token that was verified at now, unless there was a purge since generation was read: then the
// verification began before it.
func (c *tokenCache) put(hash *tokenHash, session *Session, key *keys.Key, now time.Time, generation uint32) {
	e := &cacheEntry{hash: *hash, session: session, key: key, until: now.UnixMilli() + c.maxAge}
	place := c.shard(hash)
	if place.Load() == nil {
		place.CompareAndSwap(nil, &cacheShard{index: make(map[tokenHash]*cacheEntry)})
	}
	s := place.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.generation.Load() != generation {
		return
	}
	if old := s.index[*hash]; old != nil {
		e.slot = old.slot
	} else if len(s.ring) < c.limit {
		e.slot = len(s.ring)
		s.ring = append(s.ring, nil)
	} else {
		for s.ring[s.hand].keep(now) {
			s.hand = (s.hand + 1) % len(s.ring)
		}
		e.slot = s.hand
		delete(s.index, s.ring[s.hand].hash)
		s.hand = (s.hand + 1) % len(s.ring)
	}
	s.index[*hash], s.ring[e.slot] = e, e
}

// keep reports whether the clock's hand passes over e, once.
func (e *cacheEntry) keep(now time.Time) bool {
	return e.used.Swap(false) && now.UnixMilli() < e.until && (e.key == nil || !e.key.Withdrawn())
}

// purge forgets everything.
func (c *tokenCache) purge() {
	c.generation.Add(1)
	for i := range c.shards {
		s := c.shards[i].Load()
		if s == nil {
			continue
		}
		s.mu.Lock()
		clear(s.index)
		clear(s.ring)
		s.ring, s.hand = s.ring[:0], 0
		s.mu.Unlock()
	}
}
