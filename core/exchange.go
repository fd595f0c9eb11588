package mcpauth

import (
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
	server  *resource
	cors    CORSAnswer
	line    [1]string // of cors, for a request of no page
	end     int64     // milliseconds since 1970; changed under mu and the clock's lock, read under either

	finished atomic.Bool // the handler has returned: there is no session any more
	gone     atomic.Bool // so is the writer below

	mu        sync.Mutex
	cancelled context.Context // made when first asked for
	cancel    context.CancelCauseFunc
	hijacked  net.Conn
	bytes     int          // handed on
	writing   atomic.Int32 // how many do it just now
	broken    atomic.Bool
	begun     bool // the response has, with its headers
	stream    bool // it ends with its token
	timed     bool // the clock knows it
	ended     error
	lost      bool // something was written after the end
	canHijack bool

	place int // in the heap of the clock; -1 when it was taken out
}

// newExchange makes an exchange in the memory of h, and returns the writer to hand on, which can be hijacked if w can.
func (rs *ResourceServer) newExchange(h *hijackable, w http.ResponseWriter, r *http.Request, decision Decision) (writer http.ResponseWriter) {
	x := &h.exchange
	if x.canHijack = canHijack(w, r); x.canHijack {
		writer = h
	} else {
		writer = x
	}
	x.ResponseWriter, x.request, x.session, x.server = w, r.Context(), decision.Session, rs.resource
	x.place = -1
	x.stream = rs.maxCall < 0 || isStream(r)
	x.end = decision.Session.expiresAt + rs.expect.skew
	if !x.stream {
		x.end += rs.maxCall
	}
	x.cors = decision.CORS(w.Header())
	return writer
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
	if x.gone.Load() {
		return nil
	}
	return x.ResponseWriter
}

// Header returns the headers of the response, and nothing that is sent when the handler has returned.
func (x *exchange) Header() http.Header {
	if x.gone.Load() {
		return http.Header{}
	}
	return x.ResponseWriter.Header()
}

// WriteHeader sends status with the CORS headers that the response is to have. An informational status (1xx) is sent with
// them too, and is not the beginning of the response.
func (x *exchange) WriteHeader(status int) {
	switch {
	case x.gone.Load():
	case status < 200 && status != http.StatusSwitchingProtocols:
		x.cors.set(x.Header(), make([]string, 0, corsLines)) // which a client has seen, and must not change any more
		x.ResponseWriter.WriteHeader(status)
	case x.begin(0) == nil:
		x.ResponseWriter.WriteHeader(status)
		x.written()
	case !x.gone.Load(): // a status tells the client no more than that there is an end
		x.ResponseWriter.WriteHeader(status)
	}
}

// Write fails once the response has ended, by the wall clock also while the timer sleeps.
func (x *exchange) Write(p []byte) (int, error) {
	if err := x.begin(len(p)); err != nil {
		x.mu.Lock()
		x.lost = x.lost || len(p) > 0
		x.mu.Unlock()
		return 0, err
	}
	n, err := x.ResponseWriter.Write(p)
	x.written()
	return n, err
}

// begin sets the CORS headers of a response that has not begun, and returns why n bytes more can't be written, or nil: then
// [exchange.written] has to follow. From the point on at which writing could block, the clock watches.
func (x *exchange) begin(n int) error {
	now := x.server.clock.now().UnixMilli() // which does not panic: SDKs write on goroutines of their own
	x.mu.Lock()
	if x.finished.Load() {
		x.mu.Unlock()
		return errFinished
	}
	x.beginHeader()
	bytes := x.bytes + n
	if bytes > unsentBytes {
		x.watch()
	}
	ended, late := x.ended, now >= x.end
	if ended == nil && !late {
		x.bytes = bytes
		x.writing.Add(1)
	}
	x.mu.Unlock()
	if ended == nil && late {
		return x.expire()
	}
	return ended
}

// written ends what begin began.
func (x *exchange) written() {
	if x.writing.Add(-1) == 0 && x.broken.Load() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.takeAway()
	}
}

// beginHeader sets the CORS headers when the response begins. x.mu is held.
func (x *exchange) beginHeader() {
	if !x.begun {
		x.begun = true
		lines := x.line[:0]
		if x.cors.ours != nil && x.cors.ours.origin != "" {
			lines = make([]string, 0, corsLines)
		}
		x.cors.set(x.Header(), lines)
	}
}

// Flush sends what was written.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is Flush for http.ResponseController.
func (x *exchange) FlushError() error {
	if err := x.begin(unsentBytes + 1); err != nil {
		return err
	}
	err := http.NewResponseController(x.ResponseWriter).Flush()
	x.written()
	return err
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
	defer ignorePanic()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished.Load() { // the connection is the next request's
		return
	}
	past := time.Now().Add(-time.Second)
	connection := http.NewResponseController(x.ResponseWriter)
	_ = connection.SetWriteDeadline(past) // where the writer below can't, there is no other way
	_ = connection.SetReadDeadline(past)  // of a body that a client never ends
	x.broken.Store(true)
	x.takeAway()
}

// takeAway closes the connection of a handler that looks at nothing: net/http would wait for its return, and the client
// with it. That needs HTTP/1; a stream of HTTP/2 ends with its deadline. Nothing is taken while the handler writes to it,
// or before the headers have been sent, which are the handler's until then. x.mu is held.
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

// ignorePanic is for what is asked of writers in front when it may be too late. Some panic then, as those of net/http and
// gin do; on a goroutine of ours it would end the program, and elsewhere hide the handler's own panic.
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

// finish takes the session away. A hijacked connection stays under the clock.
func (x *exchange) finish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isCut() {
		x.breakConnection()
	}
	x.beginHeader() // what comes is written by net/http, or by an error handler in front
	x.finished.Store(true)
	x.gone.Store(true)
	if x.timed && x.hijacked == nil {
		x.server.clock.remove(x)
	}
	if x.cancel != nil {
		x.cancel(errFinished)
	}
}
