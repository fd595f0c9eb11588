// Package measure takes times and allocations.
package measure

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// A Row is one thing to measure.
type Row struct {
	Name string
	Run  func(n int) // does it n times
}

// A Result is what came of a row. Times are in nanoseconds for one operation.
type Result struct {
	Name          string
	Times         []float64 // of each round, in their order
	Allocs, Bytes float64
}

// Min returns the fastest round.
func (r *Result) Min() float64 { return slices.Min(r.Times) }

// Median returns the median of the rounds.
func (r *Result) Median() float64 { return Median(r.Times) }

// Median returns the median of some numbers.
func Median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Options say how to measure.
type Options struct {
	Rounds int
	Sample time.Duration // how long a row is run in each round, about
	Seed   uint64        // of the order in which the rows of a round are run
}

// Interleave measures all rows in each round, in an order of its own, so that whatever else the machine does meets all of
// them alike.
func Interleave(o Options, rows []Row) []Result {
	results := make([]Result, len(rows))
	sizes := make([]int, len(rows))
	for i, row := range rows {
		results[i].Name = row.Name
		sizes[i] = size(row.Run, o.Sample)
		results[i].Allocs, results[i].Bytes = Allocs(row.Run, min(sizes[i], 200))
	}
	order := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // an order, not a secret
	for range o.Rounds {
		for _, i := range order.Perm(len(rows)) {
			runtime.GC() // so that no row pays for the garbage of the one before
			start := time.Now()
			rows[i].Run(sizes[i])
			results[i].Times = append(results[i].Times, float64(time.Since(start))/float64(sizes[i]))
		}
	}
	return results
}

// size returns how many operations take about as long as wanted.
func size(run func(n int), wanted time.Duration) int {
	for n := 1; ; n *= 2 {
		start := time.Now()
		run(n)
		if took := time.Since(start); took > wanted/4 {
			return max(1, int(float64(n)*float64(wanted)/float64(took)))
		}
	}
}

// Allocs returns how many allocations, and bytes of them, an operation costs. Like testing.AllocsPerRun it uses one core
// and rounds down, so that what happens once, or in the background, does not count. It also keeps the garbage collector
// from emptying the pools meanwhile, and takes the least of some runs.
func Allocs(run func(n int), n int) (allocs, bytes float64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	run(n) // fills the pools
	for attempt := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(n)
		runtime.ReadMemStats(&after)
		a := float64((after.Mallocs - before.Mallocs) / uint64(n))       //nolint:gosec // n > 0
		b := float64((after.TotalAlloc - before.TotalAlloc) / uint64(n)) //nolint:gosec // n > 0
		if attempt == 0 {
			allocs, bytes = a, b
		}
		allocs, bytes = min(allocs, a), min(bytes, b)
	}
	return allocs, bytes
}
