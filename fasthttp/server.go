package mcpauthfasthttp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// refusalTime is how long a request that is going to be refused may take from its header to the part of its body that
// fasthttp reads before it calls a handler.
const refusalTime = time.Second

// undecidedTime is that for a request without credentials whose operations may be public.
const undecidedTime = 5 * time.Second

// Protect makes server refuse requests whose framing is ambiguous (RFC 9112 section 6), and close connections on which the
// body of a request was left unread, whatever the route: one request's body must not become another request. It also
// decides about requests for the paths, which rs guards, before their bodies come: fasthttp waits for the first 8 KB of a
// body before it calls a handler, and a client that is going to be refused must not hold a connection by announcing a body
// and sending none. Such a request is answered after 1 s, and its connection closed.
//
// [Mount] and [MountMetadata] call it. It wraps the Handler, HeaderReceived and ErrorHandler of server, and has to be called
// when they are set, and before server serves. It panics when rs is nil.
func Protect(server *fasthttp.Server, rs Decider, paths ...string) {
	if rs == nil || rs == Decider((*mcpauth.ResourceServer)(nil)) {
		mustBeSet(nil)
	}
	p := &protection{
		server: server, rs: rs, paths: paths, waiting: &waiting{heads: make(map[*fasthttp.RequestHeader]*head)},
		received: server.HeaderReceived, failed: server.ErrorHandler, next: handlerOf(server),
	}
	if p.failed == nil {
		p.failed = respondToFailure
	}
	server.HeaderReceived, server.ErrorHandler, server.Handler = p.headerReceived, p.readFailed, p.handle
}

// A protection has what one call of Protect needs, and the functions that server had before.
type protection struct {
	server  *fasthttp.Server
	rs      Decider
	paths   []string
	waiting *waiting

	received func(*fasthttp.RequestHeader) fasthttp.RequestConfig // nil for none
	failed   func(*fasthttp.RequestCtx, error)
	next     fasthttp.RequestHandler
}

// headerReceived decides about a request for one of the paths that announces a body, and limits the wait for it.
func (p *protection) headerReceived(header *fasthttp.RequestHeader) (config fasthttp.RequestConfig) {
	if p.received != nil {
		config = p.received(header)
	}
	if header.ContentLength() <= 0 || !slices.Contains(p.paths, alias(pathOf(header.RequestURI()))) {
		return config
	}
	h := newHead(header)
	h.decide(p.rs)
	p.waiting.add(header, h)
	if limit := h.bodyTime(); limit > 0 && (config.ReadTimeout == 0 || config.ReadTimeout > limit) &&
		(p.server.ReadTimeout == 0 || p.server.ReadTimeout > limit) {
		config.ReadTimeout = limit
	}
	return config
}

// readFailed answers a request that could not be read. One that is refused, and whose body has not come, gets its reply.
func (p *protection) readFailed(ctx *fasthttp.RequestCtx, err error) {
	if h := p.waiting.take(&ctx.Request.Header); h != nil {
		defer h.release()
		if h.decision.Reply != nil {
			ctx.Response.SkipBody = h.method == fasthttp.MethodHead
			writeReply(ctx, &h.decision, true)
			return
		}
	}
	p.failed(ctx, err)
}

// handle runs the handler for a request whose framing is not ambiguous.
func (p *protection) handle(ctx *fasthttp.RequestCtx) {
	h := p.waiting.take(&ctx.Request.Header)
	defer func() { // after a panic too: a handler in front may recover
		if timedOut := ctx.LastTimeoutErrorResponse(); timedOut != nil { // the handler still runs, with ctx and the connection
			timedOut.Header.SetConnectionClose()
			return
		}
		if h != nil {
			ctx.SetUserValue(headKey{}, nil)
			h.release()
		}
		settle(ctx, arrive(ctx))
	}()
	if h != nil {
		ctx.SetUserValue(headKey{}, h)
		if h.bodyTime() > 0 {
			var deadline time.Time
			if p.server.ReadTimeout > 0 {
				deadline = time.Now().Add(p.server.ReadTimeout)
			}
			_ = ctx.Conn().SetReadDeadline(deadline)
		}
	}
	a := arrive(ctx)
	if a&refused != 0 {
		return
	}
	if a&formed != 0 && p.server.DisablePreParseMultipartForm {
		a &^= formed
		ctx.SetUserValue(arrivalKey{}, a)
	}
	p.next(ctx)
}

// respondToFailure is what fasthttp does about a request that it can't read, as long as a server has no ErrorHandler.
func respondToFailure(ctx *fasthttp.RequestCtx, err error) {
	var tooLarge *fasthttp.ErrSmallBuffer
	var broken *net.OpError
	switch {
	case errors.As(err, &tooLarge):
		ctx.Error("Too big request header", fasthttp.StatusRequestHeaderFieldsTooLarge)
	case errors.As(err, &broken) && broken.Timeout():
		ctx.Error("Request timeout", fasthttp.StatusRequestTimeout)
	default:
		ctx.Error("Error when parsing request", fasthttp.StatusBadRequest)
	}
}

// headKey is the key of the user value with the head of a request.
type headKey struct{}

// decided returns the decision that rs has made about a request when its header came, if it was a moment ago and for the
// path that was routed.
func decided(ctx *fasthttp.RequestCtx, rs Decider, path string) (decision mcpauth.Decision, ok bool) {
	h, _ := ctx.UserValue(headKey{}).(*head)
	if h == nil || h.rs != rs || h.path != path || time.Since(h.at) > refusalTime {
		return decision, false
	}
	return h.decision, true
}

// A head is what a decision needs of a request whose body has not come yet, and the decision.
type head struct {
	method, path string // aliases of bytes
	raw          []byte
	bytes        []byte

	rs       Decider
	decision mcpauth.Decision
	at       time.Time
}

var headPool = sync.Pool{New: func() any { return new(head) }}

func newHead(header *fasthttp.RequestHeader) *head {
	h, _ := headPool.Get().(*head)
	method, path := header.Method(), pathOf(header.RequestURI())
	h.bytes = append(append(append(h.bytes[:0], method...), path...), header.RawHeaders()...)
	h.method = alias(h.bytes[:len(method)])
	h.path = alias(h.bytes[len(method):][:len(path)])
	h.raw = h.bytes[len(method)+len(path):]
	return h
}

func (h *head) decide(rs Decider) {
	h.rs, h.at = rs, time.Now()
	h.decision = rs.Authenticate(context.Background(), mcpauth.Request{Method: h.method, Path: h.path, Header: h.lines})
}

// bodyTime returns how long the first part of the body may take, 0 for as long as the server says: a caller with a good token
// may be slow.
func (h *head) bodyTime() time.Duration {
	switch {
	case h.decision.Reply != nil:
		return refusalTime
	case h.decision.Outcome == mcpauth.OutcomeUndecided:
		return undecidedTime
	}
	return 0
}

func (h *head) release() {
	h.rs, h.decision = nil, mcpauth.Decision{}
	headPool.Put(h)
}

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

func (w *waiting) add(header *fasthttp.RequestHeader, h *head) {
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
