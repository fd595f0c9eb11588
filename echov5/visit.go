package mcpauthechov5

import (
	"net/http"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A visit is one request behind the middleware.
type visit struct {
	c    *echo.Context
	next echo.HandlerFunc
	err  error
}

// enter runs the next handler for an allowed request. What the handler writes goes to w, and from there to the response
// that the middlewares in front know. A handler that goes on when it has returned can't reach that one, which echo uses for
// other requests.
func (v *visit) enter(w http.ResponseWriter, r *http.Request) {
	c, request, before := v.c, v.c.Request(), v.c.Response()
	c.SetRequest(r)
	c.SetResponse(w)
	defer func() {
		mcpauth.KeepRoute(r, c.Request())
		c.SetRequest(request)
		c.SetResponse(before)
	}()
	v.err = v.next(c)
}

// outside returns what Serve gets for the response of a context: an echo.Response, or what a middleware in front has put
// around one. Either way, an informational status (1xx), which [mcpauth.ResourceServer.Serve] lets through, is not taken for
// the response's own.
func outside(c *echo.Context) http.ResponseWriter {
	w := c.Response()
	if r, ok := w.(*echo.Response); ok {
		return (*response)(r)
	}
	r, err := echo.UnwrapResponse(w)
	if _, none := Session(c); none == nil || err != nil { // an outer middleware of ours is there, and does it
		return w
	}
	return &wrapped{w, (*response)(r)}
}

// A response is an echo.Response that sends an informational status and stays uncommitted.
type response echo.Response

func (r *response) own() *echo.Response { return (*echo.Response)(r) }

func (r *response) Write(p []byte) (int, error) { return r.own().Write(p) }

func (r *response) WriteHeader(status int) {
	if !r.inform(status) {
		r.own().WriteHeader(status)
	}
}

// inform sends an informational status, and reports whether status is one.
func (r *response) inform(status int) bool {
	if status < 100 || status >= 200 || status == http.StatusSwitchingProtocols || r.Committed {
		return false
	}
	r.ResponseWriter.WriteHeader(status)
	return true
}

// Before has [mcpauth.ResourceServer.Serve] set the headers that it decides about after the functions of middlewares in front.
func (r *response) Before(fn func()) { r.own().Before(fn) }

// FlushError reports an error where the Flush of an echo.Response panics or says nothing.
func (r *response) FlushError() error { return http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap returns the echo.Response, which echo.UnwrapResponse looks for.
func (r *response) Unwrap() http.ResponseWriter { return r.own() }

// A wrapped writer is what a middleware has put around an echo.Response, and would hand an informational status to.
type wrapped struct {
	http.ResponseWriter
	inside *response
}

func (w *wrapped) WriteHeader(status int) {
	if !w.inside.inform(status) {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Before is that of the response inside.
func (w *wrapped) Before(fn func()) { w.inside.Before(fn) }

// Unwrap gives http.ResponseController the writer of the middleware.
func (w *wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
