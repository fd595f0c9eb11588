package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	cacheEntries = 10_000 // the default
	streamed     = 30_000 // distinct tokens in the stream
	megabyte     = 1_000_000
)

// memory measures what a full cache holds, and that more tokens do not make it hold more.
func memory(s *session) error {
	tokens := s.fixture.Tokens(streamed)
	requests := make([]mcpauth.Request, len(tokens))
	for i, token := range tokens {
		requests[i] = fixture.Request(token)
	}
	rs, err := s.fixture.ResourceServer(nil)
	if err != nil {
		return err
	}
	before := heap()
	var at []float64
	for i := range requests {
		if d := rs.Authenticate(context.Background(), requests[i]); d.Outcome != mcpauth.OutcomeAllowed {
			return fmt.Errorf("token %d: %s", i, d.Outcome)
		}
		if (i+1)%(cacheEntries/2) == 0 {
			at = append(at, heap()-before)
		}
	}
	rs.PurgeCache()
	purged := heap() - before
	runtime.KeepAlive(requests)

	s.printf("## Memory\n\nThe heap in use after a garbage collection, beyond what was in use before the first token, while %s distinct tokens of\n"+
		"%d bytes come by, which were signed beforehand, with the default cache of %s entries. An entry is a session, the claims\n"+
		"as they were signed, and a hash and a MAC of the token.\n\n",
		measure.Count(streamed), fixture.TokenBytes, measure.Count(cacheEntries))
	table := measure.Table{Head: []string{"tokens seen", "MB"}}
	for i, bytes := range at {
		table.Add(measure.Count(float64((i+1)*cacheEntries/2)), fmt.Sprintf("%.2f", bytes/megabyte))
	}
	table.Add("after PurgeCache", fmt.Sprintf("%.2f", purged/megabyte))
	table.Print(s.out)
	// The shards are not filled evenly: some have room after as many tokens as the cache has entries.
	full, once := slices.Max(at), at[1]
	s.target("memory of 10,000 sessions", "<= 10 MB", fmt.Sprintf("%.2f MB", full/megabyte), full <= 10*megabyte)
	s.target("memory after 20,000 more, against 10,000", "<= 1.10", fmt.Sprintf("%.2f", full/once), full <= 1.1*once)
	return resources(s)
}

// resources measures what many resources of one environment cost: the fetches of keys, and the memory of each.
func resources(s *session) error {
	const count, kilobyte = 1000, 1000
	shared, token := new(mcpauth.SharedKeys), fixture.Request(s.fixture.Token)
	fetches := s.fixture.Env.Requests(mcpauthtest.KeysPath)
	kept := make([]*mcpauth.ResourceServer, count)
	before := heap()
	for i := range kept {
		cfg := s.fixture.Config()
		cfg.SharedKeys, cfg.OmitRootMetadata, cfg.Path = shared, true, fmt.Sprintf("/tenant-%d/mcp", i)
		rs, err := mcpauth.New(cfg)
		if err != nil {
			return err
		}
		kept[i] = rs
	}
	idle := (heap() - before) / count
	for _, rs := range kept {
		if d := rs.Authenticate(context.Background(), token); d.Outcome != mcpauth.OutcomeAllowed {
			return fmt.Errorf("a resource of many: %s", d.Outcome)
		}
	}
	used := (heap() - before) / count
	fetches = s.fixture.Env.Requests(mcpauthtest.KeysPath) - fetches
	runtime.KeepAlive(kept)

	s.printf("\n%s resources of one environment with the same SharedKeys, each with its own metadata: %.1f KB each, and %.1f KB each\n"+
		"after one token.\n\n", measure.Count(count), idle/kilobyte, used/kilobyte)
	s.target("1,000 resources of one environment: fetches of the keys", "1", fmt.Sprint(fetches), fetches == 1)
	s.target("1,000 resources of one environment: memory of each, after one token", "<= 10 KB", fmt.Sprintf("%.1f KB", used/kilobyte), used <= 10*kilobyte)
	return nil
}

// heap returns the bytes in use.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what the first one put aside for the pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
