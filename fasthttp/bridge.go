package mcpauthfasthttp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"

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
// Handlers run on goroutines that are used again for other requests, as under net/http. What a handler was given is not: it
// may keep its request and its writer, which does nothing any more when the handler has returned.
//
// Not supported: http.Hijacker, and with it websockets; EnableFullDuplex, trailers, 1xx responses. Under HTTP/1.0 a
// response is streamed only if it has a Content-Length, and for HEAD, Flush does nothing.
type Bridge struct {
	handler http.Handler
	server  *http.Server // what http.ServerContextKey gives: httputil.ReverseProxy breaks off an answer only if it is there
	workers workers
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
	x := &exchange{bridge: b, conn: ctx.Conn(), shutdown: ctx.Done(), ahead: parent.Done()}
	x.body.init(ctx, a, x)
	b.workers.take(x)
	var copied http.Request // WithContext copies it again, for the handler
	if err := x.copyRequest(&copied, ctx); err != nil {
		b.workers.give(x)
		return ErrBadTarget
	}
	x.context = requestContext{Context: parent, local: ctx.LocalAddr(), server: b.server}
	inner, cancel := context.WithCancelCause(&x.context)
	x.cancel, x.request = cancel, copied.WithContext(inner)
	ctx.SetUserValue(exchangeKey{}, x)
	x.response.init(ctx, x)
	b.workers.start(x)
	x.wait()
	var err error
	if ctx.LastTimeoutErrorResponse() == nil {
		err = x.response.send(ctx, a)
	} else { // a middleware in front has answered
		x.response.drop()
	}
	if !x.response.streaming {
		b.workers.give(x)
	}
	return err
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

// run runs the handler. It does not return if the handler ends its goroutine.
func (x *exchange) run() {
	returned := false
	defer func() {
		v := recover()
		var failure error
		switch {
		case returned:
		case v == nil, v == http.ErrAbortHandler: //nolint:errorlint // net/http compares so, too; nil is runtime.Goexit
			failure = http.ErrAbortHandler
			x.worker.ended = v == nil
		default:
			failure = ErrPanicked
			logPanic(x.request, v)
		}
		x.response.end(failure)
		x.cancel(errReturned) // who waits for it finds that writing fails
	}()
	x.bridge.handler.ServeHTTP(&x.response, x.request)
	returned = true
}

// logPanic survives a panic of the logger: on this goroutine it would end the process.
func logPanic(r *http.Request, v any) {
	defer func() { _ = recover() }()
	slog.ErrorContext(r.Context(), "panic in an HTTP handler", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
}
