package mcpauthrevocation_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// fill adds n sessions to a list.
func fill(b testing.TB, list *mcpauthrevocation.List, n int) {
	const atOnce = 10_000
	for from := 0; from < n; from += atOnce {
		entries := make([]mcpauthrevocation.Entry, 0, atOnce)
		for i := from; i < min(from+atOnce, n); i++ {
			e := mcpauthrevocation.Session(fmt.Sprintf("ses_%018d", i))
			e.EventID = fmt.Sprintf("evt_%018d", i)
			entries = append(entries, e)
		}
		revoke(b, list, entries...)
	}
}

// BenchmarkCheck asks about 1,000 sessions in turn that are not revoked. With "changing", an entry comes before each check,
// so that all is looked up again; its own time is not counted.
func BenchmarkCheck(b *testing.B) {
	for _, entries := range []int{0, 10_000, 1_000_000} {
		list, _ := newList(b, mcpauthrevocation.Config{})
		fill(b, list, entries)
		var checks []func() error
		for i := range 1000 {
			checks = append(checks, list.Watch(mcpauthtest.NewSession(m{"sid": fmt.Sprintf("ses_x%d", i), "sub": fmt.Sprintf("usr_%d", i), "jti": fmt.Sprintf("tkn_%d", i), "oid": "org_1"})))
		}
		b.Run(fmt.Sprintf("%d entries", entries), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := checks[i%len(checks)](); err != nil {
					b.Fatal(err)
				}
			}
		})
		n := 0
		b.Run(fmt.Sprintf("%d entries, changing", entries), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				n++
				revoke(b, list, mcpauthrevocation.Session(fmt.Sprintf("ses_n%d_%d", n, time.Now().UnixNano())))
				b.StartTimer()
				for _, check := range checks {
					if err := check(); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(checks)), "ns/check")
		})
	}
}

// BenchmarkCatchUp follows a store with 100,000 entries.
func BenchmarkCatchUp(b *testing.B) {
	store := mcpauthrevocation.NewMemoryStore(24 * time.Hour)
	filling, _ := newList(b, mcpauthrevocation.Config{Store: store})
	fill(b, filling, 100_000)
	for b.Loop() {
		newList(b, mcpauthrevocation.Config{Store: store})
	}
}

// TestMemoryOfAMillion has a million entries in at most 100 MB, and checks that allocate nothing.
func TestMemoryOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	memory := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := memory()
	list, _ := newList(t, mcpauthrevocation.Config{})
	fill(t, list, 1_000_000)
	took := float64(memory()-before) / 1e6
	t.Logf("%d entries take %.0f MB", list.Len(), took)
	if took > 100 {
		t.Errorf("%d entries take %.0f MB", list.Len(), took)
	}
	check := list.Watch(mcpauthtest.NewSession(nil))
	if allocations := testing.AllocsPerRun(100, func() { _ = check() }); allocations > 0 {
		t.Errorf("a check makes %v allocations", allocations)
	}
	_ = list.Ready(context.Background())
}
