package mcpauthgin

import (
	"bufio"
	"context"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// A visit is the gin.ResponseWriter of the handlers behind the middleware: what they write goes through the writer that
// [mcpauth.ResourceServer.Serve] hands on. gin sends the header late, with the first byte, and that is when it has to be
// complete; so only the writing methods are taken over, and the status is kept by gin's own writer.
type visit struct {
	gin.ResponseWriter // gin's own
	c                  *gin.Context
	inside             http.ResponseWriter // nil until the request is allowed
	ctx                context.Context     // of the allowed request
}

// An outside is a visit as Serve sees it from outside: gin's own writer, which knows its visit.
type outside visit

// Unwrap gives http.ResponseController gin's own writer.
func (o *outside) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// enter runs the rest of gin's chain for an allowed request. w is what Serve has put around an outside.
func enter(w http.ResponseWriter, r *http.Request) {
	v := visitOf(w)
	v.inside, v.ctx = w, r.Context()
	c, request := v.c, v.c.Request
	c.Request, c.Writer = r, v
	if w == http.ResponseWriter((*outside)(v)) { // nothing around it: another middleware has judged the request before
		c.Writer = v.ResponseWriter
	}
	defer func() { c.Request, c.Writer = request, v.ResponseWriter }()
	c.Next()
}

func visitOf(w http.ResponseWriter) *visit {
	for {
		if o, ok := w.(*outside); ok {
			return (*visit)(o)
		}
		w = w.(interface{ Unwrap() http.ResponseWriter }).Unwrap() //nolint:forcetypeassert // Serve's writers have it
	}
}

func (v *visit) Write(p []byte) (int, error)       { return v.inside.Write(p) }
func (v *visit) WriteString(s string) (int, error) { return v.inside.Write([]byte(s)) }

// WriteHeaderNow sends the header, unless it was sent.
func (v *visit) WriteHeaderNow() {
	if !v.Written() {
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

func (v *visit) Unwrap() http.ResponseWriter { return v.inside }
