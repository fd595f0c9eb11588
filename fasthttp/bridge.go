package mcpauthfasthttp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// What ends the context of a request, as context.Cause tells it.
var (
	errDisconnected = errors.New("mcpauthfasthttp: the client has disconnected")
	errReturned     = errors.New("mcpauthfasthttp: the handler has returned")
)

// Why [Bridge.Serve] leaves the response to its caller.
var (
	ErrBadTarget = errors.New("mcpauthfasthttp: the target of the request is not a URL") // to be answered with 400
	ErrPanicked  = errors.New("mcpauthfasthttp: the handler has panicked")               // with 500
)

// watchAfter is how long a handler may take before its connection is watched: most are done by then, and watching costs
// a goroutine and three timers.
const watchAfter = 10 * time.Millisecond

// A Bridge runs an http.Handler under fasthttp.
//
// The request is a copy, with the path and the query that a router has routed; RequestURI is what the client sent, and
// trailers are left out. Its context is cancelled when the handler returns, the client disconnects or the server shuts
// down; it has http.LocalAddrContextKey and http.ServerContextKey. The response is streamed from the first Flush on, which
// is when [Bridge.Serve] returns; what is not flushed is sent with a Content-Length, up to 256 KiB. From then on the
// request's body can't be read, as under net/http. A Content-Length that the handler sets is kept: Write returns
// http.ErrContentLength for what is more, and the connection is broken off when it was less. Headers are cleaned as
// net/http does. Headers that handlers in front have set are there to be changed.
//
// http.ResponseController sets deadlines, of the connection and for this request alone: the one for reading is about the
// request's body, and past the one for writing, Write and Flush fail and the connection is closed.
//
// A request whose framing is ambiguous (RFC 9112 section 6) is refused with 400 or 501, and its connection closed. A
// body that breaks off or is malformed is an error of Read. A panic is logged and is [ErrPanicked], or breaks off a
// stream; http.ErrAbortHandler closes the connection.
//
// Not supported: http.Hijacker, and with it websockets; EnableFullDuplex, trailers, 1xx responses. Under HTTP/1.0 a
// response is streamed only if it has a Content-Length, and for HEAD, Flush does nothing.
type Bridge struct {
	handler http.Handler
	server  *http.Server // what http.ServerContextKey gives: httputil.ReverseProxy breaks off an answer only if it is there
}

// NewBridge returns a Bridge to handler. It panics when handler is nil.
func NewBridge(handler http.Handler) *Bridge {
	if handler == nil {
		panic("mcpauthfasthttp: nil handler")
	}
	return &Bridge{handler: handler, server: new(http.Server)}
}

// Serve answers the request of ctx. It returns at the first Flush, or when the handler has returned; fasthttp sends the
// response when its own handler returns. The request's context is a child of parent, which must not be ctx. An error,
// [ErrBadTarget] or [ErrPanicked], means that there is no response yet.
func (b *Bridge) Serve(parent context.Context, ctx *fasthttp.RequestCtx) error {
	a := arrive(ctx)
	if a&refused != 0 {
		return nil
	}
	body := bodyOf(ctx, a)
	r, err := request(ctx, body)
	if err != nil {
		return ErrBadTarget
	}
	rctx, cancel := context.WithCancelCause(&requestContext{Context: parent, local: ctx.LocalAddr(), server: b.server})
	x := &exchange{cancel: cancel, conn: ctx.Conn(), shutdown: ctx.Done(), body: body}
	ctx.SetUserValue(exchangeKey{}, x)
	w := newResponse(ctx, x)
	go run(b.handler, w, r.WithContext(rctx))
	x.wait(w)
	return w.send(ctx, a)
}

// A requestContext answers for what net/http puts into the context of each request.
type requestContext struct {
	context.Context
	local  net.Addr
	server *http.Server
}

// Value is as documented for [context.Context].
func (c *requestContext) Value(key any) any {
	switch key {
	case http.LocalAddrContextKey:
		return c.local
	case http.ServerContextKey:
		return c.server
	}
	return c.Context.Value(key)
}

func run(handler http.Handler, w *response, r *http.Request) {
	returned := false
	defer func() {
		v := recover()
		switch {
		case returned:
			w.end(nil)
		case v == nil, v == http.ErrAbortHandler: //nolint:errorlint // net/http compares so, too; nil is runtime.Goexit
			w.end(http.ErrAbortHandler)
		default:
			logPanic(r, v)
			w.end(ErrPanicked)
		}
		w.x.cancel(errReturned)
	}()
	handler.ServeHTTP(w, r)
	returned = true
}

// logPanic survives a panic of the logger: on this goroutine it would end the process.
func logPanic(r *http.Request, v any) {
	defer func() { _ = recover() }()
	slog.ErrorContext(r.Context(), "panic in an HTTP handler", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
}

// An exchange is one run of a handler, on a goroutine of its own. The one that fasthttp called waits for the first
// Flush, returns, and comes back to read the stream.
type exchange struct {
	cancel    context.CancelCauseFunc
	conn      net.Conn
	shutdown  <-chan struct{} // nil once seen
	body      *requestBody
	brokenOff atomic.Bool // the response must not end as if it were whole

	mu         sync.Mutex // for deadlines, which any goroutine may set
	watching   func()     // stops the watch on the connection, if there is one
	over       bool       // the connection belongs to the next request
	limited    bool       // a write deadline was set
	writeUntil time.Time  // what it is
}

type exchangeKey struct{}

// Close is called by fasthttp when the response was written, because an exchange is a user value of its request.
func (x *exchange) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.limited {
		_ = x.conn.SetWriteDeadline(time.Time{})
	}
	return nil
}

// breakOff makes sure that nothing more can be sent, whoever has been put between the response and the connection. The
// deadline ends what is being written. fasthttp may set another one, so the connection is closed for writing, too.
func (x *exchange) breakOff() {
	x.brokenOff.Store(true)
	_ = x.setWriteDeadline(time.Unix(1, 0))
	if half, ok := innermost(x.conn).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// innermost returns the connection below TLS.
func innermost(conn net.Conn) net.Conn {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = outer.NetConn()
	}
}

func (x *exchange) setWriteDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return errReturned
	}
	x.limited, x.writeUntil = true, t
	return x.conn.SetWriteDeadline(t)
}

// limit sets the write deadline again: when a handler has returned to fasthttp, that sets its own, by WriteTimeout.
func (x *exchange) limit() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.limited && !x.over {
		_ = x.conn.SetWriteDeadline(x.writeUntil)
	}
}

// tooLate reports whether the write deadline has passed.
func (x *exchange) tooLate() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.limited && !x.writeUntil.IsZero() && !x.writeUntil.After(time.Now())
}

// setReadDeadline is about the request's body. Once that has been read, the connection is watched, and left alone.
func (x *exchange) setReadDeadline(t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return errReturned
	}
	select {
	case <-x.body.ended:
		return nil
	default:
	}
	if x.watching != nil {
		return nil
	}
	return x.conn.SetReadDeadline(t)
}

// wait returns at the first Flush, or when the handler has returned.
func (x *exchange) wait(w *response) {
	timer := time.NewTimer(watchAfter)
	defer timer.Stop()
	late, ended := timer.C, x.body.ended
	for {
		select {
		case <-w.ready:
			if w.streaming {
				x.watch()
			}
			return
		case <-x.shutdown:
			x.shutDown()
		case <-late:
			late = nil
		case <-ended:
			ended = nil
		}
		if late == nil && ended == nil { // as long as there is a body to read, the handler notices
			x.watch()
		}
	}
}

func (x *exchange) shutDown() {
	x.shutdown = nil
	x.cancel(http.ErrServerClosed)
}

// watch cancels the request when the client disconnects.
func (x *exchange) watch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watching == nil {
		x.watching = watch(x.conn, func() { x.cancel(errDisconnected) })
	}
}

// stop leaves the connection to fasthttp.
func (x *exchange) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watching != nil {
		x.watching()
		x.watching = nil
	}
}
