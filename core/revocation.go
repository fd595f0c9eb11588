package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// A Revocation is a list of what was revoked: tokens, sessions of Scalekit, users and more. Package mcpauthrevocation has one.
// All methods have to be safe for concurrent use.
type Revocation interface {
	// Watch returns the check of a session. It is called once for each session, when its token was verified, and the check
	// is kept with the session, so that it may hold what it compares. The check is called for every request of the session,
	// cached or not, and again while a response is open. It has to be local: it must not wait, for I/O or for a lock that is
	// held during I/O.
	//
	// nil lets the session act. A [*RevokedError] refuses the request with 401 invalid_token. Every other error refuses it
	// with 503 and Retry-After, as that of a list which is not up to date; a [*StaleError] says when to come back. A nil check refuses
	// with 503, too.
	Watch(session *Session) (check func() error)

	// Subscribe has the list call changed on a goroutine of its own whenever sessions may have become refused: the checks of
	// all open responses are then called again. Calls of changed may be joined. Each resource server subscribes once, in
	// [New], and for good.
	Subscribe(changed func())
}

// A RevokedError is why a [Revocation] refuses a session. It is for the log.
type RevokedError struct {
	Cause   string // "the session was revoked" by default
	Cure    string // "nothing to do here: the client has to sign in again" by default
	Entry   string // what was revoked, such as "user usr_1"
	EventID string // of the webhook or the call that revoked it, or ""
}

// Error returns the cause and the entry.
func (e *RevokedError) Error() string {
	text := "mcpauth: " + e.cause()
	if e.Entry != "" {
		text += ": " + e.Entry
	}
	return text
}

func (e *RevokedError) cause() string {
	if e.Cause == "" {
		return refusalEntry.cause
	}
	return e.Cause
}

func (e *RevokedError) cure() string {
	if e.Cure == "" {
		return refusalEntry.cure
	}
	return e.Cure
}

func (e *RevokedError) attrs(session *Session) []slog.Attr {
	var attrs []slog.Attr
	if e.Entry != "" {
		attrs = append(attrs, slog.String("entry", e.Entry))
	}
	if e.EventID != "" {
		attrs = append(attrs, slog.String("event_id", e.EventID))
	}
	return append(attrs, slog.Any("session", session))
}

// A StaleError is why a [Revocation] does not know at the moment whether a session was revoked.
type StaleError struct {
	Cause, Cure string        // for the log
	RetryAfter  time.Duration // for the client; at least a second
}

// Error returns the cause.
func (e *StaleError) Error() string { return "mcpauth: " + e.Cause }

var refusalEntry = &refusal{
	outcome: OutcomeRevoked, cause: "the session was revoked",
	cure: "nothing to do here: the client has to sign in again",
}

var errWithoutCheck = errors.New("mcpauth: Config.Revocation returned a nil check; Watch has to return one for every session")

// watched hands a session that was just verified to Config.Revocation.
func (r *resource) watched(session *Session) {
	if r.revocation == nil {
		return
	}
	session.revoked = r.revocation.Watch(session)
	if session.revoked == nil {
		session.revoked = func() error { return errWithoutCheck }
	}
}

// checkRevocation returns why Config.Revocation refuses a session, or nil.
func (r *resource) checkRevocation(session *Session) *refusal {
	if session.revoked == nil { // there is no list, or the session is one of mcpauthtest
		return nil
	}
	err := session.revoked()
	if err == nil {
		return nil
	}
	return refusalOfRevocation(err, session)
}

// askAgain calls the check of a session whose response is open. It runs on the list's goroutine, where a panic would end the
// program; it is an error that lets nothing in.
func (s *Session) askAgain() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return s.revoked()
}

func refusalOfRevocation(err error, session *Session) *refusal {
	if entry := (*RevokedError)(nil); errors.As(err, &entry) {
		return &refusal{outcome: OutcomeRevoked, cause: entry.cause(), cure: entry.cure(), attrs: entry.attrs(session)}
	}
	why := &refusal{
		outcome: OutcomeUnavailable, level: slog.LevelWarn, retryAfter: time.Second, cause: "the revocation list did not answer",
		cure: "see the error of Config.Revocation", attrs: []slog.Attr{slog.Any("error", err)},
	}
	if stale := (*StaleError)(nil); errors.As(err, &stale) {
		why.cause, why.cure, why.retryAfter, why.attrs = stale.Cause, stale.Cure, stale.RetryAfter, nil
	}
	return why
}

// openResponses are the responses of watched sessions. Without Config.Revocation there are none of them, and nothing is
// kept.
type openResponses struct {
	seed   maphash.Seed
	shards [16]struct {
		mu   sync.Mutex
		open map[openResponse]struct{}
		_    [40]byte // keeps the locks of neighbours off one cache line
	}
}

// An openResponse is an *exchange or a *revocableContext.
type openResponse interface {
	// review ends the response if its session was refused meanwhile, and reports whether it is over.
	review() (over bool)
}

func newOpenResponses() *openResponses { return &openResponses{seed: maphash.MakeSeed()} }

// reviewOf returns a function that calls o.review as long as o is in use. A list keeps its subscribers for good, and would keep
// each resource server's responses otherwise: those of tenants that were made on demand and forgotten.
func reviewOf(o *openResponses) (changed func()) {
	inUse := weak.Make(o)
	return func() {
		if o := inUse.Value(); o != nil {
			o.review()
		}
	}
}

// add keeps a response until remove, or until it ends. Its session is judged once more, because it may have been revoked
// between its check and now.
func (o *openResponses) add(r openResponse) {
	s := &o.shards[o.shard(r)]
	s.mu.Lock()
	if s.open == nil {
		s.open = make(map[openResponse]struct{})
	}
	s.open[r] = struct{}{}
	s.mu.Unlock()
	if r.review() {
		o.remove(r)
	}
}

func (o *openResponses) remove(r openResponse) {
	s := &o.shards[o.shard(r)]
	s.mu.Lock()
	delete(s.open, r)
	s.mu.Unlock()
}

func (o *openResponses) shard(r openResponse) uint64 {
	return maphash.Comparable(o.seed, r) % uint64(len(o.shards))
}

// review ends the responses whose sessions were revoked. Config.Revocation calls it when something has changed.
func (o *openResponses) review() {
	var ended []*exchange
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		open := make([]openResponse, 0, len(s.open))
		for r := range s.open {
			open = append(open, r)
		}
		s.mu.Unlock()
		for _, r := range open {
			if x, ok := r.(*exchange); ok {
				over, first := x.judge()
				if first {
					ended = append(ended, x)
				}
				if over {
					o.remove(r)
				}
			} else if r.review() {
				o.remove(r)
			}
		}
	}
	if len(ended) > 0 {
		go endAll(ended) // it waits for the log, and the list has more to do
	}
}

// A revokedEnd is the end of a response by Config.Revocation.
type revokedEnd struct{ why *refusal }

func (e *revokedEnd) Error() string { return "mcpauth: " + e.why.cause }

// judge ends the response if its session is refused now. A list that does not know ends streams only: a call is bounded
// by itself. over reports that the response has ended; first, that this call did it, and has to be followed by endAll.
func (x *exchange) judge() (over, first bool) {
	err := x.session.askAgain()
	if err == nil {
		return false, false
	}
	why := refusalOfRevocation(err, x.session)
	x.mu.Lock()
	stays := why.outcome != OutcomeRevoked && !x.stream
	x.mu.Unlock()
	if stays {
		return false, false
	}
	first, ended := x.setEnded(&revokedEnd{why})
	return ended != nil, first
}

func (x *exchange) review() (over bool) {
	over, first := x.judge()
	if first {
		endAll([]*exchange{x})
	}
	return over
}

// A revocableContext is the context of an allowed request in an adapter without an http.ResponseWriter. It is cancelled when
// its session is revoked.
type revocableContext struct {
	sessionContext
	judged  *Session
	cancel  context.CancelCauseFunc
	revoked atomic.Bool
}

func newRevocableContext(parent context.Context, session *Session) *revocableContext {
	c := &revocableContext{judged: session}
	c.Context, c.cancel = context.WithCancelCause(parent)
	c.session.Store(session)
	session.server.live.add(c)
	return c
}

// Close takes the session away (io.Closer).
func (c *revocableContext) Close() error {
	c.judged.server.live.remove(c)
	c.cancel(errFinished)
	return c.sessionContext.Close()
}

func (c *revocableContext) review() (over bool) {
	err := c.judged.askAgain()
	if err == nil {
		return false
	}
	why := refusalOfRevocation(err, c.judged)
	if why.outcome != OutcomeRevoked {
		return false
	}
	if c.revoked.Swap(true) { // a review on another goroutine ended it
		return true
	}
	c.cancel(&revokedEnd{why})
	go c.judged.server.logResponseEnd(c, why.cause, why.cure, why.attrs...) // the log may hang
	return true
}
