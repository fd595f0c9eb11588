// Package keys finds, fetches and keeps the signing keys of a Scalekit environment, and says which of them made a signature.
package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	refreshAge = 5 * time.Minute  // past this age, a request triggers a background refresh
	maxAge     = 10 * time.Minute // past this age, requests wait for the refresh, unless the environment is known to be down
	staleAge   = 24 * time.Hour   // past this age, the keys are not used any more

	waitTimeout = 5 * time.Second // how long a request waits

	// maxWaiting is how many requests for unknown kids may wait at a time. The others get 503 at once, so that a flood costs
	// at most this many goroutines; the fetch is made in any case.
	maxWaiting = 1024
)

// ErrUnknown is the error of [Set.Find] when no key of the environment has the id.
var ErrUnknown = errors.New("no key of the environment has this id")

var errCrowded = errors.New("too many requests with unknown key ids are waiting")

// An Unavailable error says that keys can't be had now: the environment can't be reached, or it was asked for unknown kids
// so often that it is not asked again yet.
type Unavailable struct {
	RetryAfter time.Duration // how long to wait before asking again
	Cause      error         // for the log only: it may hold addresses of the environment
}

// Error says that there is no usable key, and why.
func (e *Unavailable) Error() string {
	return fmt.Sprintf("no usable signing key: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Cause }

// A Set holds the environment's keys. It is safe for concurrent use.
//
// Readers take an atomic snapshot and never wait for each other. No goroutine runs permanently: a request that finds the set
// old starts a bounded fetch in the background, and a request awaits at most one fetch at a time. jwx's own cache doesn't
// fit: it blocks readers during a refresh, has no timeout, and never looks again for a kid that it doesn't know.
type Set struct {
	// fetch calls found with the keys, at most once, and may go on in the background after that. It returns an error when
	// there are none.
	fetch  func(ctx context.Context, found func(keysByID)) error
	now    func() time.Time
	logger *slog.Logger

	snapshot  atomic.Pointer[snapshot] // nil until the first success
	refreshAt atomic.Int64             // milliseconds since 1970; before it, readers don't take mu
	begun     atomic.Uint64            // how many fetches have begun; numbers them
	waiting   atomic.Int64             // requests for unknown kids

	mu          sync.Mutex
	flight      *flight       // the fetch that is running, or nil
	pace        pace          // of fetches for unknown kids
	backoff     time.Duration // 0 after a success
	nextAttempt time.Time     // no fetch starts before it, while backoff > 0
}

// New returns a set of the keys of source. It does no I/O: the keys are fetched when they are first needed.
func New(source Source) *Set {
	return &Set{fetch: newDiscovery(source).fetch, now: source.Now, logger: source.Logger}
}

// Find returns the keys with the given id, at least one. The error is [ErrUnknown] when a fetch that began after the call
// shows that the environment has no such key, and an *[Unavailable] when that can't be found out now. Find waits at most 5
// s.
func (set *Set) Find(ctx context.Context, kid string) (Candidates, error) {
	now := set.now()
	if snap := set.snapshot.Load(); snap.usable(now) && !set.due(now) {
		if keys := snap.keys[kid]; keys != nil {
			return keys, nil
		}
	}
	return set.lookUp(ctx, kid)
}

// Trusts reports whether a token that key has verified can still be accepted: at the last fetch the environment still
// published the key, and that fetch is less than a day old. It never waits; when the keys are old, it starts a fetch in the
// background.
func (set *Set) Trusts(key *Key, now time.Time) bool {
	snap := set.snapshot.Load()
	if key.withdrawn.Load() || !snap.usable(now) {
		return false
	}
	if set.due(now) {
		set.refreshInBackground(now, snap)
	}
	return true
}

// Ready returns nil when there are usable keys, and fetches them first if needed. It waits at most 5 s.
func (set *Set) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for {
		now := set.now()
		seen := set.snapshot.Load()
		if seen.usable(now) {
			return nil
		}
		fetch, _, err := set.startFor(now, seen)
		if err != nil {
			return err
		}
		if fetch != nil {
			return fetch.wait(ctx)
		}
	}
}

// lookUp is Find for a kid that is not known, or for an old set. However many requests ask, the environment is asked no more
// often than the pace allows. A request first waits for the fetch in flight, if there is one: that may bring the key, but
// proves nothing if it doesn't, because it began before the request. Then the request waits for its turn, and for the next
// fetch.
func (set *Set) lookUp(ctx context.Context, kid string) (Candidates, error) {
	asked := set.begun.Load()
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for counted := false; ; {
		now := set.now()
		seen := set.snapshot.Load()
		if seen.usable(now) { // before the first set every kid is unknown, and all requests wait for it
			if seen.keys[kid] == nil && !counted {
				counted = true
				defer set.waiting.Add(-1)
				if set.waiting.Add(1) > maxWaiting {
					return nil, &Unavailable{time.Second, errCrowded}
				}
			}
			seen = set.freshened(ctx, now, seen)
			if keys := seen.keys[kid]; keys != nil {
				return keys, nil
			}
			if seen.fetch > asked {
				return nil, ErrUnknown
			}
		}
		fetch, pause, err := set.startFor(now, seen)
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

// due reports whether it is time for a refresh. That includes a clock that was set back, since the age is not known then.
func (set *Set) due(now time.Time) bool {
	wait := set.refreshAt.Load() - now.UnixMilli()
	return wait <= 0 || wait > refreshAge.Milliseconds()
}

// freshened returns the newest snapshot. When snap is old it starts a refresh, and when snap is very old, as after a quiet
// night, it waits for that.
func (set *Set) freshened(ctx context.Context, now time.Time, snap *snapshot) *snapshot {
	veryOld := now.Sub(snap.fetchedAt) >= maxAge
	if veryOld || set.due(now) {
		if fetch := set.refreshInBackground(now, snap); fetch != nil && veryOld {
			_ = fetch.wait(ctx) // if it fails, snap stays in use
		}
	}
	return set.snapshot.Load()
}
