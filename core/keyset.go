package mcpauth

import (
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keyRefreshAge = 5 * time.Minute  // from here on, requests start a refresh beside themselves
	keyMaxAge     = 10 * time.Minute // from here on, they wait for it, unless the environment is known to be down
	keyStaleAge   = 24 * time.Hour   // from here on, the keys are used no more
	fetchTimeout  = 5 * time.Second  // of discovery and keys together
	coolDown      = 30 * time.Second // after a refetch that did not bring the key it was made for
	firstBackoff  = 2 * time.Second
	maxBackoff    = 30 * time.Second
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
	keys      map[string]*signingKey
	fetchedAt time.Time
}

// A keySet holds the environment's keys.
//
// Readers take an atomic snapshot and never wait for one another. There is no standing goroutine: a request that finds
// the set old starts a bounded fetch beside itself, and at most one is in flight. jwx's own cache was not an option: it
// blocks readers during a refresh, has no timeout, and never looks again for a kid that it doesn't know.
type keySet struct {
	fetch  func(ctx context.Context) (map[string]*rsa.PublicKey, error)
	now    func() time.Time
	logger *slog.Logger

	snapshot  atomic.Pointer[keySnapshot] // nil until the first success
	refreshAt atomic.Int64                // milliseconds since 1970; keeps all but a few readers from the lock

	mu          sync.Mutex
	flight      *keyFetch     // nil when none
	backoff     time.Duration // 0 after a success
	nextAttempt time.Time     // no fetch before it, while backoff > 0
	coolUntil   time.Time     // no refetch for an unknown kid before it
}

// A keyFetch is one fetch in flight, shared by all who wait for it.
type keyFetch struct {
	wanted string        // the kid that it was started for, or ""
	done   chan struct{} // closed after err and the snapshot are set
	err    error
}

// An unavailableError says that no key can be had now, because the environment can't be reached.
type unavailableError struct {
	retryAfter time.Duration
	cause      error
}

func (e *unavailableError) Error() string {
	return fmt.Sprintf("no usable signing key: %v", e.cause)
}

func (e *unavailableError) Unwrap() error { return e.cause }

// find returns the key with the given id. It is refuseKey when the environment has no such key, and an
// *unavailableError when that can't be known now. It waits for fetchTimeout at the most.
func (ks *keySet) find(ctx context.Context, kid string) (*signingKey, error) {
	now := ks.now()
	if snap := ks.snapshot.Load(); snap.usable(now) && !ks.due(now) {
		if key := snap.keys[kid]; key != nil {
			return key, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	// A fetch that was in flight already may be older than kid, so one that was joined and lacks it proves nothing:
	// look again. The second look starts a fetch of its own, or finds the cool-down of somebody else's.
	for {
		now := ks.now()
		seen := ks.snapshot.Load()
		if seen.usable(now) {
			seen = ks.freshened(ctx, now, seen)
			if key := seen.keys[kid]; key != nil {
				return key, nil
			}
		}
		fetch, mine, err := ks.startFor(kid, now, seen)
		switch {
		case err != nil:
			return nil, err
		case fetch == nil:
			continue
		}
		if err := fetch.wait(ctx); err != nil {
			return nil, err
		}
		if key := ks.snapshot.Load().keys[kid]; key != nil {
			return key, nil
		}
		if mine {
			return nil, refuseKey
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
// environment was down a moment ago: nobody waits to see whether it still is.
func (ks *keySet) refreshBeside(now time.Time, seen *keySnapshot) *keyFetch {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.snapshot.Load() != seen {
		return nil
	}
	if ks.backoff > 0 {
		if ks.flight == nil && !now.Before(ks.nextAttempt) {
			ks.start("", now)
		}
		return nil
	}
	fetch, _ := ks.start("", now)
	return fetch
}

// startFor starts a fetch for a kid that seen doesn't have, or joins one; mine says which. Without a fetch and an error
// there is a newer set than seen.
func (ks *keySet) startFor(kid string, now time.Time, seen *keySnapshot) (fetch *keyFetch, mine bool, err error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	switch {
	case ks.snapshot.Load() != seen:
		return nil, false, nil
	case ks.flight != nil:
	case ks.backoff > 0 && now.Before(ks.nextAttempt):
		return nil, false, &unavailableError{ks.nextAttempt.Sub(now), errBackingOff}
	case now.Before(ks.coolUntil):
		return nil, false, refuseKey
	}
	fetch, mine = ks.start(kid, now)
	return fetch, mine, nil
}

// start starts a fetch, or joins one. ks.mu is held.
func (ks *keySet) start(wanted string, now time.Time) (fetch *keyFetch, mine bool) {
	if ks.flight != nil {
		return ks.flight, false
	}
	fetch = &keyFetch{wanted: wanted, done: make(chan struct{})}
	ks.flight = fetch
	ks.refreshAt.Store(now.Add(2 * fetchTimeout).UnixMilli()) // it is being done
	go ks.run(fetch)
	return fetch, true
}

// run fetches, publishes and tells everyone who waits. Its time is bounded on its own: a client that gives up must not
// take the keys of all others with it.
func (ks *keySet) run(fetch *keyFetch) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	keys, err := ks.attempt(ctx)
	now := ks.now()
	backoff := ks.conclude(fetch, keys, err, now)
	if err != nil {
		ks.logFailure(err, now, backoff)
	}
}

// attempt makes an error of a panic in the user's http.Client: in a handler net/http would recover it, here it would end
// the program.
func (ks *keySet) attempt(ctx context.Context) (keys map[string]*rsa.PublicKey, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return ks.fetch(ctx)
}

// conclude ends a fetch, and returns for how long none will be started when it failed.
func (ks *keySet) conclude(fetch *keyFetch, keys map[string]*rsa.PublicKey, err error, now time.Time) (backoff time.Duration) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if err != nil {
		ks.backoff = min(max(firstBackoff, 2*ks.backoff), maxBackoff)
		ks.nextAttempt = now.Add(ks.backoff)
		ks.refreshAt.Store(ks.nextAttempt.UnixMilli())
		fetch.err = &unavailableError{ks.backoff, err}
	} else {
		ks.backoff = 0
		ks.publish(keys, now)
		ks.refreshAt.Store(now.Add(keyRefreshAge).UnixMilli())
		if _, found := keys[fetch.wanted]; fetch.wanted != "" && !found {
			ks.coolUntil = now.Add(coolDown)
		}
	}
	ks.flight = nil
	close(fetch.done)
	return ks.backoff
}

// publish makes keys the current set, with the old signingKey wherever the key is the same.
func (ks *keySet) publish(keys map[string]*rsa.PublicKey, now time.Time) {
	next := &keySnapshot{keys: make(map[string]*signingKey, len(keys)), fetchedAt: now}
	var before map[string]*signingKey
	if old := ks.snapshot.Load(); old != nil {
		before = old.keys
	}
	for kid, public := range keys {
		if old := before[kid]; old != nil && old.public.Equal(public) {
			next.keys[kid] = old
		} else {
			next.keys[kid] = &signingKey{id: kid, public: public}
		}
	}
	ks.snapshot.Store(next)
	for kid, old := range before {
		if next.keys[kid] != old {
			old.withdrawn.Store(true)
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

// ready makes sure that there is a set, fetching it if need be. It waits for fetchTimeout at the most.
func (ks *keySet) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	for {
		now := ks.now()
		seen := ks.snapshot.Load()
		if seen.usable(now) {
			return nil
		}
		fetch, _, err := ks.startFor("", now, seen)
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
