package mcpauthgin

import (
	"bufio"
	"context"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A visit is one request behind the middleware, and the gin.ResponseWriter of its handlers: what they write goes through
// the writer that [mcpauth.ResourceServer.Serve] hands on. gin sends the header late, with the first byte, and that is when
// it has to be complete; so only the writing methods are taken over, and the status is kept by gin's own writer.
//
// gin uses its own writer for other requests afterwards, and a handler may go on: the methods that change something do
// nothing then.
type visit struct {
	gin.ResponseWriter // gin's own
	c                  *gin.Context
	inside             http.ResponseWriter
	ctx                context.Context // of the allowed request
}

// enter runs the rest of gin's chain for an allowed request.
func (v *visit) enter(w http.ResponseWriter, r *http.Request) {
	c, request := v.c, v.c.Request
	v.inside, v.ctx, c.Request = w, r.Context(), r
	if w != http.ResponseWriter(v.ResponseWriter) { // else an outer middleware has made a visit of it
		c.Writer = v
	}
	defer func() {
		mcpauth.KeepRoute(r, c.Request)
		c.Request, c.Writer = request, v.ResponseWriter
	}()
	c.Next()
}

// isOver reports whether gin's own writer may be another request's by now.
func (v *visit) isOver() bool {
	return v.inside.(interface{ Unwrap() http.ResponseWriter }).Unwrap() == nil //nolint:forcetypeassert // Serve's writers have it
}

func (v *visit) Header() http.Header               { return v.inside.Header() }
func (v *visit) Write(p []byte) (int, error)       { return v.inside.Write(p) }
func (v *visit) WriteString(s string) (int, error) { return v.inside.Write([]byte(s)) }

func (v *visit) WriteHeader(status int) {
	if !v.isOver() {
		v.ResponseWriter.WriteHeader(status)
	}
}

// WriteHeaderNow sends the header, unless it was sent.
func (v *visit) WriteHeaderNow() {
	if !v.isOver() && !v.Written() {
		_, _ = v.inside.Write(nil)
	}
}

func (v *visit) Flush() { _ = v.FlushError() }

// FlushError is Flush for http.ResponseController.
func (v *visit) FlushError() error { return http.NewResponseController(v.inside).Flush() }

// Hijack fails where gin's own writer would panic, as over HTTP/2.
func (v *visit) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if hijacker, ok := v.inside.(http.Hijacker); ok {
		return hijacker.Hijack()
	}
	return nil, nil, http.ErrNotSupported
}

// CloseNotify tells of the client's end, as gin's own does, and of the end of the token: [gin.Context.Stream] waits for it.
func (v *visit) CloseNotify() <-chan bool {
	closed := make(chan bool, 1)
	context.AfterFunc(v.ctx, func() { closed <- true })
	return closed
}

// Pusher returns gin's, or nil.
func (v *visit) Pusher() http.Pusher {
	if v.isOver() {
		return nil
	}
	return v.ResponseWriter.Pusher()
}

func (v *visit) Unwrap() http.ResponseWriter { return v.inside }
