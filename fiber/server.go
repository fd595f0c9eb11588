package mcpauthfiber

import (
	"bytes"
	"context"
	"sync"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// How long a request may take from its header to the part of its body that fasthttp reads before it calls a handler.
const (
	patienceWithout = time.Second     // without credentials
	patienceWith    = 5 * time.Second // with some, which are not verified yet
)

// protect makes a server judge the framing of all its requests, close connections on which a body was left unread, and
// answer requests for the paths of rs whose body does not come. It has to be called before the server serves.
func protect(server *fasthttp.Server, rs *mcpauth.ResourceServer, paths []string) {
	next, received, failed := server.Handler, server.HeaderReceived, server.ErrorHandler
	waiting := &waiting{heads: make(map[*fasthttp.RequestHeader]*head)}

	server.HeaderReceived = func(header *fasthttp.RequestHeader) (config fasthttp.RequestConfig) {
		if received != nil {
			config = received(header)
		}
		if limit := patience(server, header, paths); limit > 0 {
			waiting.add(header)
			if (config.ReadTimeout == 0 || config.ReadTimeout > limit) && (server.ReadTimeout == 0 || server.ReadTimeout > limit) {
				config.ReadTimeout = limit
			}
		}
		return config
	}
	server.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		if h := waiting.take(&ctx.Request.Header); h != nil {
			decision := rs.Authenticate(context.Background(), mcpauth.Request{Method: h.method, Path: h.path, Header: h.lines})
			if decision.Reply != nil {
				ctx.Response.SkipBody = h.method == fasthttp.MethodHead
				writeReply(ctx, &decision, true)
				return
			}
		}
		if failed != nil {
			failed(ctx, err)
			return
		}
		ctx.Error("Error when parsing request", fasthttp.StatusBadRequest)
	}
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		if h := waiting.take(&ctx.Request.Header); h != nil {
			headPool.Put(h)
			var deadline time.Time
			if server.ReadTimeout > 0 {
				deadline = time.Now().Add(server.ReadTimeout)
			}
			_ = ctx.Conn().SetReadDeadline(deadline)
		}
		a := arrive(ctx)
		if a&refused != 0 {
			return
		}
		if a&formed != 0 && server.DisablePreParseMultipartForm {
			a &^= formed
			ctx.SetUserValue(arrivalKey{}, a)
		}
		next(ctx)
		settle(ctx, arrive(ctx))
	}
}

// patience returns how long a request may take to send what fasthttp waits for, or 0 for as long as it likes.
func patience(server *fasthttp.Server, header *fasthttp.RequestHeader, paths []string) time.Duration {
	if header.ContentLength() <= 0 {
		return 0
	}
	path := pathOf(header.RequestURI())
	for _, p := range paths {
		switch {
		case p != alias(path):
		case !hasCredentials(header):
			return patienceWithout
		case server.StreamRequestBody:
			return patienceWith // else it is about all of the body
		}
	}
	return 0
}

func hasCredentials(header *fasthttp.RequestHeader) bool {
	lines := linesOf(header)
	defer lines.release()
	return len(lines.get(fasthttp.HeaderAuthorization)) > 0
}

// A head is what a decision needs of a request that waits for its body.
type head struct {
	method, path string // aliases of bytes
	raw          []byte
	bytes        []byte
}

var headPool = sync.Pool{New: func() any { return new(head) }}

// lines is [mcpauth.Request.Header].
func (h *head) lines(name string) (found []string) {
	for line := range bytes.Lines(h.raw) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && is(key, name) {
			found = append(found, string(bytes.Trim(value, " \t\r\n")))
		}
	}
	return found
}

// waiting holds the heads of requests whose body has not come yet: fasthttp has forgotten them when it gives up.
type waiting struct {
	mu    sync.Mutex
	heads map[*fasthttp.RequestHeader]*head
}

func (w *waiting) add(header *fasthttp.RequestHeader) {
	h, _ := headPool.Get().(*head)
	method, path := header.Method(), pathOf(header.RequestURI())
	h.bytes = append(append(append(h.bytes[:0], method...), path...), header.RawHeaders()...)
	h.method = alias(h.bytes[:len(method)])
	h.path = alias(h.bytes[len(method):][:len(path)])
	h.raw = h.bytes[len(method)+len(path):]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heads[header] = h
}

func (w *waiting) take(header *fasthttp.RequestHeader) *head {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.heads[header]
	if h != nil {
		delete(w.heads, header)
	}
	return h
}
