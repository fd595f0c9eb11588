package mcpauthfiber

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const (
	// maxBuffered is how long a response may be before it is streamed without being flushed.
	maxBuffered = 256 << 10

	// chunkSize is how much of a stream is written before it is sent without being flushed.
	chunkSize = 32 << 10
)

// A response is the http.ResponseWriter of an exchange. It belongs to the handler until ready is closed; from then on the
// fiber handler reads what was decided, and the two talk by channels.
type response struct {
	x      *exchange
	outer  []string // the names of the headers that were set before
	head   bool     // no body is sent
	http10 bool     // it can't be streamed

	ready     chan struct{} // closed when the response begins: at the first Flush or at the end
	streaming bool
	failure   error // why there is no response, or, once ended is closed, no end of the stream

	mu      sync.Mutex // for handlers with several goroutines, and those that outlive their handler
	header  http.Header
	status  int         // 0 until WriteHeader
	sent    http.Header // header as it was then
	buf     []byte
	length  int // of all that was written
	sniffed bool
	over    bool

	// Made when the response becomes a stream, before ready is closed.
	chunks chan []byte
	taken  chan struct{} // the last chunk has been written to the connection
	ended  chan struct{}
	broken chan struct{} // nobody reads the stream any more
}

func newResponse(ctx *fasthttp.RequestCtx, x *exchange) *response {
	w := &response{
		x: x, head: ctx.IsHead(), http10: !ctx.Request.Header.IsHTTP11(),
		ready: make(chan struct{}), header: make(http.Header),
	}
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.Response.Header.VisitAll(func(key, value []byte) {
		name := string(key)
		if name == fiber.HeaderContentLength {
			return
		}
		if w.header[name] == nil {
			w.outer = append(w.outer, name)
		}
		w.header[name] = append(w.header[name], string(value))
	})
	return w
}

// Header returns the headers to be sent, those that were set before the handler ran included.
func (w *response) Header() http.Header { return w.header }

// WriteHeader sets the status and the headers, once and for all. Informational ones (1xx) are not sent.
func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *response) writeHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if w.status == 0 && !w.over && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write keeps p until there is enough of it, or it is flushed.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return 0, errReturned
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if !w.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	w.length += len(p)
	if w.head && len(w.buf) > 0 {
		return len(p), nil // the first bytes are there to tell the content type
	}
	w.buf = append(w.buf, p...)
	limit := maxBuffered
	if w.streaming {
		limit = chunkSize
	}
	if len(w.buf) > limit {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *response) mayHaveBody() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// Flush sends what was written, and makes the response a stream.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController. It returns when the bytes have been written to the connection.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return errReturned
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	return w.flush()
}

func (w *response) flush() error {
	w.sniff()
	if w.head || w.http10 || !w.mayHaveBody() {
		return nil
	}
	if !w.streaming {
		w.streaming = true
		w.chunks, w.taken, w.ended, w.broken = make(chan []byte), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		w.begin()
	}
	select {
	case <-w.broken:
		return errDisconnected
	default:
	}
	if len(w.buf) == 0 {
		return nil
	}
	select {
	case w.chunks <- w.buf:
	case <-w.broken:
		return errDisconnected
	}
	select {
	case <-w.taken:
		w.buf = w.buf[:0]
		return nil
	case <-w.broken:
		w.buf = nil // it may still be being read
		return errDisconnected
	}
}

// sniff names the content type by the first bytes, when the handler has not. Once the headers are flushed it is too late.
func (w *response) sniff() {
	if w.sniffed {
		return
	}
	w.sniffed = true
	_, typed := w.sent["Content-Type"]
	if !typed && len(w.buf) > 0 && w.sent.Get("Content-Encoding") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(w.buf))
	}
}

// begin lets the fiber handler go on.
func (w *response) begin() {
	w.sniff()
	w.x.body.end()
	close(w.ready)
}

// end is called when the handler has returned, or with the reason why it has not.
func (w *response) end(failure error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	w.over = true
	if !w.streaming {
		w.failure = failure
		w.begin()
		return
	}
	if failure == nil {
		_ = w.flush() // the handler is not there to be told
		failure = io.EOF
	}
	w.failure = failure
	close(w.ended)
}

// send gives fasthttp the response. It runs once ready is closed.
func (w *response) send(ctx *fasthttp.RequestCtx) error {
	unread := w.x.body.detach(ctx)
	if w.streaming {
		w.writeTo(&ctx.Response.Header)
		ctx.Response.ImmediateHeaderFlush = true
		ctx.Response.SetBodyStream(&stream{w: w}, -1)
		return nil
	}
	w.x.stop()
	switch w.failure {
	case nil:
	case http.ErrAbortHandler: //nolint:errorlint // set by serve
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(net.Conn) {}) // which closes the connection
		return nil
	default:
		ctx.Response.Header.SetNoDefaultContentType(false)
		return w.failure
	}
	w.writeTo(&ctx.Response.Header)
	if w.head {
		ctx.Response.ResetBody()
		if w.length > 0 && ctx.Response.Header.ContentLength() == 0 {
			ctx.Response.Header.SetContentLength(w.length)
		}
		return nil
	}
	respond(ctx, w.buf, unread)
	return nil
}

func (w *response) writeTo(header *fasthttp.ResponseHeader) {
	header.SetStatusCode(w.status)
	for _, name := range w.outer {
		header.Del(name)
	}
	for name, values := range w.sent {
		if !w.forwards(name) {
			continue
		}
		for _, value := range values {
			header.Add(name, value)
		}
	}
}

// forwards reports whether a header is the handler's to set: framing is fasthttp's.
func (w *response) forwards(name string) bool {
	switch name {
	case fiber.HeaderContentLength:
		return w.head
	case fiber.HeaderTransferEncoding, fiber.HeaderTrailer:
		return false
	}
	return name != "" && !strings.ContainsAny(name, " \t\r\n:")
}

// A stream is a streamed response as fasthttp reads it.
type stream struct {
	w     *response
	rest  []byte
	owing bool // whether the handler waits for rest to be written
}

// Read returns what the handler flushed. Being called again tells that all of it was written to the connection.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.owing {
			s.owing = false
			s.w.taken <- struct{}{}
		}
		select {
		case s.rest = <-s.w.chunks:
			s.owing = true
		case <-s.w.ended:
			return 0, s.w.failure
		case <-s.w.x.shutdown:
			s.w.x.shutDown()
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close is called at the end of the stream, or when it can't be written any more.
func (s *stream) Close() error {
	s.w.x.stop()
	s.w.x.cancel(errDisconnected)
	close(s.w.broken)
	return nil
}
