package mcpauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

const (
	// breakGrace is how long a handler has for returning by itself when its response has ended, before its connection is
	// broken. The clean end comes first: a client that sees one knows that nothing was lost on the way.
	breakGrace = 2 * time.Second

	// revokedGrace is breakGrace for a response whose session was revoked, which is over within a second.
	revokedGrace = 250 * time.Millisecond

	// logTime is how long the end of a response waits for the log to have it.
	logTime = 500 * time.Millisecond
)

// expire ends the response, and returns the reason.
func (x *exchange) expire() error {
	first, ended := x.setEnded(nil)
	if first {
		endAll([]*exchange{x})
	}
	return ended
}

// setEnded ends the response because of why, or because its time has come. first reports that this call ended it; ended is
// the reason, or nil when the handler has returned in time.
func (x *exchange) setEnded(why error) (first bool, ended error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != nil || x.finished.Load() && x.hijacked == nil {
		return false, x.ended
	}
	switch {
	case why != nil:
		x.ended = why
	case x.session == nil:
		x.ended = errPublicEnded
	case x.stream:
		x.ended = errTokenEnded
	default:
		x.ended = errCallEnded
	}
	return true, x.ended
}

// endAll logs that responses have ended, and lets their handlers know. The log is the user's, and may hang.
func endAll(ended []*exchange) {
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for _, x := range ended {
			x.logEnd()
		}
	}()
	wait := time.NewTimer(logTime)
	defer wait.Stop()
	select {
	case <-logged:
	case <-wait.C:
	}
	for _, x := range ended {
		x.release()
	}
}

// release lets go of those who wait for a response that has ended. A handler that does not return within breakGrace is
// freed by breaking its connection.
func (x *exchange) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel(x.ended)
	}
	switch {
	case x.hijacked != nil:
		// It may be closed already. That of TLS waits for a client that does not read, and others are to end, too.
		go x.hijacked.Close() //nolint:errcheck // as said
	case !x.finished.Load():
		grace := breakGrace
		if revoked := (*revokedEnd)(nil); errors.As(x.ended, &revoked) {
			grace = revokedGrace
		}
		time.AfterFunc(grace, x.breakOff) // and not by the wall clock, which may be set back now
	}
}

func (x *exchange) logEnd() {
	x.mu.Lock()
	ended := x.ended
	x.mu.Unlock()
	cause, cure := "the access token of the stream has expired", "nothing to do here: the client opens it again with its next token"
	attrs := []slog.Attr{slog.Any("session", x.session)}
	revoked := (*revokedEnd)(nil)
	switch {
	case errors.As(ended, &revoked):
		cause, cure, attrs = revoked.why.cause, revoked.why.cure, revoked.why.attrs
	case errors.Is(ended, errPublicEnded):
		attrs = nil
		cause, cure = "the call without credentials took longer than a minute", "make the public operation faster, or require credentials for it"
	case errors.Is(ended, errCallEnded):
		cause, cure = "the call went on after its access token had expired, for as long as Config.MaxCall allows", "raise Config.MaxCall if calls may take that long"
	}
	x.server.logResponseEnd(x.request, cause, cure, attrs...)
}

func (r *resource) logResponseEnd(ctx context.Context, cause, cure string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("cause", cause)}, attrs...)
	r.logger.LogAttrs(ctx, slog.LevelInfo, "response ended", append(attrs, slog.String("cure", cure))...)
}

// breakOff makes what a handler writes, or waits to have written, fail. The client sees that the response is incomplete.
func (x *exchange) breakOff() {
	defer ignorePanic()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished.Load() { // the connection is the next request's
		return
	}
	past := time.Now().Add(-time.Second)
	connection := http.NewResponseController(x.ResponseWriter)
	_ = connection.SetWriteDeadline(past) // where the writer below can't, takeAway is what is left
	_ = connection.SetReadDeadline(past)  // of a body that a client never ends
	x.broken.Store(true)
	x.takeAway()
}

// takeAway closes the connection of a handler that does not react to the end: net/http would wait for its return, and the
// client would wait with it. That needs HTTP/1; a stream of HTTP/2 ends with its deadline. Nothing is taken while the
// handler writes to it, or before the headers have been sent, which are the handler's until then. x.mu is held.
func (x *exchange) takeAway() {
	if x.writing.Load() > 0 || x.bytes <= unsentBytes || !x.canHijack || x.hijacked != nil || x.gone.Swap(true) {
		return
	}
	defer ignorePanic()
	if conn, _, err := http.NewResponseController(x.ResponseWriter).Hijack(); err == nil {
		go conn.Close() //nolint:errcheck // as that of release
	}
}

// breakConnection has the client see that the response is incomplete. It is for the handler's own goroutine, which may
// take a connection over that a writer in front hides.
func (x *exchange) breakConnection() {
	defer ignorePanic()
	connection := http.NewResponseController(x.ResponseWriter)
	if connection.SetWriteDeadline(time.Now().Add(-time.Second)) == nil || !x.canHijack {
		return
	}
	if conn, _, err := connection.Hijack(); err == nil {
		_ = conn.Close() // it may be closed already
	}
}

// ignorePanic recovers from writers in front that panic when they are used too late, as those of net/http and gin do. On a
// goroutine of ours the panic would end the program, and elsewhere it would hide the handler's own.
func ignorePanic() { _ = recover() }

// abort breaks off a response whose handler did not return. Before the response has begun, a middleware may still make
// an answer of another panic.
func (x *exchange) abort(v any) {
	x.mu.Lock()
	begun, hijacked := x.begun, x.hijacked != nil
	x.mu.Unlock()
	if !hijacked && !x.gone.Load() && (begun || v == http.ErrAbortHandler) { //nolint:errorlint // net/http compares so, too
		x.breakConnection()
	}
}

// isCut reports whether the end of the token has cut an answer that its client would take for whole. A stream of events
// has an end like any other, and goes on with the next token. x.mu is held.
func (x *exchange) isCut() bool {
	if !x.lost || x.hijacked != nil || x.gone.Load() {
		return false
	}
	kind, _, _ := strings.Cut(x.Header().Get("Content-Type"), ";")
	return kind != "" && !strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// finish ends the exchange when the handler has returned. It breaks off an answer that was cut, sets the CORS headers if
// nothing was sent, and takes session and writer away. A hijacked connection stays under the clock.
func (x *exchange) finish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isCut() {
		x.breakConnection()
	}
	x.beginHeader() // what comes is written by net/http, or by an error handler in front
	x.finished.Store(true)
	x.gone.Store(true)
	if x.hijacked == nil {
		if x.timed {
			x.server.clock.remove(x)
		}
		if x.isWatched() {
			x.server.live.remove(x)
		}
	}
	if x.cancel != nil {
		x.cancel(errFinished)
	}
}
