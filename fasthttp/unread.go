package mcpauthfasthttp

import (
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// What a handler leaves unread of a streamed request body, fasthttp may take for the next request on the connection. A
// client behind a shared proxy could smuggle requests into other people's connections that way. So the rest is read as
// long as it is small and comes soon, and else the connection is closed after the response.

const (
	// maxDiscard is how much of an unread body is read for the sake of the connection.
	maxDiscard = 256 << 10

	// skimTime is how long that may take, and so how long a response waits for a body that does not come.
	skimTime = time.Second

	// lingerTime is how long a client that is still sending has for reading the response before the connection is reset.
	lingerTime = 500 * time.Millisecond
)

// discard reads a request body that no handler has read from, and reports whether some of it is left.
func discard(ctx *fasthttp.RequestCtx, a arrival) (left bool) {
	if ctx.RequestBodyStream() == nil {
		return false
	}
	var body requestBody
	body.init(ctx, a, nil)
	body.end()
	return body.detach(ctx, a)
}

// settle is called when a handler has returned. It closes the connection after the response if the end of the request's
// body may still be on it.
func settle(ctx *fasthttp.RequestCtx, a arrival) {
	if ctx.Hijacked() {
		return
	}
	if x, ok := ctx.UserValue(exchangeKey{}).(*exchange); ok && x.brokenOff.Load() {
		abort(ctx) // a middleware has taken the response, or what there was of it
		return
	}
	if ctx.Response.ConnectionClose() {
		return
	}
	switch stream := ctx.RequestBodyStream(); {
	case stream != nil:
		// A chunked body that has ended must not be read again, and a response that is a stream may be reading it.
		length := ctx.Request.Header.ContentLength()
		if length < 0 || length > maxDiscard || ctx.Response.IsBodyStream() || !skim(ctx.Conn(), stream) {
			ctx.SetConnectionClose()
		}
	case a&formed != 0:
		ctx.SetConnectionClose() // fasthttp 1.74 leaves what is behind the form
	case a&streamed != 0 && !readWhole(ctx, a):
		ctx.SetConnectionClose()
	}
}

// readWhole reports whether a streamed body that was read by Body is known to be read to its end. Of an error, Body
// returns the text.
func readWhole(ctx *fasthttp.RequestCtx, a arrival) bool {
	if a&chunked != 0 {
		return false
	}
	length := ctx.Request.Header.ContentLength()
	return length <= prefetched || len(ctx.Request.Body()) == length
}

// abort closes the connection without a response.
func abort(ctx *fasthttp.RequestCtx) {
	_ = ctx.Response.CloseBodyStream()
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(net.Conn) {}) // which closes it
}

// respond sets a response body. While the client may still be sending, it lingers: closing the connection at once would
// reset it, and the client may lose the response.
func respond(ctx *fasthttp.RequestCtx, body []byte, linger bool) {
	if linger && len(body) > 0 {
		ctx.Response.SetBodyStream(&lingering{rest: body, conn: ctx.Conn()}, len(body))
		ctx.Response.ImmediateHeaderFlush = true
		return
	}
	ctx.Response.SetBody(body)
}

// A lingering body is sent whole before its end is reached.
type lingering struct {
	rest []byte
	conn net.Conn
}

func (l *lingering) next() ([]byte, error) {
	if len(l.rest) == 0 {
		if l.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, l.conn)
		}
		return nil, io.EOF
	}
	rest := l.rest
	l.rest = nil
	return rest, nil
}

// Read is for what can't use WriteTo.
func (l *lingering) Read(p []byte) (n int, err error) {
	rest, err := l.next()
	n = copy(p, rest)
	l.rest = rest[n:]
	return n, err
}

// WriteTo sends the body before its end is reached.
func (l *lingering) WriteTo(w io.Writer) (int64, error) { return writeTo(w, l) }

// SupportsBodyWriteTo makes fasthttp use WriteTo.
func (l *lingering) SupportsBodyWriteTo() bool { return true }

// A pieceReader is a response body that comes in pieces. A piece is good until the next call.
type pieceReader interface {
	io.Reader
	next() ([]byte, error)
}

// writeTo copies a response body to the connection, or to what a middleware has put in front of it, and keeps none of it
// in a buffer.
func writeTo(w io.Writer, body pieceReader) (written int64, err error) {
	flusher, buffers := w.(interface{ Flush() error })
	if from, ok := w.(io.ReaderFrom); ok && !buffers { // a body of fixed length from fasthttp 1.76 on
		return from.ReadFrom(struct{ io.Reader }{body})
	}
	for {
		piece, err := body.next()
		if err == io.EOF { //nolint:errorlint // as every reader of a stream
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(piece)
		written += int64(n)
		if err == nil && buffers {
			err = flusher.Flush()
		}
		if err != nil {
			return written, err
		}
	}
}
