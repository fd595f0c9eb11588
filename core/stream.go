package mcpauth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// errTokenEnded is the cause of the end of a stream, and what writing to it returns from then on.
var errTokenEnded = errors.New("mcpauth: the access token of this stream has expired")

// EndWithToken ends a streamed response when the access token of its request ends (exp and [Config.ClockSkew] after
// it): the request's context is cancelled, and writing fails. Without it a stream that was opened with a token that
// lives for five minutes goes on for as long as the client likes. Responses that are not flushed are not streams.
//
// next has to be behind the middleware; requests without a session pass through unchanged. The Mount of every adapter
// includes it.
func (rs *ResourceServer) EndWithToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := SessionFromContext(r.Context())
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		rs.Serve(w, r, session, next)
	})
}

// Serve lets next answer r, with session in the request's context, and ends a streamed response as EndWithToken says. It
// is what a Mount does with an allowed [Decision] when it needs no middleware between the decision and next.
func (rs *ResourceServer) Serve(w http.ResponseWriter, r *http.Request, session *Session, next http.Handler) {
	s := &tokenStream{
		ResponseWriter: w, request: r.Context(), session: session, clock: rs.streams,
		end: session.expiresAt + rs.expect.skew,
	}
	defer s.close()
	next.ServeHTTP(s, r.WithContext((*streamContext)(s)))
}

// A tokenStream is the response writer of a request that may become a stream, and, as a streamContext, its context.
// Until somebody waits for its context, it costs no channel.
type tokenStream struct {
	http.ResponseWriter
	request context.Context
	session *Session
	clock   *streamClock
	end     int64 // milliseconds since 1970

	mu        sync.Mutex
	cancelled context.Context // made when first asked for
	cancel    context.CancelCauseFunc
	flushed   bool
	ended     bool
	closed    bool

	place int // in the heap of clock; -1 when it was taken out
}

// Unwrap gives http.ResponseController the writer below.
func (s *tokenStream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Write fails once the token has ended.
func (s *tokenStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return 0, errTokenEnded
	}
	return s.ResponseWriter.Write(p)
}

// Flush sends what was written, and makes the response a stream that ends.
func (s *tokenStream) Flush() { _ = s.FlushError() }

// FlushError is Flush for http.ResponseController.
func (s *tokenStream) FlushError() error {
	s.mu.Lock()
	if !s.flushed && !s.closed {
		s.flushed = true
		s.clock.add(s)
	}
	s.mu.Unlock()
	return http.NewResponseController(s.ResponseWriter).Flush()
}

func (s *tokenStream) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.ended = true
	if s.cancel != nil {
		s.cancel(errTokenEnded)
	}
}

func (s *tokenStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.flushed {
		s.clock.remove(s)
	}
	if s.cancel != nil {
		s.cancel(context.Canceled)
	}
}

// inner returns the context to ask: the request's own as long as that says all, and a cancellable one, made at first,
// when somebody wants to wait or the stream is over.
func (s *tokenStream) inner(wait bool) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancelled != nil {
		return s.cancelled
	}
	if !wait && !s.ended && !s.closed {
		return s.request
	}
	s.cancelled, s.cancel = context.WithCancelCause(s.request)
	switch {
	case s.ended:
		s.cancel(errTokenEnded)
	case s.closed:
		s.cancel(context.Canceled)
	}
	return s.cancelled
}

// A streamContext is the context of a tokenStream. The one that it hands all questions to is of package context, so
// that contexts derived from a streamContext need no goroutine to follow it.
type streamContext tokenStream

func (c *streamContext) Deadline() (time.Time, bool) { return c.request.Deadline() }
func (c *streamContext) Done() <-chan struct{}       { return (*tokenStream)(c).inner(true).Done() }
func (c *streamContext) Err() error                  { return (*tokenStream)(c).inner(false).Err() }

func (c *streamContext) Value(key any) any {
	if key == (contextKey{}) {
		return c.session
	}
	return (*tokenStream)(c).inner(false).Value(key)
}
