package mcpauth

import "context"

// WithoutCache returns rs without a cache. It shares the keys with rs, so that both know the same at any time.
func WithoutCache(rs *ResourceServer) *ResourceServer {
	res := *rs.resource
	res.cache = nil
	return res.requiring(rs.required)
}

// Settle waits for the end of a key fetch in flight, and returns an identity of the key set.
func Settle(rs *ResourceServer) any { return rs.keys.Settle() }

// Unpace forgets how often the environment was asked for unknown kids.
func Unpace(rs *ResourceServer) { rs.keys.Unpace() }

// CacheLen returns the number of cached tokens.
func CacheLen(rs *ResourceServer) (n int) {
	for i := range rs.cache.shards {
		s := rs.cache.shards[i].Load()
		if s == nil {
			continue
		}
		for j := range s.lists {
			for e := s.lists[j].Load(); e != nil; e = e.next.Load() {
				n++
			}
		}
	}
	return n
}

// SharePlace has the cache look for the token other where token is, as if they had the same hash.
func SharePlace(rs *ResourceServer, token, other string) { rs.cache.share(token, other) }

// OpenExchanges returns how many responses wait for their end.
func OpenExchanges(rs *ResourceServer) int {
	rs.clock.mu.Lock()
	defer rs.clock.mu.Unlock()
	return len(rs.clock.open)
}

// WatchedResponses returns how many open responses Config.Revocation may end.
func WatchedResponses(rs *ResourceServer) (n int) {
	for i := range rs.live.shards {
		s := &rs.live.shards[i]
		s.mu.Lock()
		n += len(s.open)
		s.mu.Unlock()
	}
	return n
}

// ReplyOf returns what a metadata route answers.
func ReplyOf(route *MetadataRoute, method string) *Reply {
	return route.reply(context.Background(), method)
}
