package mcpauthfiber

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
	errDisconnected = errors.New("mcpauthfiber: the client has disconnected")
	errReturned     = errors.New("mcpauthfiber: the handler has returned")
)

// Why a bridge has no response.
var (
	errBadRequest = errors.New("mcpauthfiber: the target of the request is no URL")
	errPanicked   = errors.New("mcpauthfiber: the handler has panicked")
)

// watchAfter is how long a handler may take before its connection is watched: most are done by then, and watching costs
// a goroutine and three timers.
const watchAfter = 10 * time.Millisecond

// A bridge runs an http.Handler under fasthttp.
type bridge struct {
	handler http.Handler
	server  *http.Server // what http.ServerContextKey gives: httputil.ReverseProxy breaks off an answer only if it is there
}

func newBridge(handler http.Handler) *bridge {
	return &bridge{handler: handler, server: new(http.Server)}
}

// serve returns at the first flush of the response, or when the handler has returned. parent is what the request's
// context is a child of. An error means that there is no response yet.
func (b *bridge) serve(parent context.Context, ctx *fasthttp.RequestCtx) error {
	a := arrive(ctx)
	if a&refused != 0 {
		return nil
	}
	body := bodyOf(ctx, a)
	r, err := request(ctx, body)
	if err != nil {
		return errBadRequest
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
			w.end(errPanicked)
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

// breakOff makes sure that nothing more can be sent, whoever has been put between the response and the connection.
func (x *exchange) breakOff() {
	x.brokenOff.Store(true)
	_ = x.setWriteDeadline(time.Unix(1, 0))
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
