package mcpauthfiber

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// What ends the context of a request, as context.Cause tells it.
var (
	errDisconnected = errors.New("mcpauthfiber: the client has disconnected")
	errReturned     = errors.New("mcpauthfiber: the handler has returned")
)

// watchAfter is how long a handler may take before its connection is watched: most are done by then, and watching costs
// a goroutine and three timers.
const watchAfter = 10 * time.Millisecond

// Handler runs an http.Handler, such as an MCP server, under Fiber. Use it in place of Fiber's own adaptor, under which
// the handler's context is an object that the next requests reuse: there [mcpauth.SessionFromContext] finds no session,
// and other values are those of somebody else's request.
//
// The request is a copy, its context a child of c.UserContext() that is cancelled when the handler returns, the client
// disconnects or the server shuts down. The response is streamed from the first Flush on, which is when the fiber handler
// returns; what is not flushed is sent with a Content-Length, up to 256 KiB. From then on the request's body can't be
// read, as under net/http. Headers that fiber handlers in front have set are there to be changed.
//
// A panic is logged and answered with 500, or breaks off a stream; http.ErrAbortHandler closes the connection.
//
// Not supported: http.Hijacker, EnableFullDuplex, deadlines, trailers, 1xx responses. Under HTTP/1.0 and for HEAD, Flush
// does nothing. Handler panics when handler is nil.
func Handler(handler http.Handler) fiber.Handler {
	if handler == nil {
		panic("mcpauthfiber: nil handler")
	}
	return func(c *fiber.Ctx) error {
		ctx := c.Context()
		body := bodyOf(ctx)
		r, err := request(ctx, body)
		if err != nil {
			return fiber.ErrBadRequest
		}
		parent := context.WithValue(c.UserContext(), http.LocalAddrContextKey, ctx.LocalAddr())
		rctx, cancel := context.WithCancelCause(parent)
		x := &exchange{cancel: cancel, conn: ctx.Conn(), shutdown: ctx.Done(), body: body}
		w := newResponse(ctx, x)
		go serve(handler, w, r.WithContext(rctx))
		x.wait(w)
		return w.send(ctx)
	}
}

// An exchange is one run of a handler, on a goroutine of its own. The one that Fiber called waits for the first Flush,
// returns, and comes back to read the stream.
type exchange struct {
	cancel   context.CancelCauseFunc
	conn     net.Conn
	shutdown <-chan struct{} // nil once seen
	body     *requestBody
	watching func() // stops the watch on the connection, if there is one
}

func serve(handler http.Handler, w *response, r *http.Request) {
	returned := false
	defer func() {
		v := recover()
		switch {
		case returned:
			w.end(nil)
		case v == nil, v == http.ErrAbortHandler: //nolint:errorlint // net/http compares so, too; nil is runtime.Goexit
			w.end(http.ErrAbortHandler)
		default:
			slog.ErrorContext(r.Context(), "panic in an HTTP handler", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			w.end(fiber.ErrInternalServerError)
		}
		w.x.cancel(errReturned)
	}()
	handler.ServeHTTP(w, r)
	returned = true
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
	if x.watching == nil {
		x.watching = watch(x.conn, func() { x.cancel(errDisconnected) })
	}
}

// stop leaves the connection to fasthttp.
func (x *exchange) stop() {
	if x.watching != nil {
		x.watching()
		x.watching = nil
	}
}

// request copies the request: fasthttp reuses the memory of all its strings. It is not on the heap yet, because the copy
// with its context will be.
func request(ctx *fasthttp.RequestCtx, body *requestBody) (r http.Request, err error) {
	header := &ctx.Request.Header
	r = http.Request{
		Method:        string(ctx.Method()),
		Proto:         string(header.Protocol()),
		Header:        make(http.Header),
		Body:          body,
		ContentLength: max(body.left, -1),
		Host:          string(header.Host()),
		RequestURI:    string(header.RequestURI()),
		RemoteAddr:    ctx.RemoteAddr().String(),
		TLS:           ctx.TLSConnectionState(),
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return r, err
	}
	if r.URL.Host != "" { // absolute-form
		r.Host = r.URL.Host
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	values := make([]string, 0, header.Len()) // one piece of memory for most of them
	header.VisitAll(func(key, value []byte) {
		switch name := textproto.CanonicalMIMEHeaderKey(string(key)); {
		case name == "Host", name == "Trailer":
		case name == "Content-Length" && r.ContentLength == 0, name == "Connection" && r.ProtoMinor == 0: // fasthttp's own
		case name == "Transfer-Encoding":
			if r.ContentLength < 0 {
				r.TransferEncoding = []string{"chunked"}
			}
		default:
			if lines := r.Header[name]; lines != nil {
				r.Header[name] = append(lines, string(value))
				return
			}
			values = append(values, string(value))
			last := len(values)
			r.Header[name] = values[last-1 : last : last]
		}
	})
	return r, nil
}
