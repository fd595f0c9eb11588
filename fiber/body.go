package mcpauthfiber

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// What a handler leaves unread of a streamed request body, fasthttp 1.51 takes for the next request on the connection. A
// client behind a shared proxy could smuggle requests into other people's connections that way. So the rest is read as
// long as it is small, as net/http does, and else the connection is closed after the response.

const (
	// maxDiscard is how much of an unread body is read for the sake of the connection.
	maxDiscard = 256 << 10

	// lingerTime is how long a client that is still sending has for reading the response before the connection is reset.
	lingerTime = 500 * time.Millisecond
)

// discard reads a request body that nobody has read from, and reports whether some of it is left.
func discard(ctx *fasthttp.RequestCtx) (left bool) {
	body := bodyOf(ctx)
	body.end()
	return body.detach(ctx)
}

// closeAllUnread does closeUnread on all requests of app.
func closeAllUnread(app *fiber.App) {
	server := app.Server()
	next := server.Handler
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		closeUnread(ctx)
	}
}

// closeUnread closes the connection after the response if a handler left some of a streamed body unread.
func closeUnread(ctx *fasthttp.RequestCtx) {
	stream := ctx.RequestBodyStream()
	if stream == nil || ctx.Hijacked() || ctx.Response.ConnectionClose() {
		return
	}
	// A chunked body that has ended must not be read again, and a response that is a stream may be reading it.
	length := ctx.Request.Header.ContentLength()
	if length < 0 || length > maxDiscard || ctx.Response.IsBodyStream() {
		ctx.SetConnectionClose()
	} else if _, err := io.CopyN(io.Discard, stream, maxDiscard+1); !errors.Is(err, io.EOF) {
		ctx.SetConnectionClose()
	}
}

// respond sets a response body. While the client may still be sending, it lingers: closing the connection at once would
// reset it, and the client may lose the response.
func respond(ctx *fasthttp.RequestCtx, body []byte, linger bool) {
	if linger && len(body) > 0 && ctx.Request.Header.IsHTTP11() {
		ctx.Response.SetBodyStream(&lingering{body: bytes.NewReader(body), conn: ctx.Conn()}, -1)
		return
	}
	ctx.Response.SetBody(body)
}

// A lingering body is sent whole before its end is reached.
type lingering struct {
	body *bytes.Reader
	conn net.Conn
}

func (l *lingering) Read(p []byte) (int, error) {
	if l.body.Len() == 0 {
		if l.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, l.conn)
		}
		return 0, io.EOF
	}
	return l.body.Read(p)
}

// A requestBody is the request's body as a handler sees it: it must not read from fasthttp's once the fiber handler has
// returned, because all of that is reused.
type requestBody struct {
	ended chan struct{} // closed at the end of the body

	mu     sync.Mutex
	from   io.Reader
	left   int64 // -1 when unknown
	atEnd  bool
	closed bool
}

func bodyOf(ctx *fasthttp.RequestCtx) *requestBody {
	b := &requestBody{ended: make(chan struct{}), from: ctx.RequestBodyStream(), left: int64(ctx.Request.Header.ContentLength())}
	if b.from == nil {
		body := ctx.Request.Body()
		b.from, b.left = bytes.NewReader(body), int64(len(body))
	}
	if b.left == 0 {
		b.setAtEnd()
	}
	return b
}

func (b *requestBody) setAtEnd() {
	b.atEnd = true
	close(b.ended)
}

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
	if b.atEnd {
		return 0, io.EOF
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
	}
	if err == io.EOF {
		b.setAtEnd()
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

// end reads what is left, if it is little, and closes the body.
func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.atEnd && b.left <= maxDiscard {
		_, _ = io.CopyN(io.Discard, readerFunc(b.read), maxDiscard+1)
	}
	b.closed = true
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// detach takes the ended body from ctx, and reports whether some of it is left on the connection, which then is closed
// after the response.
func (b *requestBody) detach(ctx *fasthttp.RequestCtx) (left bool) {
	if ctx.RequestBodyStream() == nil {
		return false
	}
	_ = ctx.Request.CloseBodyStream()
	if b.atEnd {
		return false
	}
	ctx.SetConnectionClose()
	return true
}
