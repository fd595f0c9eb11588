package soak

import (
	"context"
	"fmt"
	"os"
	"runtime"
)

// A sample is how much the process uses.
type sample struct{ heap, goroutines, descriptors float64 }

func measure() sample {
	runtime.GC()
	runtime.GC() // frees what the first one left in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, _ := os.ReadDir("/proc/self/fd") // empty on systems other than Linux
	return sample{float64(m.HeapInuse), float64(runtime.NumGoroutine()), float64(len(open))}
}

func (m sample) String() string {
	return fmt.Sprintf("heap %.1f MiB, %.0f goroutines, %.0f descriptors", m.heap/(1<<20), m.goroutines, m.descriptors)
}

func (s *soak) sample(ctx context.Context) {
	for pause(ctx, sampleEvery) {
		now := measure()
		s.samples = append(s.samples, now)
		s.t.Logf("%6s: %v; %s", s.elapsed(), now, s.counts())
	}
}

func mean(samples []sample) (m sample) {
	n := float64(len(samples))
	for _, x := range samples {
		m.heap += x.heap / n
		m.goroutines += x.goroutines / n
		m.descriptors += x.descriptors / n
	}
	return m
}
