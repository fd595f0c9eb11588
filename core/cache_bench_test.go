package mcpauth

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// BenchmarkCacheGet is the lookup alone, among 10,000 entries; bench/ measures cache libraries the same way.
func BenchmarkCacheGet(b *testing.B) {
	c, hashes := fullCache()
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if c.get(&hashes[i%len(hashes)], now) == nil {
			b.Fatal("a miss")
		}
	}
}

func BenchmarkCacheGetParallel(b *testing.B) {
	c, hashes := fullCache()
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if c.get(&hashes[i%len(hashes)], now) == nil {
				b.Error("a miss")
				return
			}
		}
	})
}

// BenchmarkCachePut pushes another token out each time.
func BenchmarkCachePut(b *testing.B) {
	c, hashes := fullCache()
	now, key := time.Now(), new(keys.Key)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		hash := hashes[i%len(hashes)]
		hash[31] = byte(i / len(hashes))
		c.put(&hash, nil, key, now, 0)
	}
}

func fullCache() (*tokenCache, []tokenHash) {
	c := newTokenCache(CacheConfig{MaxEntries: 20_000, MaxAge: time.Hour}) // shards are not equally full
	hashes := make([]tokenHash, 10_000)
	for i := range hashes {
		hashes[i] = sha256.Sum256([]byte(strconv.Itoa(i)))
		c.put(&hashes[i], new(Session), new(keys.Key), time.Now(), 0)
	}
	return c, hashes
}
