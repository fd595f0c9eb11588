package mcpauth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keyRefreshAge = 5 * time.Minute  // from here on, requests start a refresh in the background
	keyMaxAge     = 10 * time.Minute // from here on, they wait for it, unless the environment is known to be down
	keyStaleAge   = 24 * time.Hour   // from here on, the keys are used no more
	waitTimeout   = 5 * time.Second  // of a request
	fetchTimeout  = 10 * time.Second // of a fetch, which goes on for requests to come when those that waited have given up
	firstBackoff  = 2 * time.Second
	maxBackoff    = 30 * time.Second

	// Requests for unknown kids that wait at a time. Others get 503 at once, so that a flood of them costs no more than
	// this many goroutines; the fetch that they wait for is made in any case.
	maxWaiting = 1024
)

// A signingKey is one usable key of the environment. It keeps its identity across refreshes as long as the environment
// publishes it unchanged, so that what was verified with it can be tied to it.
type signingKey struct {
	id        string
	public    *rsa.PublicKey
	withdrawn atomic.Bool
}

// A keySnapshot is a key set as it was fetched. It is never changed after publication.
type keySnapshot struct {
	keys      map[string][]*signingKey
	fetchedAt time.Time
	fetch     uint64 // the number of the fetch that brought it
}

// A keySet holds the environment's keys.
//
// Readers take an atomic snapshot and never wait for one another. There is no standing goroutine: a request that finds
// the set old starts a bounded fetch in the background, and at most one is awaited at a time. jwx's own cache was not an
// option: it blocks readers during a refresh, has no timeout, and never looks again for a kid that it doesn't know.
type keySet struct {
	// fetch calls found with the keys, at most once, and may go on in the background after that. It returns an error when
	// there are none.
	fetch  func(ctx context.Context, found func(keysByID)) error
	now    func() time.Time // does not panic: see safeClock
	logger *slog.Logger

	snapshot  atomic.Pointer[keySnapshot] // nil until the first success
	refreshAt atomic.Int64                // milliseconds since 1970; keeps all but a few readers from the lock
	begun     atomic.Uint64               // fetches, which numbers them
	waiting   atomic.Int64                // requests for unknown kids

	mu          sync.Mutex
	flight      *keyFetch     // nil when none
	pace        fetchPace     // of fetches for unknown kids
	backoff     time.Duration // 0 after a success
	nextAttempt time.Time     // no fetch before it, while backoff > 0
}

// A keyFetch is one fetch in flight, shared by all who wait for it.
type keyFetch struct {
	number uint64
	done   chan struct{} // closed after err or the snapshot is set
	err    error
}

var (
	errCrowded  = errors.New("too many requests with unknown key ids wait already")
	errNotFound = errors.New("the fetch ended without keys")
)

// An unavailableError says that no key can be had now: the environment can't be reached, or it was asked for unknown kids
// so often that it is not asked again yet.
type unavailableError struct {
	retryAfter time.Duration
	cause      error
}

func (e *unavailableError) Error() string {
	return fmt.Sprintf("no usable signing key: %v", e.cause)
}

func (e *unavailableError) Unwrap() error { return e.cause }

// find returns the keys with the given id, of which there is at least one. The error is refuseKey when the environment
// has none, as a fetch showed that began after the call, and an *unavailableError when that can't be known now. It waits
// for waitTimeout at the most.
func (ks *keySet) find(ctx context.Context, kid string) ([]*signingKey, error) {
	now := ks.now()
	if snap := ks.snapshot.Load(); snap.usable(now) && !ks.due(now) {
		if keys := snap.keys[kid]; keys != nil {
			return keys, nil
		}
	}
	return ks.lookUp(ctx, kid)
}

// lookUp is find for a kid that is not known, or a set that is old. Whoever it is that asks, the environment is asked no
// more often than the pace allows. So a request waits for a fetch that is in flight, as that may bring the key, but was
// begun before and proves nothing if it doesn't; then for its turn, and for the next one.
func (ks *keySet) lookUp(ctx context.Context, kid string) ([]*signingKey, error) {
	asked := ks.begun.Load()
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for counted := false; ; {
		now := ks.now()
		seen := ks.snapshot.Load()
		if seen.usable(now) { // without a first set, every kid is unknown, and all wait for it
			if seen.keys[kid] == nil && !counted {
				counted = true
				defer ks.waiting.Add(-1)
				if ks.waiting.Add(1) > maxWaiting {
					return nil, &unavailableError{time.Second, errCrowded}
				}
			}
			seen = ks.freshened(ctx, now, seen)
			if keys := seen.keys[kid]; keys != nil {
				return keys, nil
			}
			if seen.fetch > asked {
				return nil, refuseKey
			}
		}
		fetch, pause, err := ks.startFor(now, seen)
		switch {
		case err != nil:
			return nil, err
		case fetch != nil:
			err = fetch.wait(ctx)
		case pause > 0:
			err = sleep(ctx, pause)
		}
		if err != nil {
			return nil, err
		}
	}
}

// believes reports whether what key has verified can still be believed. It never waits.
func (ks *keySet) believes(key *signingKey, now time.Time) bool {
	snap := ks.snapshot.Load()
	if key.withdrawn.Load() || !snap.usable(now) {
		return false
	}
	if ks.due(now) {
		ks.refreshBeside(now, snap)
	}
	return true
}

// usable reports whether there is a snapshot that may still be used.
func (snap *keySnapshot) usable(now time.Time) bool {
	return snap != nil && now.Sub(snap.fetchedAt) < keyStaleAge
}

// due reports whether it is time for a refresh, or the clock was set back and nothing is known about that.
func (ks *keySet) due(now time.Time) bool {
	wait := ks.refreshAt.Load() - now.UnixMilli()
	return wait <= 0 || wait > keyRefreshAge.Milliseconds()
}

// freshened starts a refresh when snap is old, waits for it when snap is very old, as after a quiet night, and returns
// the newest snapshot.
func (ks *keySet) freshened(ctx context.Context, now time.Time, snap *keySnapshot) *keySnapshot {
	veryOld := now.Sub(snap.fetchedAt) >= keyMaxAge
	if veryOld || ks.due(now) {
		if fetch := ks.refreshBeside(now, snap); fetch != nil && veryOld {
			_ = fetch.wait(ctx) // what there is goes on being used
		}
	}
	return ks.snapshot.Load()
}

// refreshBeside starts a fetch to replace seen, or joins one. It returns nil when seen is replaced already, and when the
// environment was down a moment ago: no request waits to see whether it still is.
func (ks *keySet) refreshBeside(now time.Time, seen *keySnapshot) *keyFetch {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.snapshot.Load() != seen {
		return nil
	}
	if ks.backoff == 0 {
		return ks.start(now)
	}
	if ks.flight == nil && !now.Before(ks.nextAttempt) {
		if pause := ks.pace.wait(time.Now()); pause > 0 {
			ks.refreshAt.Store(now.Add(pause).UnixMilli())
		} else {
			ks.start(now)
		}
	}
	return nil
}

// startFor starts a fetch for a kid that seen doesn't have, or joins one. Without a fetch and an error there is a newer
// set than seen already, or none may be started for the length of pause.
func (ks *keySet) startFor(now time.Time, seen *keySnapshot) (fetch *keyFetch, pause time.Duration, err error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	switch {
	case ks.snapshot.Load() != seen:
		return nil, 0, nil
	case ks.flight != nil:
	case ks.backoff > 0 && now.Before(ks.nextAttempt):
		return nil, 0, &unavailableError{ks.nextAttempt.Sub(now), errBackingOff}
	case seen.usable(now):
		// By the machine's clock and not by Config.Now: it is a matter of load, and the wall clock may be set back.
		if pause = ks.pace.wait(time.Now()); pause > 0 {
			return nil, pause, nil
		}
	}
	return ks.start(now), 0, nil
}

// start starts a fetch, or joins one. ks.mu is held.
func (ks *keySet) start(now time.Time) *keyFetch {
	if ks.flight == nil {
		ks.flight = &keyFetch{number: ks.begun.Add(1), done: make(chan struct{})}
		ks.pace.take(time.Now())
		ks.refreshAt.Store(now.Add(2 * fetchTimeout).UnixMilli()) // it is being done
		go ks.run(ks.flight)
	}
	return ks.flight
}

// run fetches, publishes and tells everyone who waits. Its time is bounded on its own: a client that gives up must not
// take the keys of all others with it.
func (ks *keySet) run(fetch *keyFetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	found := false
	err := ks.attempt(ctx, func(keys keysByID) {
		found = true
		ks.succeed(fetch, keys)
	})
	if found { // and what went wrong in the background after that costs nothing
		return
	}
	if err == nil {
		err = errNotFound
	}
	ks.fail(fetch, err)
}

// attempt makes an error of a panic: in a handler net/http would recover it, here it would end the program.
func (ks *keySet) attempt(ctx context.Context, found func(keysByID)) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return ks.fetch(ctx, found)
}

// succeed ends a fetch that brought keys.
func (ks *keySet) succeed(fetch *keyFetch, keys keysByID) {
	now := ks.now()
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.backoff = 0
	ks.publish(keys, now, fetch.number)
	ks.refreshAt.Store(now.Add(keyRefreshAge).UnixMilli())
	ks.flight = nil
	close(fetch.done)
}

// fail ends a fetch that brought none.
func (ks *keySet) fail(fetch *keyFetch, err error) {
	now := ks.now()
	ks.mu.Lock()
	ks.backoff = min(max(firstBackoff, 2*ks.backoff), maxBackoff)
	backoff := ks.backoff
	ks.nextAttempt = now.Add(backoff)
	ks.refreshAt.Store(ks.nextAttempt.UnixMilli())
	fetch.err = &unavailableError{backoff, err}
	ks.flight = nil
	close(fetch.done)
	ks.mu.Unlock()
	ks.logFailure(err, now, backoff)
}

// publish makes keys the current set, with the old signingKey wherever the key is the same.
func (ks *keySet) publish(keys keysByID, now time.Time, fetch uint64) {
	next := &keySnapshot{keys: make(map[string][]*signingKey, len(keys)), fetchedAt: now, fetch: fetch}
	var before map[string][]*signingKey
	if old := ks.snapshot.Load(); old != nil {
		before = old.keys
	}
	for kid, all := range keys {
		for _, public := range all {
			key := &signingKey{id: kid, public: public}
			for _, old := range before[kid] {
				if old.public.Equal(public) {
					key = old
				}
			}
			next.keys[kid] = append(next.keys[kid], key)
		}
	}
	ks.snapshot.Store(next)
	for kid, all := range before {
		for _, old := range all {
			if !slices.Contains(next.keys[kid], old) {
				old.withdrawn.Store(true)
			}
		}
	}
}

// wait waits for the end of the fetch, or of ctx, and returns its error.
func (fetch *keyFetch) wait(ctx context.Context) error {
	select {
	case <-fetch.done:
		return fetch.err
	default:
	}
	select {
	case <-fetch.done:
		return fetch.err
	case <-ctx.Done():
		return &unavailableError{firstBackoff, context.Cause(ctx)}
	}
}

// sleep waits for a fetch to be allowed, or for the end of ctx.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &unavailableError{firstBackoff, context.Cause(ctx)}
	}
}

// ready makes sure that there is a set, fetching it if need be. It waits for waitTimeout at the most.
func (ks *keySet) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for {
		now := ks.now()
		seen := ks.snapshot.Load()
		if seen.usable(now) {
			return nil
		}
		fetch, _, err := ks.startFor(now, seen)
		if err != nil {
			return err
		}
		if fetch != nil {
			return fetch.wait(ctx)
		}
	}
}

func (ks *keySet) logFailure(err error, now time.Time, backoff time.Duration) {
	attrs := []slog.Attr{
		slog.Any("error", err),
		slog.Duration("retry_in", backoff),
		slog.String("cure", "check SCALEKIT_ENVIRONMENT_URL, and that this machine reaches it"),
	}
	ctx := context.Background() // that of the fetch is over
	if snap := ks.snapshot.Load(); snap.usable(now) {
		age := now.Sub(snap.fetchedAt)
		attrs = append(attrs, slog.Duration("keys_age", age), slog.Duration("keys_usable_for", keyStaleAge-age))
		ks.logger.LogAttrs(ctx, slog.LevelWarn, "JWKS resolution failed; the keys from before stay in use", attrs...)
		return
	}
	ks.logger.LogAttrs(ctx, slog.LevelWarn, "JWKS resolution failed; no token can be verified", attrs...)
}
