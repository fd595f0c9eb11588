package main

import (
	"context"
	"crypto/sha256"

	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const cachedTokens = 2000 // that come by turn by turn

type tokenKey [sha256.Size]byte

// An entry is what a library's cache would hold for a token.
type entry struct{ _ *mcpauth.Session }

// caches measures what a hit would cost with a cache library: the SHA-256 of a token and a lookup, and nothing of the rest of
// a hit (headers, clock, expiry, the key that signed it).
func caches(s *session) error {
	tokens := s.fixture.Tokens(cachedTokens)
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return err
	}
	requests := make([]mcpauth.Request, len(tokens))
	for i, token := range tokens {
		requests[i] = fixture.Request(token)
	}
	ours := func(n int) {
		for i := range n {
			if d := rs.Authenticate(context.Background(), requests[i%len(requests)]); d.Outcome != mcpauth.OutcomeAllowed {
				panic(d.Outcome)
			}
		}
	}
	texts := make([][]byte, len(tokens))
	for i, token := range tokens {
		texts[i] = []byte(token)
	}
	const size = 10_000
	golangLRU, err := lru.New[tokenKey, *entry](size)
	if err != nil {
		return err
	}
	otterCache, err := otter.New(&otter.Options[tokenKey, *entry]{MaximumSize: size})
	if err != nil {
		return err
	}
	ristrettoCache, err := ristretto.NewCache(&ristretto.Config[[]byte, *entry]{NumCounters: 10 * size, MaxCost: size, BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		return err
	}
	defer ristrettoCache.Close()
	for _, text := range texts {
		key := tokenKey(sha256.Sum256(text))
		golangLRU.Add(key, new(entry))
		otterCache.Set(key, new(entry))
		ristrettoCache.Set(key[:], new(entry), 1)
		ristrettoCache.Wait()
	}
	through := func(get func(tokenKey) bool) func(n int) {
		return func(n int) {
			for i := range n {
				if !get(sha256.Sum256(texts[i%len(texts)])) {
					panic("a miss")
				}
			}
		}
	}
	withLRU := through(func(key tokenKey) bool { _, ok := golangLRU.Get(key); return ok })
	withOtter := through(func(key tokenKey) bool { _, ok := otterCache.GetIfPresent(key); return ok })
	withRistretto := through(func(key tokenKey) bool { _, ok := ristrettoCache.Get(key[:]); return ok })
	hash := through(func(tokenKey) bool { return true })
	results := measure.Interleave(s.options, []measure.Row{
		{Name: "SHA-256 of the token alone", Run: hash},
		{Name: "and a lookup in hashicorp/golang-lru v2", Run: withLRU},
		{Name: "and a lookup in maypok86/otter v2", Run: withOtter},
		{Name: "and a lookup in dgraph-io/ristretto v2", Run: withRistretto},
		{Name: "mcpauth, the whole hit", Run: ours},
		{Name: "SHA-256, all cores", Run: onAllCores(hash)},
		{Name: "golang-lru, all cores", Run: onAllCores(withLRU)},
		{Name: "otter, all cores", Run: onAllCores(withOtter)},
		{Name: "ristretto, all cores", Run: onAllCores(withRistretto)},
		{Name: "mcpauth, the whole hit, all cores", Run: onAllCores(ours)},
	})
	s.printf("## Cache libraries\n\nWhat a hit would cost with a library's cache: the SHA-256 of the token and a lookup, turn by turn through %d tokens, compared with our whole hit,\n"+
		"which also reads headers and clock, and looks at the token's times and key. The SHA-256 is most of each but ours, which proves by a MAC that a token is the one it knows.\n\n", cachedTokens)
	table := measure.Table{Head: []string{"a token that was seen before", "min us", "median us", "B/op", "allocs"}}
	for _, r := range results {
		table.Add(r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs))
	}
	table.Print(s.out)
	return nil
}
