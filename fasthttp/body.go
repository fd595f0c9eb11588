package mcpauthfasthttp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// prefetched is how much of a streamed body fasthttp reads before it calls a handler.
const prefetched = 8 << 10

// A requestBody is the request's body as a handler sees it: it must not read from fasthttp's once the fasthttp handler
// has returned, because all of that is reused.
type requestBody struct {
	x     *exchange // nil when it is read without a handler
	conn  net.Conn
	ended atomic.Bool // its end was read

	mu       sync.Mutex
	from     io.Reader
	buffered bytes.Reader
	left     int64 // -1 when unknown
	failed   error // what broke it off; where the next request begins is not known then
	closed   bool
}

func (b *requestBody) init(ctx *fasthttp.RequestCtx, a arrival, x *exchange) {
	b.x, b.conn, b.from, b.left = x, ctx.Conn(), ctx.RequestBodyStream(), int64(ctx.Request.Header.ContentLength())
	if b.from == nil {
		length, body := b.left, ctx.Request.Body()
		b.buffered.Reset(body)
		b.from, b.left = &b.buffered, int64(len(body))
		if a&streamed != 0 && length > prefetched && b.left < length {
			// Somebody in front has read it with Body, which returns the text of an error for a body that broke off.
			b.from, b.left = broken{}, length
		}
	}
	if b.left == 0 {
		b.ended.Store(true)
	}
}

// broken is a body that could not be read.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Read fails once the body is closed, which the response's first Flush does as under net/http's HTTP/1.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

func (b *requestBody) read(p []byte) (int, error) {
	switch {
	case b.ended.Load():
		return 0, io.EOF
	case b.failed != nil:
		return 0, b.failed
	}
	n, err := b.from.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
		switch {
		case b.left == 0:
			err = io.EOF
		case errors.Is(err, io.EOF): // fasthttp says the same of a connection that broke
			err = io.ErrUnexpectedEOF
		}
	} else if err == io.EOF && closedByClient(b.conn) {
		err = io.ErrUnexpectedEOF // fasthttp 1.74 says io.EOF between two chunks; a client that is gone needs no answer
	}
	switch err {
	case nil:
	case io.EOF:
		b.ended.Store(true)
		if b.x != nil {
			b.x.watchIfRead()
		}
	default:
		b.failed = err
	}
	return n, err
}

// Close is for the handler; the rest of the body is not read before the response is begun.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// end reads what is left, if it is little and comes soon, and closes the body.
func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended.Load() && b.failed == nil && b.left <= maxDiscard {
		skim(b.conn, readerFunc(b.read))
	}
	b.closed = true
}

// skim reads and drops what is left of a body, and reports whether it came to the end. It is read before the response is
// sent, as net/http does: many clients send all they have before they look at the response. A client that announces a
// body and sends none gets its response all the same.
func skim(conn net.Conn, body io.Reader) bool {
	if conn.SetReadDeadline(time.Now().Add(skimTime)) != nil {
		return false
	}
	_, err := io.CopyN(io.Discard, body, maxDiscard+1)
	_ = conn.SetReadDeadline(time.Time{}) // fasthttp sets its own before each request
	return err == io.EOF                  //nolint:errorlint // a truncated body is another error
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// detach takes the ended body from ctx, and reports whether some of it is left on the connection, which then is closed
// after the response.
func (b *requestBody) detach(ctx *fasthttp.RequestCtx, a arrival) (left bool) {
	if ctx.RequestBodyStream() == nil {
		return false
	}
	_ = ctx.Request.CloseBodyStream()
	if b.ended.Load() {
		ctx.SetUserValue(arrivalKey{}, a&^(chunked|streamed)) // all of it is read
		return false
	}
	ctx.SetConnectionClose()
	return true
}
