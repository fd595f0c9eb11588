// Package keys holds the keys of an environment: where they are published, when they are fetched, and which of them signed
// something.
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
	refreshAge = 5 * time.Minute  // past this age, requests start a refresh in the background
	maxAge     = 10 * time.Minute // past this age, they wait for it, unless the environment is known to be down
	staleAge   = 24 * time.Hour   // past this age, the keys are not used any more

	waitTimeout = 5 * time.Second // of a request

	// Requests for unknown kids that wait at a time. Others get 503 at once, so that a flood of them costs no more than
	// this many goroutines; the fetch that they wait for is made in any case.
	maxWaiting = 1024
)

// ErrUnknown is the error of [Set.Find] for an id that the environment has no key with.
var ErrUnknown = errors.New("no key of the environment has this id")

var errCrowded = errors.New("too many requests with unknown key ids wait already")

// An Unavailable error says that no key can be had now: the environment can't be reached, or it was asked for unknown kids
// so often that it is not asked again yet.
type Unavailable struct {
	RetryAfter time.Duration // when it is worth to ask again
	Cause      error         // for the log: it may hold addresses of the environment
}

// Error says that there is no key, and why.
func (e *Unavailable) Error() string {
	return fmt.Sprintf("no usable signing key: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Cause }

// A Set holds the environment's keys. It is safe for concurrent use.
//
// Readers take an atomic snapshot and never wait for one another. There is no standing goroutine: a request that finds
// the set old starts a bounded fetch in the background, and at most one is awaited at a time. jwx's own cache was not an
// option: it blocks readers during a refresh, has no timeout, and never looks again for a kid that it doesn't know.
type Set struct {
	// fetch calls found with the keys, at most once, and may go on in the background after that. It returns an error when
	// there are none.
	fetch  func(ctx context.Context, found func(keysByID)) error
	now    func() time.Time
	logger *slog.Logger

	snapshot  atomic.Pointer[snapshot] // nil until the first success
	refreshAt atomic.Int64             // milliseconds since 1970; keeps all but a few readers from the lock
	begun     atomic.Uint64            // fetches, which numbers them
	waiting   atomic.Int64             // requests for unknown kids

	mu          sync.Mutex
	flight      *flight       // nil when none
	pace        pace          // of fetches for unknown kids
	backoff     time.Duration // 0 after a success
	nextAttempt time.Time     // no fetch before it, while backoff > 0
}

// New returns the keys of source. It does no I/O: they are fetched when they are asked for.
func New(source Source) *Set {
	return &Set{fetch: newDiscovery(source).fetch, now: source.Now, logger: source.Logger}
}

// Find returns the keys with the given id, of which there is at least one. The error is [ErrUnknown] when the environment
// has none, as a fetch showed that began after the call, and an *[Unavailable] when that can't be known now. It waits for
// 5 s at the most.
func (set *Set) Find(ctx context.Context, kid string) (Candidates, error) {
	now := set.now()
	if snap := set.snapshot.Load(); snap.usable(now) && !set.due(now) {
		if keys := snap.keys[kid]; keys != nil {
			return keys, nil
		}
	}
	return set.lookUp(ctx, kid)
}

// Trusts reports whether what key has verified can still be believed: the environment publishes the key, as far as is known,
// and what is known is less than a day old. It never waits; when that is old, it starts a fetch in the background.
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

// Ready makes sure that there are keys, fetching them if need be. It waits for 5 s at the most.
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

// lookUp is Find for a kid that is not known, or a set that is old. Whoever it is that asks, the environment is asked no
// more often than the pace allows. So a request waits for a fetch that is in flight, as that may bring the key, but was
// begun before and proves nothing if it doesn't; then for its turn, and for the next one.
func (set *Set) lookUp(ctx context.Context, kid string) (Candidates, error) {
	asked := set.begun.Load()
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	for counted := false; ; {
		now := set.now()
		seen := set.snapshot.Load()
		if seen.usable(now) { // without a first set, every kid is unknown, and all wait for it
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

// due reports whether it is time for a refresh, or the clock was set back and nothing is known about that.
func (set *Set) due(now time.Time) bool {
	wait := set.refreshAt.Load() - now.UnixMilli()
	return wait <= 0 || wait > refreshAge.Milliseconds()
}

// freshened starts a refresh when snap is old, waits for it when snap is very old, as after a quiet night, and returns
// the newest snapshot.
func (set *Set) freshened(ctx context.Context, now time.Time, snap *snapshot) *snapshot {
	veryOld := now.Sub(snap.fetchedAt) >= maxAge
	if veryOld || set.due(now) {
		if fetch := set.refreshInBackground(now, snap); fetch != nil && veryOld {
			_ = fetch.wait(ctx) // what there is goes on being used
		}
	}
	return set.snapshot.Load()
}
