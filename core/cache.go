package mcpauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// A tokenCache remembers tokens that passed every check that does not change with time. It is bounded, and holds
// successes only: a token that fails costs its signature check again, and can't push a good one out.
//
// It holds no token. A token is looked up by a fast hash of 64 bits, and then a MAC of all its bytes proves that it is the one
// that was verified ([tokenMAC]). A token that has the hash of another one fails the proof, and is verified as one that was
// never seen.
//
// Readers take no lock. Writers take the lock of a shard, which holds at most 256 tokens unless there are more than 16 million.
// A shard is made for its first token, so that a process can have very many resource servers. One that is full evicts by the
// clock algorithm: what was used since the hand last passed stays for another round.
type tokenCache struct {
	shards []atomic.Pointer[cacheShard] // nil until the first token comes
	limit  int                          // of each shard
	maxAge int64                        // milliseconds
	seed   maphash.Seed
	mac    cipher.AEAD // that of all caches: it is larger than an entry

	generation atomic.Uint32 // changes with each purge
}

// A cacheShard is a hash table of linked lists. A reader that walks along a list while a writer changes it finds what was there
// before or what is there afterwards.
type cacheShard struct {
	lists [64]atomic.Pointer[cacheEntry]

	mu   sync.Mutex // of writers
	ring []*cacheEntry
	hand int
}

// A cacheEntry is a verified token, which goes when the key that signed it goes, or another credential.
type cacheEntry struct {
	place   uint64 // the hash of the token
	next    atomic.Pointer[cacheEntry]
	session *Session
	key     *keys.Key // nil for a credential that is not a token
	until   int64     // milliseconds since 1970, after which the signature is checked again
	slot    int       // in the ring
	used    atomic.Bool
	proof   [proofBytes]byte
}

// proofBytes is the length of a proof: a nonce and a MAC.
const proofBytes = 12 + 16

const maxShards = 1 << 16

// newTokenCache returns a cache for at most cfg.MaxEntries tokens, or nil, which remembers nothing.
func newTokenCache(cfg CacheConfig) (*tokenCache, error) {
	if cfg.Disabled {
		return nil, nil
	}
	shards := 1
	for shards < maxShards && shards*256 < cfg.MaxEntries {
		shards *= 2
	}
	mac, err := tokenMAC()
	return &tokenCache{
		shards: make([]atomic.Pointer[cacheShard], shards),
		limit:  max(1, cfg.MaxEntries/shards),
		maxAge: cfg.MaxAge.Milliseconds(),
		seed:   maphash.MakeSeed(),
		mac:    mac,
	}, err
}

// tokenMAC returns AES-GCM under a key that is drawn once for the process. With a token as its additional data, and nothing to
// encrypt, it is GMAC (NIST SP 800-38D), which takes a fraction of the time of a SHA-256.
//
// No other text of up to 16 KiB passes for a cached token with a probability above 2^-117, however it was chosen, because key
// and MACs never leave the process. Only one who reads its memory could make such a text, which would be of use until the entry
// is [CacheConfig.MaxAge] old. The tokens of the requests under way are in that memory, too.
var tokenMAC = sync.OnceValues(func() (cipher.AEAD, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // which ends the process rather than to fail
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
})

// bytesOf returns the bytes of a token where they are: a conversion would copy them first. They must only be read.
func bytesOf(token string) []byte {
	return unsafe.Slice(unsafe.StringData(token), len(token)) //nolint:gosec // as said
}

// get returns the entry of a token, or nil. The caller checks what changes with time.
func (c *tokenCache) get(token string, now time.Time) *cacheEntry {
	place := maphash.String(c.seed, token)
	s := c.shard(place).Load()
	if s == nil {
		return nil
	}
	e := s.find(place)
	if e == nil {
		return nil
	}
	if _, err := c.mac.Open(nil, nil, e.proof[:], bytesOf(token)); err != nil {
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
func (c *tokenCache) put(token string, session *Session, key *keys.Key, now time.Time, generation uint32) {
	e := &cacheEntry{place: maphash.String(c.seed, token), session: session, key: key, until: now.UnixMilli() + c.maxAge}
	c.mac.Seal(e.proof[:0], nil, nil, bytesOf(token)) //nolint:gosec // it draws a nonce, and puts it in front
	shard := c.shard(e.place)
	if shard.Load() == nil {
		shard.CompareAndSwap(nil, new(cacheShard))
	}
	s := shard.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.generation.Load() != generation {
		return
	}
	if old := s.find(e.place); old != nil {
		s.unlink(old)
		e.slot = old.slot
	} else if len(s.ring) < c.limit {
		e.slot = len(s.ring)
		s.ring = append(s.ring, nil)
	} else {
		e.slot = s.evict(now)
	}
	s.link(e)
	s.ring[e.slot] = e
}

// purge forgets everything.
func (c *tokenCache) purge() {
	c.generation.Add(1)
	for i := range c.shards {
		if s := c.shards[i].Load(); s != nil {
			s.purge()
		}
	}
}

func (c *tokenCache) shard(place uint64) *atomic.Pointer[cacheShard] {
	return &c.shards[place%uint64(len(c.shards))]
}

// list returns the list of a place. The upper half of its bits says which, because the lowest have said which shard.
func (s *cacheShard) list(place uint64) *atomic.Pointer[cacheEntry] {
	return &s.lists[place>>32%uint64(len(s.lists))]
}

// find returns the entry at a place, or nil.
func (s *cacheShard) find(place uint64) *cacheEntry {
	e := s.list(place).Load()
	for e != nil && e.place != place {
		e = e.next.Load()
	}
	return e
}

func (s *cacheShard) link(e *cacheEntry) {
	first := s.list(e.place)
	e.next.Store(first.Load())
	first.Store(e)
}

// unlink takes an entry out of its list. Its own link stays for readers that have come to it.
func (s *cacheShard) unlink(e *cacheEntry) {
	link := s.list(e.place)
	for link.Load() != e {
		link = &link.Load().next
	}
	link.Store(e.next.Load())
}

// evict makes room in a full ring, and returns the slot. The hand goes round once at most: readers take no lock, and may use
// what it has passed before it comes back.
func (s *cacheShard) evict(now time.Time) (slot int) {
	for i := 0; i < len(s.ring) && s.ring[s.hand].keep(now); i++ {
		s.hand = (s.hand + 1) % len(s.ring)
	}
	slot = s.hand
	s.unlink(s.ring[slot])
	s.hand = (s.hand + 1) % len(s.ring)
	return slot
}

// keep reports whether the clock's hand passes over e, once.
func (e *cacheEntry) keep(now time.Time) bool {
	return e.used.Swap(false) && now.UnixMilli() < e.until && (e.key == nil || !e.key.Withdrawn())
}

func (s *cacheShard) purge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lists {
		s.lists[i].Store(nil)
	}
	clear(s.ring)
	s.ring, s.hand = s.ring[:0], 0
}
