package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	window      = 100 * time.Millisecond // of hits, in each round, under each condition
	unknownKids = 1000
	answerDelay = window / 2 // of the environment, for each of the two documents that a refresh takes

	refreshAge = 5*time.Minute + time.Second // older keys are refreshed
	backoff    = 31 * time.Second            // longer than the library ever waits after a failure
)

// A condition is what goes on while one caller's hits are timed.
type condition struct {
	name, what string
	begin      func(*stage) (end func())
}

// A stage is a resource server with a token in its cache, a clock that can be moved, and its environment.
type stage struct {
	rs     *mcpauth.ResourceServer
	env    *mcpauthtest.Environment
	offset atomic.Int64
	kids   []mcpauth.Request

	unavailable atomic.Bool // the environment did not answer in time: this machine is too busy to measure on
}

func (st *stage) now() time.Time { return time.Now().Add(time.Duration(st.offset.Load())) }

func (st *stage) moveClock(to time.Duration) { st.offset.Store(int64(to)) }

// every calls do in a goroutine of its own until the returned function is called.
func every(interval time.Duration, do func(i int)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for i := 0; ; i++ {
			do(i)
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

var conditions = []condition{
	{"idle", "nothing else", func(*stage) func() { return func() {} }},
	{"a key refresh", "the keys are old, and a refresh is under way for the whole time, because the environment takes long", func(st *stage) func() {
		st.env.SetDelay(answerDelay)
		st.moveClock(refreshAge)
		return func() { st.env.SetDelay(0) }
	}},
	{"outage, refused", "the environment refuses connections; an attempt starts and fails every 30 ms, in life every 2 to 30 s", func(st *stage) func() {
		st.env.Stop()
		stop := every(30*time.Millisecond, func(i int) { st.moveClock(refreshAge + backoff*time.Duration(min(i, 8))) })
		return func() { stop(); st.env.Start() }
	}},
	{"outage, hanging", "the environment takes connections and does not answer; an attempt hangs all the time", func(st *stage) func() {
		st.env.SetDelay(2 * window)
		st.moveClock(refreshAge)
		return func() { st.env.SetDelay(0) }
	}},
	{"1,000 unknown kids", "1,000 requests with as many unknown kids arrive at once; they wait for the same refetch, and are refused", func(st *stage) func() {
		st.env.SetDelay(answerDelay / 2)
		var wg sync.WaitGroup
		for _, request := range st.kids {
			wg.Go(func() {
				switch d := st.rs.Authenticate(context.Background(), request); d.Outcome {
				case mcpauth.OutcomeInvalidToken:
				case mcpauth.OutcomeUnavailable:
					st.unavailable.Store(true)
				default:
					panic(d.Outcome)
				}
			})
		}
		return func() { wg.Wait(); st.env.SetDelay(0) }
	}},
}

// A percentiles row is p50, p99, p99.9 and the longest, in nanoseconds.
type percentiles [4]float64

var errBusy = errors.New("the environment, or the measured caller, both part of this program, did not get their turn; is the machine overloaded?")

// contention measures how long a hit takes while the library is busy with something else.
func contention(s *session) error {
	kids := make([]mcpauth.Request, 0, unknownKids)
	for i := range unknownKids { // the signature does not matter, because there is no key to check it with
		header := fmt.Appendf(nil, `{"alg":"RS256","kid":"snk_unknown_%d","typ":"JWT"}`, i)
		kids = append(kids, fixture.Request(s.fixture.Env.Mint(mcpauthtest.Token{RawHeader: header, Claims: s.fixture.Claims(i)})))
	}
	// Used again in each window: memory that was never written to would be a page fault every 1,024 hits, which is
	// just what p99.9 looks at.
	samples := make([]uint32, window/(50*time.Nanosecond))
	for i := range samples {
		samples[i] = 1
	}
	rounds := make([][]percentiles, len(conditions))
	fetches := make([]int, len(conditions))
	for round := range 3 * s.options.Rounds { // what is looked for is at the edge of what the machine does
		for i := range conditions {
			i := (i + round) % len(conditions)
			p, fetched, err := s.timeHits(conditions[i], kids, samples)
			for attempt := 0; errors.Is(err, errBusy) && attempt < 5; attempt++ {
				p, fetched, err = s.timeHits(conditions[i], kids, samples)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", conditions[i].name, err)
			}
			rounds[i] = append(rounds[i], p)
			fetches[i] += fetched
		}
	}
	s.contentionTable(rounds, fetches)
	return nil
}

// timeHits times single hits for one window, in the memory of times, and counts the fetches of keys that reached the
// environment meanwhile.
func (s *session) timeHits(c condition, kids []mcpauth.Request, times []uint32) (p percentiles, fetched int, err error) {
	st := &stage{env: s.fixture.Env, kids: kids}
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	st.rs, err = s.fixture.ResourceServer(func(cfg *mcpauth.Config) {
		cfg.Now = st.now
		cfg.Cache.MaxAge = 10 * time.Minute // the clock is moved while the token is in the cache
		cfg.HTTPClient = client
	})
	if err != nil {
		return p, 0, errors.Join(errBusy, err)
	}
	hit := fixture.Request(s.fixture.Token)
	if d := st.rs.Authenticate(context.Background(), hit); d.Outcome != mcpauth.OutcomeAllowed {
		return p, 0, fmt.Errorf("outcome %s", d.Outcome)
	}
	times = times[:0]
	fetched = -st.env.Requests(mcpauthtest.KeysPath)
	runtime.GC()
	start := time.Now()
	end := c.begin(st)
	for last := time.Now(); last.Sub(start) < window && len(times) < cap(times); {
		if d := st.rs.Authenticate(context.Background(), hit); d.Outcome != mcpauth.OutcomeAllowed {
			end()
			return p, 0, fmt.Errorf("outcome %s", d.Outcome)
		}
		now := time.Now()
		times = append(times, uint32(min(now.Sub(last), math.MaxUint32))) //nolint:gosec // bounded
		last = now
	}
	end()
	if st.unavailable.Load() || len(times) == 0 { // something else had the cores for the whole window
		return p, 0, errBusy
	}
	fetched += st.env.Requests(mcpauthtest.KeysPath)
	slices.Sort(times)
	at := func(share float64) float64 { return float64(times[int(share*float64(len(times)-1))]) }
	return percentiles{at(0.5), at(0.99), at(0.999), at(1)}, fetched, nil
}

func (s *session) contentionTable(rounds [][]percentiles, fetches []int) {
	s.printf("## Hits while something else goes on\n\nOne caller's hits, timed one by one for %s under each condition, in turns, %d rounds; each figure is the median of the\n"+
		"rounds, and \"x idle\" that of the ratios within a round. The load is the library's own work and nothing else, on the same %d cores, with a resource server of its own for each\n"+
		"window; the environment is another part of the same program, behind a socket. The clock that the library is given is moved, so\n"+
		"that keys get old. \"Fetches\" is how many reached the environment in a window. A window holds some 100,000 hits: p99.9 is the\n"+
		"100th slowest, which is where the interrupts of the machine begin, of which a socket in use makes some more.\n\n", window, len(rounds[0]), runtime.GOMAXPROCS(0))
	for _, c := range conditions {
		s.printf("- *%s*: %s.\n", c.name, c.what)
	}
	s.printf("\n")
	median := func(i, which int) float64 {
		var values []float64
		for _, p := range rounds[i] {
			values = append(values, p[which])
		}
		return measure.Median(values)
	}
	beyondIdle := func(i int) float64 {
		var ratios []float64
		for round, p := range rounds[i] {
			ratios = append(ratios, p[2]/rounds[0][round][2])
		}
		return measure.Median(ratios)
	}
	table := measure.Table{Head: []string{"a hit while", "p50 us", "p99 us", "p99.9 us", "longest us", "p99.9, x idle", "fetches"}}
	worst := 0.0
	for i, c := range conditions {
		r := beyondIdle(i)
		worst = max(worst, r)
		table.Add(c.name, measure.Micro(median(i, 0)), measure.Micro(median(i, 1)), measure.Micro(median(i, 2)), measure.Micro(median(i, 3)),
			fmt.Sprintf("%.2f", r), fmt.Sprintf("%.1f", float64(fetches[i])/float64(len(rounds[i]))))
	}
	table.Print(s.out)
	s.target("p99.9 of a hit under contention, the worst against idle", "< 2.00", fmt.Sprintf("%.2f", worst), worst < 2)
}
