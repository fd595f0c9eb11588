package mcpauthfasthttp

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/valyala/fasthttp"
)

// send gives fasthttp the response, once it has begun. An error means that there is none.
func (w *response) send(ctx *fasthttp.RequestCtx, a arrival) error {
	unread := w.x.body.detach(ctx, a)
	if w.streaming {
		w.writeTo(&ctx.Response.Header)
		ctx.Response.ImmediateHeaderFlush = true
		ctx.Response.SetBodyStream(&stream{w: w}, int(w.declared))
		return nil
	}
	w.x.stop()
	switch w.failure {
	case nil:
	case http.ErrAbortHandler: //nolint:errorlint // set by run
		abort(ctx)
		return nil
	default:
		ctx.Response.Header.SetNoDefaultContentType(false)
		return w.failure
	}
	if w.x.tooLate() {
		abort(ctx)
		return nil
	}
	w.writeTo(&ctx.Response.Header)
	if w.head {
		ctx.Response.ResetBody()
		if w.declared >= 0 {
			ctx.Response.Header.SetContentLength(int(w.declared))
		} else if w.length > 0 {
			ctx.Response.Header.SetContentLength(int(w.length))
		}
		return nil
	}
	respond(ctx, w.buf, unread)
	if unread {
		w.buf = nil // it will be read later
	}
	return nil
}

func (w *response) writeTo(header *fasthttp.ResponseHeader) {
	header.SetStatusCode(w.status)
	for _, name := range w.outer {
		header.Del(name)
	}
	var connection []string
	for _, line := range w.sent {
		if strings.EqualFold(line.name, fasthttp.HeaderConnection) {
			connection = append(connection, line.value)
			continue
		}
		addLine(header, line.name, line.value)
	}
	if w.contentType != "" {
		header.SetContentType(w.contentType)
	}
	// With any other value, fasthttp would forget that the connection has to be closed.
	switch {
	case closes(connection):
		header.SetConnectionClose()
	case !header.ConnectionClose():
		addHeader(header, fasthttp.HeaderConnection, connection)
	}
}

// closes reports whether a Connection header has the option "close".
func closes(connection []string) bool {
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(option, " \t"), "close") {
				return true
			}
		}
	}
	return false
}

// forwards reports whether a header is the handler's to set: framing is not.
func (w *response) forwards(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case fasthttp.HeaderContentLength, fasthttp.HeaderTransferEncoding, fasthttp.HeaderTrailer:
		return false
	case fasthttp.HeaderContentType:
		return w.status != http.StatusNotModified
	}
	return true
}

// drop is called when the response is not going to be read.
func (w *response) drop() {
	_ = w.x.Close()
	if w.streaming {
		_ = (&stream{w: w}).Close()
		return
	}
	w.x.stop()
}
