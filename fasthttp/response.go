package mcpauthfasthttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// maxBuffered is how long a response may be before it is streamed without being flushed.
	maxBuffered = 256 << 10

	// dropTime is how long a stream waits to be read when it seems to have been dropped.
	dropTime = 5 * time.Second

	// chunkSize is how much of a stream is written before it is sent without being flushed.
	chunkSize = 32 << 10
)

// errShort ends a response that is shorter than its handler has declared.
var errShort = errors.New("mcpauthfasthttp: the response is shorter than its Content-Length")

// A response is the http.ResponseWriter of an exchange. It belongs to the handler until it begins; from then on
// fasthttp's goroutine reads what was decided, and the two talk by channels.
type response struct {
	x      *exchange
	outer  []string // the names of the headers that were set before
	head   bool     // no body is sent
	http10 bool     // it can't be streamed

	streaming bool
	failure   error // why there is no response, or, once ended is closed, no end of the stream

	mu          sync.Mutex // for handlers with several goroutines, and those that outlive their handler
	header      http.Header
	status      int    // 0 until WriteHeader
	sent        []line // header as it was then
	typed       bool   // it had a content type, or an encoding that hides it
	contentType string // else the one that the first bytes have
	buf         []byte
	length      int64 // of all that was written
	declared    int64 // the Content-Length that the handler has set, or -1
	sniffed     bool
	over        bool

	// Made when the response becomes a stream, before it begins.
	chunks chan []byte
	taken  chan struct{} // the last chunk has been written to the connection
	ended  chan struct{}
	broken chan struct{} // closed when the stream is not read any more

	writeErr error // why, once broken is closed; nil when it is not known
}

// A line is a line of a header.
type line struct{ name, value string }

func (w *response) init(ctx *fasthttp.RequestCtx, x *exchange) {
	w.x, w.head, w.http10, w.declared = x, ctx.IsHead(), !ctx.Request.Header.IsHTTP11(), -1
	w.buf, w.sent, x.worker.buf, x.worker.sent = x.worker.buf, x.worker.sent, nil, nil
	w.header = make(http.Header)
	ctx.Response.Header.SetNoDefaultContentType(true)
	for key, value := range ctx.Response.Header.All() {
		name := string(key)
		if name == fasthttp.HeaderContentLength {
			continue
		}
		if w.header[name] == nil {
			w.outer = append(w.outer, name)
		}
		w.header[name] = append(w.header[name], string(value))
	}
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
	if w.status != 0 || w.over || status < 200 {
		return
	}
	w.status = status
	for name, values := range w.header {
		if !w.forwards(name) {
			continue
		}
		for _, value := range values {
			w.sent = append(w.sent, line{name, value})
		}
	}
	_, w.typed = w.header[fasthttp.HeaderContentType]
	w.typed = w.typed || w.header.Get(fasthttp.HeaderContentEncoding) != ""
	if length := w.header[fasthttp.HeaderContentLength]; len(length) > 0 && w.header.Get(fasthttp.HeaderTransferEncoding) == "" {
		if n, err := strconv.ParseInt(length[0], 10, strconv.IntSize); err == nil && n >= 0 {
			w.declared = n
		}
	}
}

// Write keeps p until there is enough of it, or it is flushed. What is more than the handler has declared as
// Content-Length is not sent.
func (w *response) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return 0, errReturned
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !w.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	w.length += int64(len(p))
	if w.declared >= 0 && w.length > w.declared {
		return 0, http.ErrContentLength
	}
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

// SetReadDeadline is for http.ResponseController. It ends reading the request's body; what comes behind that is left
// alone.
func (w *response) SetReadDeadline(t time.Time) error { return w.x.setReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController. Past it, what blocks in Write or Flush is freed with an error, and the
// connection is closed when something is to be sent. It ends with the response.
func (w *response) SetWriteDeadline(t time.Time) error { return w.x.setWriteDeadline(t) }

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
	if w.head || w.http10 && w.declared < 0 || !w.mayHaveBody() {
		return nil
	}
	if !w.streaming {
		w.streaming = true
		w.chunks, w.taken, w.ended, w.broken = make(chan []byte), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		w.begin()
	}
	select {
	case <-w.broken:
		return w.brokenBy()
	default:
	}
	if len(w.buf) == 0 {
		return nil
	}
	if !w.offer() {
		return w.brokenBy()
	}
	select {
	case <-w.taken:
		w.buf = w.buf[:0]
		return nil
	case <-w.broken:
		w.buf = nil // it may still be being read
		return w.brokenBy()
	}
}

// offer hands what was written to the goroutine that reads the stream. It returns false when the stream is not read.
func (w *response) offer() bool {
	select {
	case w.chunks <- w.buf:
		return true
	case <-w.broken:
		return false
	case <-w.x.ahead: // the context of a middleware in front has ended: it may have dropped the response
	}
	timer := time.NewTimer(dropTime)
	defer timer.Stop()
	select {
	case w.chunks <- w.buf:
		return true
	case <-w.broken:
	case <-timer.C:
		w.drop()
	}
	return false
}

func (w *response) brokenBy() error {
	if errors.Is(w.writeErr, os.ErrDeadlineExceeded) {
		return w.writeErr
	}
	return errDisconnected
}

// sniff names the content type by the first bytes, when the handler has not. Once the headers are flushed it is too late.
func (w *response) sniff() {
	if w.sniffed {
		return
	}
	w.sniffed = true
	if !w.typed && len(w.buf) > 0 && w.status != http.StatusNotModified {
		w.contentType = http.DetectContentType(w.buf)
	}
}

// begin lets fasthttp's goroutine go on.
func (w *response) begin() {
	w.sniff()
	w.x.body.end()
	if w.streaming {
		w.x.bridge.workers.begin(w.x)
	}
	w.x.worker.events <- begun
}

// end is called when the handler has returned, or with the reason why it has not.
func (w *response) end(failure error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	w.over = true
	if failure == nil && w.declared >= 0 && w.length != w.declared && !w.head && w.mayHaveBody() {
		_ = w.flush() // what there is of it
		failure = errShort
	}
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
