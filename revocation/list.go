package mcpauthrevocation

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A List knows what was revoked. It is a [mcpauth.Revocation], and safe for concurrent use.
type List struct {
	cfg     Config
	secrets [][]byte

	entries *table
	recent  recent

	notReady   atomic.Pointer[mcpauth.StaleError] // nil once Run has caught up
	lastAnswer atomic.Pointer[time.Time]          // of the store that had no more

	writing sync.Mutex // serializes writers of entries

	running  atomic.Bool
	position Position // of Run alone
	lost     bool     // of Run alone: what the list holds has to be appended again

	mu          sync.Mutex
	subscribers []func()
	announced   bool // a goroutine is about to call them
	announcing  sync.Mutex
}

// New returns the list that cfg describes, or every mistake in it, as an errors.Join of *[mcpauth.ConfigError]. It does no
// I/O: until [List.Run] has read the store, requests are refused with 503.
func New(cfg Config) (*List, error) {
	secrets, err := cfg.normalize()
	if err != nil {
		return nil, err
	}
	l := &List{cfg: cfg, secrets: secrets, entries: newTable()}
	l.notReady.Store(errNotRunning)
	return l, nil
}

// The reasons for 503.
var (
	errNotRunning = &mcpauth.StaleError{
		Cause: "the revocation list is not running", RetryAfter: time.Second,
		Cure: "call go list.Run(ctx) when the server starts, with a context that ends when the server does",
	}
	errCatchingUp = &mcpauth.StaleError{
		Cause: "the revocation list has not caught up with its store", RetryAfter: time.Second,
		Cure: "nothing to do if it lasts for seconds; otherwise see the log for errors of the store",
	}
	errStale = &mcpauth.StaleError{
		Cause: "the revocation store has not answered, or not with all it has, for longer than MaxStaleness", RetryAfter: 2 * time.Second,
		Cure: "see the log for errors of the store, and make it reachable; or raise MaxStaleness, which is how long a revoked session may go on while it is away",
	}
)

// Revoke adds entries. They are in force on this replica at once, and on the others within a second. It returns nil when
// the store has made them durable; after an error, call it again with the same entries until it succeeds. An entry without At
// is of now.
//
// Nothing is revoked when one of the entries is not valid.
func (l *List) Revoke(ctx context.Context, entries ...Entry) error {
	now := l.cfg.Now()
	revoked := make([]Entry, len(entries))
	for i, e := range entries {
		if e.At.IsZero() || e.isAbsolute() && e.At.Before(now) && e.At.Unix() >= 0 {
			e.At = now // for how long it is kept: its token or session may have been issued since
		}
		if err := e.check(now); err != nil {
			return err
		}
		e.At = e.At.UTC()
		revoked[i] = e
	}
	if len(revoked) == 0 {
		return nil
	}
	l.apply(revoked)
	if err := l.cfg.Store.Append(ctx, revoked); err != nil {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "revocation is in force on this replica alone", slog.Any("entries", names(revoked)),
			slog.Any("error", err), slog.String("cure", "make the store reachable, and revoke again"))
		return err
	}
	l.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "revoked", slog.Any("entries", names(revoked)), slog.String("event_id", revoked[0].EventID))
	return nil
}

func names(entries []Entry) []string {
	shown := make([]string, 0, min(len(entries), 10))
	for _, e := range entries[:cap(shown)] {
		shown = append(shown, e.String())
	}
	if len(entries) > len(shown) {
		shown = append(shown, "...")
	}
	return shown
}

// apply puts entries into force here.
func (l *List) apply(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	changed := false
	l.writing.Lock()
	for i := range entries {
		if hash, added := l.entries.add(&entries[i]); added {
			l.recent.add(hash)
			changed = true
		}
	}
	l.writing.Unlock()
	if changed {
		l.announce()
	}
}

// Subscribe has the list call changed when sessions may have become refused ([mcpauth.Revocation]).
func (l *List) Subscribe(changed func()) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subscribers = append(l.subscribers, changed)
}

// announce calls the subscribers on another goroutine. Calls that come before it has begun are joined.
func (l *List) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.announced || len(l.subscribers) == 0 {
		return
	}
	l.announced = true
	go func() {
		l.announcing.Lock()
		defer l.announcing.Unlock()
		l.mu.Lock()
		l.announced = false
		subscribers := l.subscribers
		l.mu.Unlock()
		for _, changed := range subscribers {
			changed()
		}
	}()
}

// Ready returns nil when the list is up to date, and why it refuses requests otherwise. It is for readiness probes. A store
// that has a method Ready is asked, too.
func (l *List) Ready(ctx context.Context) error {
	if err := l.unready(); err != nil {
		return err
	}
	if store, ok := l.cfg.Store.(interface {
		Ready(ctx context.Context) error
	}); ok {
		return store.Ready(ctx)
	}
	return nil
}

// unready returns why nothing can be said of a session, or nil. The age of the store's last answer is measured by the wall
// clock, too: the monotonic one stops while a machine sleeps.
func (l *List) unready() error {
	if err := l.notReady.Load(); err != nil {
		return err
	}
	if l.cfg.MaxStaleness < 0 {
		return nil
	}
	last, now := l.lastAnswer.Load(), l.cfg.Now()
	age := now.Sub(*last)
	wall := time.Duration(now.UnixNano() - last.UnixNano())
	if max(age, wall, -wall) > l.cfg.MaxStaleness {
		return errStale
	}
	return nil
}

// Run follows the store until ctx ends, and returns the reason. Without it, all requests are refused with 503: call it on a
// goroutine of its own when the server starts. A store that fails is asked again after at most half a second. A second Run
// at the same time returns an error at once.
func (l *List) Run(ctx context.Context) error {
	if l.running.Swap(true) {
		return errors.New("mcpauthrevocation: the list is running already; call Run once")
	}
	defer l.running.Store(false)
	l.notReady.Store(errCatchingUp)
	defer func() {
		l.notReady.Store(errNotRunning)
		l.announce()
	}()
	watching, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { l.watchStore(watching) })
	defer done.Wait()
	defer stop()
	wait, logged := firstWait, time.Time{}
	for {
		began := time.Now()
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Since(logged) > logEvery || logged.IsZero() {
			logged = time.Now()
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the revocation store failed", slog.Any("error", err),
				slog.String("cure", "make the store reachable; what is known stays in force, and the store is asked again by itself"))
		}
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
		}
		wait = min(2*wait, lastWait)
	}
}

const (
	firstWait = 50 * time.Millisecond
	lastWait  = 500 * time.Millisecond

	logEvery = time.Minute // the failures of one outage are many
)

// follow follows the store once, and mends it first if it has lost what this list holds.
func (l *List) follow(ctx context.Context) error {
	if l.lost {
		if err := l.appendAll(ctx); err != nil {
			return err
		}
		l.lost = false
	}
	err := l.cfg.Store.Follow(ctx, l.position, l.take)
	if errors.Is(err, ErrPastLost) {
		l.position, l.lost = "", true
	}
	return err
}

// take puts what the store says into force. It is called on the goroutine of Run alone.
func (l *List) take(batch Batch) {
	good := batch.Entries
	for i := range batch.Entries {
		if err := batch.Entries[i].checkForm(); err != nil { // of another version: it can't be put into force
			good = l.usable(batch.Entries)
			break
		}
	}
	l.apply(good)
	l.position = batch.Position
	if !batch.CaughtUp { // what comes after it may be as old as the silence before
		return
	}
	now := l.cfg.Now()
	l.lastAnswer.Store(&now)
	if l.notReady.Load() != nil {
		l.notReady.Store(nil)
		l.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the revocation list is up to date", slog.Int64("entries", l.entries.count.Load()))
	}
}

func (l *List) usable(entries []Entry) (good []Entry) {
	for i := range entries {
		err := entries[i].checkForm()
		if err == nil {
			good = append(good, entries[i])
			continue
		}
		l.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "an entry of the revocation store can't be put into force", slog.Any("error", err),
			slog.String("cure", "let all replicas use the same version of mcpauthrevocation"))
	}
	return good
}

// appendAll appends what the list holds to a store that has lost it. Entries may be there several times.
func (l *List) appendAll(ctx context.Context) (err error) {
	const atOnce = 500
	batch := make([]Entry, 0, atOnce)
	flush := func() bool {
		if len(batch) > 0 {
			err = l.cfg.Store.Append(ctx, batch)
			batch = make([]Entry, 0, atOnce)
		}
		return err == nil
	}
	l.writing.Lock()
	oldest := l.oldest()
	var held []Entry
	l.entries.each(func(e Entry) bool {
		if e.At.Unix() >= oldest {
			held = append(held, e)
		}
		return true
	})
	l.writing.Unlock()
	for _, e := range held {
		if batch = append(batch, e); len(batch) == atOnce && !flush() {
			return err
		}
	}
	flush()
	l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the revocation store had lost its past; what this replica holds was appended again",
		slog.Int("entries", len(held)), slog.Any("error", err),
		slog.String("cure", "find out why the store lost its data; what was revoked while no replica was running is lost"))
	return err
}

// oldest returns the first second whose entries still count.
func (l *List) oldest() int64 {
	return l.cfg.Now().Add(-l.cfg.MaxTokenLife - l.cfg.ClockSkew).Unix()
}

// watchStore says when the store falls silent and when it is back, and forgets old entries.
func (l *List) watchStore(ctx context.Context) {
	tick := time.NewTicker(min(pulse, minStaleness/4))
	defer tick.Stop()
	stale, forgotten := false, l.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := errors.Is(l.unready(), errStale)
		switch {
		case now && !stale:
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "requests are refused", slog.String("cause", errStale.Cause), slog.String("cure", errStale.Cure))
			l.announce()
		case !now && stale:
			l.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the revocation store answers again")
		}
		stale = now
		if at := l.cfg.Now(); at.Sub(forgotten) > l.cfg.MaxTokenLife/24 {
			forgotten = at
			l.writing.Lock()
			l.entries.forget(l.oldest())
			l.writing.Unlock()
		}
	}
}

// Len returns how many entries are in force, for metrics.
func (l *List) Len() int { return int(l.entries.count.Load()) }
