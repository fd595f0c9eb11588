package mcpauth

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The causes of the end of a response, and what writing to it returns from then on.
var (
	errTokenEnded = errors.New("mcpauth: the access token of this stream has expired")
	errCallEnded  = errors.New("mcpauth: the access token of this call expired longer ago than Config.MaxCall")
	errFinished   = errors.New("mcpauth: the handler has returned")
)

const (
	// breakGrace is how long a handler has for returning by itself when its response has ended, before its connection is
	// broken. The clean end comes first: a client that sees one knows that nothing was lost on the way.
	breakGrace = 2 * time.Second

	// logTime is how long the end of a response waits for the log to have it.
	logTime = 500 * time.Millisecond

	// unsentBytes is how much net/http keeps before it sends anything. A handler that wrote no more, and did not flush,
	// can't be waiting for its client.
	unsentBytes = 2 << 10

	methodListen = "subscriptions/listen" // MCP 2026-07-28
)

// EndWithToken makes the response to the request that ctx belongs to a stream, which ends with its token, although its
// method is POST. It is for handlers that know what a body asks for: subscriptions/listen of MCP is a stream. Without it
// the response to a POST may go on for [Config.MaxCall] longer. It does nothing for a context that does not come from
// [ResourceServer.Serve].
func EndWithToken(ctx context.Context) {
	if x := exchangeIn(ctx); x != nil {
		x.makeStream()
	}
}

// An exchange is the response writer of an allowed request and, as an exchangeContext, its context. Until somebody waits
// for its context, it costs no channel.
type exchange struct {
	http.ResponseWriter
	request context.Context
	session *Session
	server  *guard
	cors    CORSAnswer
	lines   [corsLines]string // of cors
	end     int64             // milliseconds since 1970; changed under mu and the clock's lock, read under either

	finished atomic.Bool // the handler has returned: there is no session any more

	mu        sync.Mutex
	cancelled context.Context // made when first asked for
	cancel    context.CancelCauseFunc
	hijacked  net.Conn
	written   int
	begun     bool // the response has, with its headers
	stream    bool // it ends with its token
	timed     bool // the clock knows it
	ended     error
	lost      bool // something was written after the end
	canHijack bool

	place int // in the heap of the clock; -1 when it was taken out
}

// newExchange returns an exchange and the writer to hand on, which can be hijacked if w can.
func (rs *ResourceServer) newExchange(w http.ResponseWriter, r *http.Request, decision Decision) (*exchange, http.ResponseWriter) {
	var x *exchange
	var writer http.ResponseWriter
	if canHijack(w, r) {
		h := new(hijackable)
		x, writer = &h.exchange, h
		x.canHijack = true
	} else {
		x = new(exchange)
		writer = x
	}
	x.ResponseWriter, x.request, x.session, x.server = w, r.Context(), decision.Session, rs.guard
	x.place = -1
	x.stream = rs.maxCall < 0 || isStream(r)
	x.end = decision.Session.expiresAt + rs.expect.skew
	if !x.stream {
		x.end += rs.maxCall
	}
	if !decision.within {
		x.cors = decision.CORS(w.Header())
	}
	return x, writer
}

// isStream reports whether the response to r answers no call. Mcp-Method is the client's word and can only shorten the
// response: what a body says, whoever reads it tells by EndWithToken.
func isStream(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	return slices.Contains(r.Header["Mcp-Method"], methodListen)
}

// Unwrap gives http.ResponseController the writer below. When the handler has returned there is none: routers reuse their
// writers, and this one may be another request's.
func (x *exchange) Unwrap() http.ResponseWriter {
	if x.finished.Load() {
		return nil
	}
	return x.ResponseWriter
}

// Header returns the headers of the response, and nothing that is sent when the handler has returned.
func (x *exchange) Header() http.Header {
	if x.finished.Load() {
		return http.Header{}
	}
	return x.ResponseWriter.Header()
}

// WriteHeader sends status with the CORS headers that the response is to have. An informational status (1xx) is sent with
// them too, and is not the beginning of the response.
func (x *exchange) WriteHeader(status int) {
	switch {
	case x.finished.Load():
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		x.cors.set(x.Header(), make([]string, 0, corsLines)) // which a client has seen, and must not change any more
	default:
		_ = x.begin(0) // a status tells the client no more than that there is an end
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write fails once the response has ended, by the wall clock also while the timer sleeps.
func (x *exchange) Write(p []byte) (int, error) {
	if err := x.begin(len(p)); err != nil {
		x.mu.Lock()
		x.lost = x.lost || len(p) > 0
		x.mu.Unlock()
		return 0, err
	}
	return x.ResponseWriter.Write(p)
}

// begin sets the CORS headers of a response that has not begun, and returns why n bytes more can't be written. From the
// point on at which writing could block, the clock watches.
func (x *exchange) begin(n int) error {
	now := x.server.clock.now().UnixMilli() // which does not panic: SDKs write on goroutines of their own
	x.mu.Lock()
	if x.finished.Load() {
		x.mu.Unlock()
		return errFinished
	}
	x.beginHeader()
	x.written += n
	if x.written > unsentBytes {
		x.watch()
	}
	ended, late := x.ended, now >= x.end
	x.mu.Unlock()
	if ended == nil && late {
		return x.expire()
	}
	return ended
}

// beginHeader sets the CORS headers when the response begins. x.mu is held.
func (x *exchange) beginHeader() {
	if !x.begun {
		x.begun = true
		x.cors.set(x.Header(), x.lines[:0])
	}
}

// Flush sends what was written.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is Flush for http.ResponseController.
func (x *exchange) FlushError() error {
	if err := x.begin(unsentBytes + 1); err != nil {
		return err
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// watch has the clock end x in time. x.mu is held.
func (x *exchange) watch() {
	if !x.timed && !x.finished.Load() {
		x.timed = true
		x.server.clock.add(x)
	}
}

// makeStream has x end with its token.
func (x *exchange) makeStream() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream || x.ended != nil || x.finished.Load() && x.hijacked == nil {
		return
	}
	x.stream = true
	x.server.clock.move(x, x.session.expiresAt+x.server.expect.skew, x.timed)
}

// expire ends the response, and returns the reason.
func (x *exchange) expire() error {
	first, ended := x.setEnded()
	if first {
		endAll([]*exchange{x})
	}
	return ended
}

// setEnded returns why the response has ended, and whether it has ended just now. The reason is nil for a handler that has
// returned in time.
func (x *exchange) setEnded() (first bool, ended error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != nil || x.finished.Load() && x.hijacked == nil {
		return false, x.ended
	}
	x.ended = errTokenEnded
	if !x.stream {
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
		time.AfterFunc(breakGrace, x.breakOff) // and not by the wall clock, which may be set back now
	}
}

func (x *exchange) logEnd() {
	x.mu.Lock()
	ended := x.ended
	x.mu.Unlock()
	cause, cure := "the access token of the stream has expired", "nothing to do here: the client opens it again with its next token"
	if errors.Is(ended, errCallEnded) {
		cause, cure = "the call went on after its access token had expired, for as long as Config.MaxCall allows", "raise Config.MaxCall if calls may take that long"
	}
	x.server.logger.LogAttrs(x.request, slog.LevelInfo, "response ended",
		slog.String("cause", cause), slog.Any("session", x.session), slog.String("cure", cure))
}

// breakOff makes what a handler writes, or waits to have written, fail. The client sees that the response is incomplete.
func (x *exchange) breakOff() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished.Load() { // the connection is the next request's
		return
	}
	past := time.Now().Add(-time.Second)
	connection := http.NewResponseController(x.ResponseWriter)
	_ = connection.SetWriteDeadline(past) // where the writer below can't, there is no other way
	_ = connection.SetReadDeadline(past)  // of a body that a client never ends
}

// breakConnection has the client see that the response is incomplete. It is for the handler's own goroutine, which may
// take a connection over that a writer in front hides.
func (x *exchange) breakConnection() {
	connection := http.NewResponseController(x.ResponseWriter)
	if connection.SetWriteDeadline(time.Now().Add(-time.Second)) == nil || !x.canHijack {
		return
	}
	if conn, _, err := connection.Hijack(); err == nil {
		_ = conn.Close() // it may be closed already
	}
}

// abort breaks off a response whose handler did not return. Before the response has begun, a middleware may still make
// an answer of another panic.
func (x *exchange) abort(v any) {
	x.mu.Lock()
	begun, hijacked := x.begun, x.hijacked != nil
	x.mu.Unlock()
	if !hijacked && (begun || v == http.ErrAbortHandler) { //nolint:errorlint // net/http compares so, too
		x.breakConnection()
	}
}

// isCut reports whether the end of the token has cut an answer that its client would take for whole. A stream of events
// has an end like any other, and goes on with the next token.
func (x *exchange) isCut() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.lost || x.hijacked != nil {
		return false
	}
	kind, _, _ := strings.Cut(x.Header().Get("Content-Type"), ";")
	return kind != "" && !strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// finish takes the session away. A hijacked connection stays under the clock.
func (x *exchange) finish() {
	if x.isCut() {
		x.breakConnection()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.beginHeader() // what comes is written by net/http, or by an error handler in front
	x.finished.Store(true)
	if x.timed && x.hijacked == nil {
		x.server.clock.remove(x)
	}
	if x.cancel != nil {
		x.cancel(errFinished)
	}
}

// A hijackable exchange is one whose writer below is an http.Hijacker.
type hijackable struct{ exchange }

// canHijack reports whether w, or a writer that it unwraps to, is an http.Hijacker. Some wrappers of HTTP/2's writer say
// that they are, and panic.
func canHijack(w http.ResponseWriter, r *http.Request) bool {
	for r.ProtoMajor == 1 {
		switch below := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = below.Unwrap()
		default:
			return false
		}
	}
	return false
}

// Hijack takes the connection over (http.Hijacker). It is closed when the token ends.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x := &h.exchange
	x.mu.Lock()
	over := x.ended != nil || x.finished.Load()
	x.mu.Unlock()
	if over {
		return nil, nil, errTokenEnded
	}
	conn, buffer, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.makeStream()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != nil {
		_ = conn.Close() // the reason counts
		return nil, nil, x.ended
	}
	x.begun = true // its headers are the handler's
	x.hijacked = conn
	x.watch()
	return &hijackedConn{conn, x}, buffer, nil
}

// A hijackedConn is forgotten when it is closed.
type hijackedConn struct {
	net.Conn
	x *exchange
}

// NetConn returns the connection below, as that of tls.Conn does.
func (c *hijackedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the writing side, as that of *net.TCPConn and *tls.Conn does: reverse proxies look for it.
func (c *hijackedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection.
func (c *hijackedConn) Close() error {
	c.x.server.clock.remove(c.x)
	return c.Conn.Close()
}
