package operations_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

const shards = 4

var inADay = time.Now().Add(24 * time.Hour).Unix()

// number returns a number from an environment variable.
func number(t testing.TB, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// inShards opens labs, and calls try for each number of a message with one of them, several at a time. MCPAUTH_SEED repeats a
// run, or chooses another; MCPAUTH_BODIES makes it longer.
func inShards[L any](t *testing.T, open func(t *testing.T) L, try func(t *testing.T, lab L, seed, i uint64), closing func(t *testing.T, lab L)) (bodies int) {
	t.Helper()
	seed, n := number(t, "MCPAUTH_SEED", 20_260_728), number(t, "MCPAUTH_BODIES", 20_000)
	t.Logf("MCPAUTH_SEED=%d MCPAUTH_BODIES=%d", seed, n)
	t.Run("shards", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(strconv.FormatUint(shard, 10), func(t *testing.T) {
				t.Parallel()
				lab := open(t)
				for i := shard; i < n; i += shards {
					try(t, lab, seed, i)
				}
				closing(t, lab)
			})
		}
	})
	return int(n)
}

// TestWhatIsCheckedIsWhatRuns tries messages, good ones and ones that are broken in up to three ways.
func TestWhatIsCheckedIsWhatRuns(t *testing.T) {
	t.Parallel()
	sum := &summary{counts: make([]count, len(kinds)), seen: make(map[string]int)}
	bodies := inShards(t, func(t *testing.T) *lab { return newLab(t) }, sum.tryOne, func(t *testing.T, l *lab) {
		l.finish(t)
		l.close(t)
		sum.add(l)
	})
	sum.report(t, bodies)
}

type summary struct {
	mu                               sync.Mutex
	counts                           []count
	refusedBodies, longBodies        int
	deniedBodies, passedBodies, good int
	seen                             map[string]int // by mutation
}

func (sum *summary) tryOne(t *testing.T, l *lab, seed, i uint64) {
	t.Helper()
	names, m := generate(seed, i)
	v := l.try(t, m)
	sum.mu.Lock()
	defer sum.mu.Unlock()
	for _, name := range names {
		sum.seen[name]++
	}
	if len(names) == 0 {
		sum.good++
		if !v.readable {
			t.Errorf("a good message is refused: %q", m.body)
		}
	}
}

func random(seed, i uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, i)) }

// generate makes message number i. It depends only on its arguments.
func generate(seed, i uint64) (names []string, m *message) {
	d := newDraft(random(seed, i))
	names = d.mutate()
	return names, d.build()
}

// mutate applies up to three mutations, and returns their names.
func (d *draft) mutate() (names []string) {
	for range []int{0, 1, 1, 1, 1, 1, 2, 2, 2, 3}[d.r.IntN(10)] {
		m := pick(d.r, mutations)
		m.apply(d)
		names = append(names, m.name)
	}
	return names
}

func (sum *summary) add(l *lab) {
	sum.mu.Lock()
	defer sum.mu.Unlock()
	for i, c := range l.counts {
		sum.counts[i].ran += c.ran
		sum.counts[i].guarded += c.guarded
		sum.counts[i].passed += c.passed
		sum.counts[i].spared += c.spared
	}
	sum.longBodies += l.tooLong
	sum.refusedBodies += l.refused
	sum.deniedBodies += l.denied
	sum.passedBodies += l.passed
}

// report checks that enough messages made a server do something.
func (sum *summary) report(t *testing.T, bodies int) {
	t.Helper()
	t.Logf("%d bodies, %d of them as clients send them: %d refused, of these %d for their length; %d with operations, %d without",
		bodies, sum.good, sum.refusedBodies, sum.longBodies, sum.deniedBodies, sum.passedBodies)
	if sum.longBodies == 0 {
		t.Error("no body was too long")
	}
	for i, c := range sum.counts {
		t.Logf("%-30s %5d bodies ran something, %5d something guarded, %4d of them refused with 400 or 413; behind the check %5d ran",
			kinds[i].name, c.ran, c.guarded, c.spared, c.passed)
		if c.ran < bodies/15 || c.guarded < bodies/25 || c.passed < bodies/50 || c.spared == 0 {
			t.Errorf("%s: too few bodies did something for the comparison to mean anything", kinds[i].name)
		}
	}
	for _, m := range mutations {
		if sum.seen[m.name] < bodies/1000 {
			t.Errorf("%s: made %d times", m.name, sum.seen[m.name])
		}
	}
}
