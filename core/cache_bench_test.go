package mcpauth

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// BenchmarkCacheGet is the lookup alone, among 10,000 entries; bench/ measures cache libraries the same way.
func BenchmarkCacheGet(b *testing.B) {
	c, tokens := fullCache(b)
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if c.get(tokens[i%len(tokens)], now) == nil {
			b.Fatal("a miss")
		}
	}
}

func BenchmarkCacheGetParallel(b *testing.B) {
	c, tokens := fullCache(b)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if c.get(tokens[i%len(tokens)], now) == nil {
				b.Error("a miss")
				return
			}
		}
	})
}

// BenchmarkCachePut pushes another token out each time.
func BenchmarkCachePut(b *testing.B) {
	c, tokens := fullCache(b)
	now, key := time.Now(), new(keys.Key)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.put(tokens[i%len(tokens)]+strconv.Itoa(i), nil, key, now, 0)
	}
}

// fullCache returns a cache and the tokens in it, which are as long as those of Scalekit.
func fullCache(b *testing.B) (*tokenCache, []string) {
	b.Helper()
	c, err := newTokenCache(CacheConfig{MaxEntries: 20_000, MaxAge: time.Hour}) // shards are not equally full
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, 10_000)
	for i := range tokens {
		tokens[i] = strings.Repeat("A", 900) + strconv.Itoa(i)
		c.put(tokens[i], new(Session), new(keys.Key), time.Now(), 0)
	}
	return c, tokens
}
