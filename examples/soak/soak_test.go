// Package soak runs fiber and net/http for a long time, with keys that rotate, an environment that comes and goes, and
// clients that disconnect. It looks for wrong identities, refusals without a reason, and anything that grows.
//
//	MCPAUTH_SOAK=5m go test -count=1 -timeout 20m -v ./examples/soak
package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
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

// A target is one server.
type target struct {
	name     string
	url      string
	shutDown func(context.Context) error
	streams  atomic.Int64 // handlers that are streaming
	fresh    chan *token  // the server has not accepted their key yet, so these may wait for it
	known    chan *token
}

// A key is a signing key and its state. The arrays are by target.
type key struct {
	*mcpauthtest.Key
	retired, withdrawn atomic.Bool
	accepted           [2]atomic.Bool
}

// A verdict is what a server has to decide about a token.
type verdict int

const (
	good  verdict = iota
	dying         // good at first, expires soon
	expired
	forged   // signed by another key, under a published kid
	stranger // a kid that was never published
)

type token struct {
	text, subject string
	key           *key // nil for a stranger
	verdict       verdict
	counted       atomic.Bool
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

type serveFunc func(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) (shutDown func(context.Context) error)

func (s *soak) newTarget(name string, serve serveFunc) *target {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := s.env.Config("http://" + listener.Addr().String())
	cfg.Cache.MaxEntries = cacheSize
	cfg.ClockSkew = time.Second
	rs, err := mcpauth.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	g := &target{name: name, url: rs.Resource(), fresh: make(chan *token, 64), known: make(chan *token, 256)}
	g.shutDown = serve(listener, rs, http.HandlerFunc(g.echo))
	return g
}

func serveHTTP(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) func(context.Context) error {
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener) //nolint:errcheck // it ends with Shutdown
	return server.Shutdown
}

func serveFiber(listener net.Listener, rs *mcpauth.ResourceServer, handler http.Handler) func(context.Context) error {
	app := fiber.New(fiber.Config{
		ReadBufferSize: 32 << 10, StreamRequestBody: true, IdleTimeout: 2 * time.Minute, DisableStartupMessage: true,
	})
	mcpauthfiber.Mount(app, rs, handler)
	go app.Listener(listener) //nolint:errcheck // it ends with Shutdown
	return app.ShutdownWithContext
}

// echo answers with the caller and the request's body, in one piece or as a stream of lines.
func (g *target) echo(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	line := session.UserID() + " " + string(body) + "\n"
	if r.Header.Get("X-Stream") == "" {
		_, _ = io.WriteString(w, line)
		return
	}
	g.streams.Add(1)
	defer g.streams.Add(-1)
	for range streamLines {
		if _, err := io.WriteString(w, line); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(streamPause):
		}
	}
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

// mint makes tokens at an even pace, and gives each to both servers.
func (s *soak) mint(ctx context.Context) {
	var lastStranger time.Time
	for ticker := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		due := int(float64(s.total) * min(1, float64(time.Since(s.begin))/float64(s.duration-time.Second)))
		due = min(due, int(s.minted.Load())+20) // catch up slowly after an outage
		for int(s.minted.Load()) < due {
			v := good
			switch n := rand.IntN(100); {
			case n < 5:
				v = dying
			case n < 12:
				v = expired
			case n < 20:
				v = forged
			case time.Since(lastStranger) > 100*time.Second && time.Since(s.begin) > 25*time.Second:
				// Strangers are rare, because after each one new keys have to wait for some seconds.
				v, lastStranger = stranger, time.Now()
			}
			s.offer(s.sign(v))
		}
	}
}

func (s *soak) sign(v verdict) *token {
	tk := &token{verdict: v, subject: fmt.Sprint("usr_", s.minted.Add(1))}
	s.mu.Lock()
	tk.key = s.keys[len(s.keys)-1]
	if old := s.keys[rand.IntN(len(s.keys))]; rand.IntN(3) == 0 && !old.retired.Load() {
		tk.key = old
	}
	s.mu.Unlock()
	mint := mcpauthtest.Token{Key: tk.key.Key, Claims: map[string]any{"sub": tk.subject, "exp": time.Now().Add(10 * time.Minute).Unix()}}
	switch v {
	case dying:
		mint.Claims["exp"] = time.Now().Add(3 * time.Second).Unix()
	case expired:
		mint.Claims["exp"] = time.Now().Add(-time.Minute).Unix()
	case forged:
		mint.Key, mint.Header = s.forger, map[string]any{"kid": tk.key.ID()}
	case stranger:
		mint.Key, tk.key = s.forger, nil
	}
	tk.text = s.env.Mint(mint)
	return tk
}

func (s *soak) offer(tk *token) {
	for i, g := range s.targets {
		to := g.fresh
		if tk.key != nil && tk.key.accepted[i].Load() {
			to = g.known
		}
		select {
		case to <- tk:
		default:
			s.dropped.Add(1) // the channel is full
		}
	}
	if tk.verdict == stranger {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pool) < poolSize {
		s.pool = append(s.pool, tk)
		return
	}
	s.pool[s.next] = tk
	s.next = (s.next + 1) % poolSize
}

func (s *soak) work(ctx context.Context, i int, from <-chan *token) {
	for {
		select {
		case <-ctx.Done():
			return
		case tk := <-from:
			s.send(i, tk, false)
		}
	}
}

// reuse sends tokens of the pool whose keys the server knows. Some of the requests are streams.
func (s *soak) reuse(ctx context.Context, i int) {
	for ticker := time.Tick(reusePause); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		s.mu.Lock()
		var tk *token
		if len(s.pool) > 0 {
			tk = s.pool[rand.IntN(len(s.pool))]
		}
		s.mu.Unlock()
		if tk != nil && !tk.key.retired.Load() && tk.key.accepted[i].Load() {
			s.send(i, tk, rand.IntN(10) == 0)
		}
	}
}

// send sends one request, and compares the response with the token's verdict.
func (s *soak) send(i int, tk *token, stream bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	known := tk.key != nil && tk.key.accepted[i].Load()
	body := fmt.Sprint("request-", s.requests.Add(1), strings.Repeat("-", rand.IntN(4096)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.targets[i].url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+tk.text)
	lines, hangUp := 1, false
	if stream {
		req.Header.Set("X-Stream", "1")
		if lines, hangUp = streamLines, rand.IntN(2) == 0; hangUp {
			lines = 1 + rand.IntN(3)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.mistake(&s.broken, i, tk, "no answer: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if !tk.counted.Swap(true) {
		s.distinct.Add(1)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		s.allowed.Add(1)
		r := bufio.NewReaderSize(resp.Body, 8<<10)
		for range lines {
			line, err := r.ReadString('\n')
			switch {
			case err != nil && tk.verdict == dying && stream: // a stream ends with its token
			case err != nil:
				s.mistake(&s.broken, i, tk, "the answer breaks off: %v", err)
			case line != tk.subject+" "+body+"\n":
				s.mistake(&s.wrong, i, tk, "the answer of another request: %.60q", line)
			default:
				continue
			}
			return
		}
		if tk.verdict > dying {
			s.mistake(&s.admitted, i, tk, "a bad token is accepted")
			return
		}
		tk.key.accepted[i].Store(true)
		switch {
		case hangUp:
			s.hungUp.Add(1)
			return // and leaves the stream unread
		case stream:
			s.streamed.Add(1)
		}
	case resp.StatusCode == http.StatusUnauthorized:
		s.refused.Add(1)
		switch {
		case tk.verdict != good || tk.key.withdrawn.Load():
		case known:
			s.mistake(&s.denied, i, tk, "a good token is refused")
		default:
			s.early.Add(1) // refused by a fetch that began before its key was published
		}
	case resp.StatusCode == http.StatusServiceUnavailable && (!known || tk.key.withdrawn.Load()):
		s.unavailable.Add(1)
	default:
		s.mistake(&s.failed, i, tk, "status %d", resp.StatusCode)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

func (s *soak) mistake(count *atomic.Int64, i int, tk *token, format string, args ...any) {
	if count.Add(1) <= 5 {
		s.t.Errorf("%s: %s, %s, verdict %d: %s", s.elapsed(), s.targets[i].name, tk.subject, tk.verdict, fmt.Sprintf(format, args...))
	}
}

func (s *soak) elapsed() time.Duration { return time.Since(s.begin).Round(100 * time.Millisecond) }

// rotate makes new keys sign, and withdraws old ones.
func (s *soak) rotate(ctx context.Context) {
	for {
		if !pause(ctx, rotateEvery-retireAhead) {
			return
		}
		s.mu.Lock()
		if len(s.keys) > 2 {
			s.keys[0].retired.Store(true)
		}
		s.mu.Unlock()
		if !pause(ctx, retireAhead) {
			return
		}
		fresh := &key{Key: s.env.Keys().Rotate()}
		s.mu.Lock()
		s.keys = append(s.keys, fresh)
		if old := s.keys[0]; old.retired.Load() {
			s.keys = s.keys[1:]
			old.withdrawn.Store(true) // set early, so that no refusal counts as a mistake
			s.env.Keys().Withdraw(old.Key)
		}
		s.mu.Unlock()
	}
}

// disturb stops the environment and slows it down, also while keys rotate.
func (s *soak) disturb(ctx context.Context) {
	defer s.env.SetDelay(0)
	for {
		if !pause(ctx, 18*time.Second) {
			return
		}
		s.env.Stop()
		on := pause(ctx, 4*time.Second)
		s.restart()
		if !on || !pause(ctx, 16*time.Second) {
			return
		}
		s.env.SetDelay(400 * time.Millisecond) // slow enough to notice
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(0)
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(3 * time.Second) // too slow for the servers
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(0)
		if !pause(ctx, 7*time.Second) {
			return
		}
	}
}

// restart starts the environment. It tries again while a client's connection occupies the port.
func (s *soak) restart() {
	for range 100 {
		func() {
			defer func() {
				if v := recover(); v != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}()
			s.env.Start()
		}()
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

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

func (s *soak) counts() string {
	return fmt.Sprintf("%d tokens, %d requests: %d allowed, %d refused (%d good ones under a key not learned yet), %d unavailable, %d streams, %d hung up; wrong %d, admitted %d, denied %d, failed %d, broken %d",
		s.distinct.Load(), s.requests.Load(), s.allowed.Load(), s.refused.Load(), s.early.Load(), s.unavailable.Load(), s.streamed.Load(), s.hungUp.Load(),
		s.wrong.Load(), s.admitted.Load(), s.denied.Load(), s.failed.Load(), s.broken.Load())
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

func mean(samples []sample) (m sample) {
	n := float64(len(samples))
	for _, x := range samples {
		m.heap += x.heap / n
		m.goroutines += x.goroutines / n
		m.descriptors += x.descriptors / n
	}
	return m
}
