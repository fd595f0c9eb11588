package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// BenchmarkCatchUp has a replica start behind a real server that holds 100,000 entries: as webhooks bring them, a message for
// each, and as few calls of Revoke do.
func BenchmarkCatchUp(b *testing.B) {
	const entries = 100_000
	for _, c := range []struct {
		name   string
		atOnce int
	}{{"one by one", 1}, {"10,000 at once", 10_000}} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, "--appendonly", "yes")
			filling := newReplica(b, s.client(nil), nil)
			fill(b, filling, entries, c.atOnce)
			for b.Loop() {
				r := newReplica(b, s.client(nil), nil)
				r.ready()
				if n := r.list.Len(); n != entries {
					b.Fatalf("%d entries", n)
				}
			}
		})
	}
}

// fill appends sessions to the store of a replica, so many at once.
func fill(b *testing.B, r *replica, entries, atOnce int) {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for {
				from := int(next.Add(int64(atOnce))) - atOnce
				if from >= entries {
					return
				}
				batch := make([]mcpauthrevocation.Entry, 0, atOnce)
				for i := from; i < from+atOnce; i++ {
					e := mcpauthrevocation.Session(fmt.Sprintf("ses_%018d", i))
					e.EventID = fmt.Sprintf("evt_%018d", i)
					batch = append(batch, e)
				}
				if err := r.list.Revoke(context.Background(), batch...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}
