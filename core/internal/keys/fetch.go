package keys

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

const (
	fetchTimeout = 10 * time.Second // of a fetch; longer than a request waits, so that later requests find the keys
	firstBackoff = 2 * time.Second
	maxBackoff   = 30 * time.Second
)

var (
	errBackingOff = errors.New("the last fetch failed moments ago, and the environment is not asked again yet")
	errNotFound   = errors.New("the fetch ended without keys")
)

// A flight is one fetch in flight, shared by all requests that wait for it.
type flight struct {
	number uint64
	done   chan struct{} // closed after err or the snapshot is set
	err    error
}

// refreshInBackground starts a fetch to replace seen, or joins the one in flight. It returns nil when seen has been replaced
// already, and after a fetch that failed: no request waits to see whether the environment is still down.
func (set *Set) refreshInBackground(now time.Time, seen *snapshot) *flight {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.snapshot.Load() != seen {
		return nil
	}
	if set.backoff == 0 {
		return set.start(now)
	}
	if set.flight == nil && !now.Before(set.nextAttempt) {
		if pause := set.pace.wait(time.Now()); pause > 0 {
			set.refreshAt.Store(now.Add(pause).UnixMilli())
		} else {
			set.start(now)
		}
	}
	return nil
}

// startFor starts a fetch for a kid that seen doesn't have, or joins the one in flight. If pause is not 0, no fetch may
// start for that long. If fetch, pause and err are all zero, a newer snapshot has replaced seen.
func (set *Set) startFor(now time.Time, seen *snapshot) (fetch *flight, pause time.Duration, err error) {
	set.mu.Lock()
	defer set.mu.Unlock()
	switch {
	case set.snapshot.Load() != seen:
		return nil, 0, nil
	case set.flight != nil:
	case set.backoff > 0 && now.Before(set.nextAttempt):
		return nil, 0, &Unavailable{set.nextAttempt.Sub(now), errBackingOff}
	case seen.usable(now):
		// The pace uses the machine's clock, not Source.Now: it limits load, and the wall clock may be set back.
		if pause = set.pace.wait(time.Now()); pause > 0 {
			return nil, pause, nil
		}
	}
	return set.start(now), 0, nil
}

// start starts a fetch, or joins the one in flight. The caller holds set.mu.
func (set *Set) start(now time.Time) *flight {
	if set.flight == nil {
		set.flight = &flight{number: set.begun.Add(1), done: make(chan struct{})}
		set.pace.take(time.Now())
		set.refreshAt.Store(now.Add(2 * fetchTimeout).UnixMilli()) // a refresh is under way
		go set.run(set.flight)
	}
	return set.flight
}

// run fetches the keys, publishes them, and wakes all requests that wait. It has a timeout of its own instead of a request's
// context: a client that gives up must not cancel the fetch for all others.
func (set *Set) run(fetch *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	found := false
	err := set.attempt(ctx, func(keys keysByID) {
		found = true
		set.succeed(fetch, keys)
	})
	if found { // a later error in the background doesn't matter
		return
	}
	if err == nil {
		err = errNotFound
	}
	set.fail(fetch, err)
}

// attempt turns a panic into an error. In a handler net/http would recover it; on this goroutine it would end the program.
func (set *Set) attempt(ctx context.Context, found func(keysByID)) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return set.fetch(ctx, found)
}

// succeed ends a fetch that found keys.
func (set *Set) succeed(fetch *flight, keys keysByID) {
	now := set.now()
	set.mu.Lock()
	defer set.mu.Unlock()
	set.backoff = 0
	set.publish(keys, now, fetch.number)
	set.refreshAt.Store(now.Add(refreshAge).UnixMilli())
	set.flight = nil
	close(fetch.done)
}

// publish makes keys the current set.
func (set *Set) publish(keys keysByID, now time.Time, fetch uint64) {
	old := set.snapshot.Load()
	next := old.succeededBy(keys, now, fetch)
	set.snapshot.Store(next)
	old.withdraw(next)
}

// fail ends a fetch that found no keys.
func (set *Set) fail(fetch *flight, err error) {
	now := set.now()
	set.mu.Lock()
	set.backoff = min(max(firstBackoff, 2*set.backoff), maxBackoff)
	backoff := set.backoff
	set.nextAttempt = now.Add(backoff)
	set.refreshAt.Store(set.nextAttempt.UnixMilli())
	fetch.err = &Unavailable{backoff, err}
	set.flight = nil
	close(fetch.done)
	set.mu.Unlock()
	set.logFailure(err, now, backoff)
}

// wait waits until the fetch or ctx ends, and returns the error of the one that ended.
func (fetch *flight) wait(ctx context.Context) error {
	select {
	case <-fetch.done:
		return fetch.err
	default:
	}
	select {
	case <-fetch.done:
		return fetch.err
	case <-ctx.Done():
		return &Unavailable{firstBackoff, context.Cause(ctx)}
	}
}

// sleep waits until a fetch is allowed, or ctx ends.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Unavailable{firstBackoff, context.Cause(ctx)}
	}
}

// logFailure logs that there are no keys, or for how long the previous ones can still be used.
func (set *Set) logFailure(err error, now time.Time, backoff time.Duration) {
	attrs := []slog.Attr{
		slog.Any("error", err),
		slog.Duration("retry_in", backoff),
		slog.String("cure", cureOf(err)),
	}
	ctx := context.Background() // the fetch's own context has ended
	if snap := set.snapshot.Load(); snap.usable(now) {
		age := now.Sub(snap.fetchedAt)
		attrs = append(attrs, slog.Duration("keys_age", age), slog.Duration("keys_usable_for", staleAge-age))
		set.logger.LogAttrs(ctx, slog.LevelWarn, "JWKS resolution failed; the keys from before stay in use", attrs...)
		return
	}
	set.logger.LogAttrs(ctx, slog.LevelWarn, "JWKS resolution failed; no token can be verified", attrs...)
}

// cureOf returns what helps against the failure of a fetch.
func cureOf(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the address speaks http, and its URL begins with https://; correct the URL (for http on another host than loopback, see Config.DangerouslyAllowInsecureEnvironment)"
	case errors.Is(err, errMaybeTLS):
		return "write the address with https:// if it speaks https"
	case errors.As(err, &name):
		return "the certificate is for another name; give the environment's address with a name of the certificate, or set Config.HTTPClient with ServerName in the tls.Config of its transport"
	case errors.As(err, &authority):
		return "if the certificate comes from an authority of your own, set Config.HTTPClient with its certificate in RootCAs in the tls.Config of its transport"
	}
	return "check SCALEKIT_ENVIRONMENT_URL, or Config.InternalEnvironmentURL if it is set, and that this machine can reach it"
}
