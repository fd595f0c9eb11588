package mcpauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The causes of the end of a response, and what writing to it returns from then on.
var (
	errTokenEnded  = errors.New("mcpauth: the access token of this stream has expired")
	errCallEnded   = errors.New("mcpauth: the access token of this call expired longer ago than Config.MaxCall")
	errPublicEnded = errors.New("mcpauth: a call without credentials may not take longer")
	errFinished    = errors.New("mcpauth: the handler has returned")
)

const (
	// unsentBytes is how much net/http keeps before it sends anything. A handler that wrote no more, and did not flush,
	// can't be waiting for its client.
	unsentBytes = 2 << 10

	// publicCallTime is how long the response to a call without credentials may take.
	publicCallTime = time.Minute

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

// An exchange is the response writer of an allowed request and, as an exchangeContext, its context. The context gets a
// channel only when code waits for it.
type exchange struct {
	http.ResponseWriter
	request context.Context
	session *Session // nil without credentials
	server  *resource
	cors    CORSAnswer
	line    [1]string // memory for the one line that cors sets when the request has no Origin header
	end     int64     // milliseconds since 1970; written with mu and then the clock's lock held, read with one of them

	finished atomic.Bool // the handler has returned; there is no session any more
	gone     atomic.Bool // ResponseWriter must not be used: the handler has returned, or takeAway has closed the connection

	mu        sync.Mutex
	cancelled context.Context // made when first asked for
	cancel    context.CancelCauseFunc
	hijacked  net.Conn
	bytes     int          // handed on
	writing   atomic.Int32 // how many do it just now
	broken    atomic.Bool
	ended     error
	begun     bool // the response has, with its headers
	stream    bool // it ends with its token
	timed     bool // the clock knows it
	lost      bool // something was written after the end
	canHijack bool

	inResult bool // the client reads challenges in results of tool calls

	place int // in the heap of the clock; -1 when it was taken out
}

// newExchange makes an exchange in the memory of h, and returns the writer to hand on, which can be hijacked if w can.
func (rs *ResourceServer) newExchange(h *hijackable, w http.ResponseWriter, r *http.Request, decision Decision) (writer http.ResponseWriter) {
	x := &h.exchange
	if x.canHijack = canHijack(w, r); x.canHijack && decision.Session != nil {
		writer = h
	} else {
		writer = x
	}
	x.ResponseWriter, x.request, x.session, x.server = w, r.Context(), decision.Session, rs.resource
	x.place, x.inResult = -1, rs.resultClients.has(r)
	if x.session == nil { // a public call
		x.end = rs.clock.now().Add(publicCallTime).UnixMilli()
	} else {
		x.stream = isStream(r)
		x.end = x.session.expiresAt + rs.expect.skew
		if !x.stream {
			x.end += max(rs.maxCall, 0)
		}
	}
	x.cors = decision.CORS(w.Header())
	if x.isWatched() {
		x.server.live.add(x)
	}
	return writer
}

// isWatched reports whether Config.Revocation may end x.
func (x *exchange) isWatched() bool {
	return x.session != nil && x.session.revoked != nil && x.server.live != nil
}

// isStream reports whether the response to r answers no call. Mcp-Method is the client's word and can only shorten the
// response. Code that reads the body calls EndWithToken for what the body says.
func isStream(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	return slices.Contains(r.Header["Mcp-Method"], methodListen)
}

// Unwrap gives http.ResponseController the writer below, and nil when the handler has returned: routers reuse their
// writers, and that one may be another request's.
func (x *exchange) Unwrap() http.ResponseWriter {
	if x.gone.Load() {
		return nil
	}
	return x.ResponseWriter
}

// Header returns the headers of the response. When the handler has returned, they are a copy that is not sent.
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
		x.cors.set(x.Header(), make([]string, 0, corsLines)) // not x.line, which the response itself uses later
		x.ResponseWriter.WriteHeader(status)
	case x.begin(0) == nil:
		x.ResponseWriter.WriteHeader(status)
		x.written()
	case !x.gone.Load(): // the response has ended, and a status without a body tells the client nothing else
		x.ResponseWriter.WriteHeader(status)
	}
}

// Write fails once the response has ended. It asks the wall clock itself, because the timer may be late.
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
// [exchange.written] has to follow. Once net/http would send, writing could block, and the clock watches.
func (x *exchange) begin(n int) error {
	now := x.server.clock.now().UnixMilli() // a safeClock, which does not panic: SDKs write on their own goroutines
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
	if x.setStream() && x.isWatched() {
		x.review() // a list that is not up to date lets calls go on, and no streams
	}
}

func (x *exchange) setStream() (changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream || x.session == nil || x.ended != nil || x.finished.Load() && x.hijacked == nil {
		return false
	}
	x.stream = true
	x.server.clock.move(x, x.session.expiresAt+x.server.expect.skew, x.timed)
	return true
}
