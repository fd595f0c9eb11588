// Package soak runs fiber and net/http for a long time, with keys that rotate, an environment that comes and goes, and
// clients that disconnect. It looks for wrong identities, refusals without a reason, and anything that grows.
//
//	MCPAUTH_SOAK=5m go test -count=1 -timeout 20m -v ./examples/soak
package soak

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const (
	mostTokens  = 50_000 // in fullTime or more; proportionally fewer in less time
	fullTime    = 5 * time.Minute
	sampleEvery = 10 * time.Second

	rotateEvery = 10 * time.Second      // a key is withdrawn two rotations after it was replaced
	retireAhead = time.Second           // a key's tokens are no longer used this long before it is withdrawn
	poolSize    = 2000                  // tokens in use at a time
	cacheSize   = 2000                  // small, so that the caches are soon full and evict
	reusePause  = 40 * time.Millisecond // of each worker that uses tokens again
	streamLines = 10
	streamPause = 20 * time.Millisecond

	// How much heap, goroutines and descriptors may differ by chance, in addition to 30 %.
	heapNoise, goroutineNoise, descriptorNoise = 4 << 20, 150, 150

	// How much heap may be in use at the end: the pool and two caches, however many requests there were.
	heapLeft = 16 << 20

	// fasthttp keeps one goroutine permanently, and another one for 10 s.
	leftovers = 2
)

func TestSoak(t *testing.T) {
	value := os.Getenv("MCPAUTH_SOAK")
	if value == "" {
		t.Skip("to run it, call make soak, or set MCPAUTH_SOAK to a duration such as 5m")
	}
	duration, err := time.ParseDuration(value)
	if err != nil || duration < 5*time.Second {
		t.Fatalf("MCPAUTH_SOAK=%s is not a duration of 5s or more; set one such as 5m", value)
	}
	before := measure()
	s := newSoak(t, duration)
	s.run()
	s.stop()
	s.judge(before)
}

type soak struct {
	t        *testing.T
	duration time.Duration
	begin    time.Time
	total    int
	env      *mcpauthtest.Environment
	forger   *mcpauthtest.Key
	targets  [2]*target
	client   *http.Client

	mu   sync.Mutex
	keys []*key // published ones, the newest last
	pool []*token
	next int // index of the next one to replace in the pool

	samples []sample

	minted, dropped, distinct, requests, allowed, refused, early, unavailable, streamed, hungUp atomic.Int64
	wrong, admitted, denied, failed, broken                                                     atomic.Int64 // each counts mistakes
}

func newSoak(t *testing.T, duration time.Duration) *soak {
	s := &soak{
		t: t, duration: duration, begin: time.Now(),
		total:  int(mostTokens * min(1, duration.Seconds()/fullTime.Seconds())),
		env:    mcpauthtest.NewEnvironment(),
		forger: mcpauthtest.NewKey("snk_forger"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}},
	}
	s.keys = []*key{{Key: s.env.Keys().Current()}}
	s.targets = [2]*target{s.newTarget("net/http", serveHTTP), s.newTarget("fiber", serveFiber)}
	return s
}

// run runs the soak to its end.
func (s *soak) run() {
	ctx, cancel := context.WithTimeout(s.t.Context(), s.duration)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.mint(ctx) })
	wg.Go(func() { s.rotate(ctx) })
	wg.Go(func() { s.disturb(ctx) })
	wg.Go(func() { s.sample(ctx) })
	for i, g := range s.targets {
		for range 64 {
			wg.Go(func() { s.work(ctx, i, g.fresh) })
		}
		for range 8 {
			wg.Go(func() { s.work(ctx, i, g.known) })
			wg.Go(func() { s.reuse(ctx, i) })
		}
	}
	wg.Wait()
}

// stop ends servers, clients and environment.
func (s *soak) stop() {
	s.client.CloseIdleConnections()
	for _, g := range s.targets {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := g.shutDown(ctx); err != nil {
			s.t.Errorf("%s does not shut down: %v", g.name, err)
		}
		cancel()
		if n := g.streams.Load(); n != 0 {
			s.t.Errorf("%s: %d handlers still stream after their clients have gone", g.name, n)
		}
	}
	s.env.Close()
}

func (s *soak) judge(before sample) {
	s.t.Logf("summary: %s of %d minted, %d not sent to one of the two; %s", s.elapsed(), s.minted.Load(), s.dropped.Load(), s.counts())
	if n := s.distinct.Load(); n < int64(s.total)*9/10 {
		s.t.Errorf("only %d of %d tokens were used: this machine is too slow", n, s.total)
	}
	if s.allowed.Load() < s.requests.Load()/4 || s.streamed.Load() == 0 || s.hungUp.Load() == 0 {
		s.t.Error("too few requests were allowed for a result")
	}

	// Nothing may grow: the last third is compared with the first, once caches and pools are full.
	if steady := s.samples[min(len(s.samples), max(2, len(s.samples)/5)):]; len(steady) >= 2 {
		third := max(1, len(steady)/3)
		first, last := mean(steady[:third]), mean(steady[len(steady)-third:])
		s.t.Logf("first third: %v", first)
		s.t.Logf("last third:  %v", last)
		for _, c := range []struct {
			what               string
			first, last, noise float64
		}{
			{"heap", first.heap, last.heap, heapNoise},
			{"goroutines", first.goroutines, last.goroutines, goroutineNoise},
			{"descriptors", first.descriptors, last.descriptors, descriptorNoise},
		} {
			if c.last > 1.3*c.first+c.noise {
				s.t.Errorf("%s grows: from %.0f to %.0f", c.what, c.first, c.last)
			}
		}
	}

	var after sample
	for range 150 { // a fetch may be under way for 5 s
		if after = measure(); after.goroutines <= before.goroutines+leftovers && after.descriptors <= before.descriptors+leftovers {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Logf("before: %v; after: %v", before, after)
	if after.heap > before.heap+heapLeft {
		s.t.Error("too much of the heap is in use at the end")
	}
	if after.goroutines > before.goroutines+leftovers || after.descriptors > before.descriptors+leftovers {
		s.t.Error("goroutines or descriptors are left at the end")
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	}
}

func (s *soak) counts() string {
	return fmt.Sprintf("%d tokens, %d requests: %d allowed, %d refused (%d good ones under a key not learned yet), %d unavailable, %d streams, %d hung up; wrong %d, admitted %d, denied %d, failed %d, broken %d",
		s.distinct.Load(), s.requests.Load(), s.allowed.Load(), s.refused.Load(), s.early.Load(), s.unavailable.Load(), s.streamed.Load(), s.hungUp.Load(),
		s.wrong.Load(), s.admitted.Load(), s.denied.Load(), s.failed.Load(), s.broken.Load())
}

func (s *soak) elapsed() time.Duration { return time.Since(s.begin).Round(100 * time.Millisecond) }

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
