package mcpauthecho

import (
	"net/http"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A response is an echo.Response that does not take an informational status (1xx), which [mcpauth.ResourceServer.Serve]
// lets through, for the response's own.
type response echo.Response

func (r *response) own() *echo.Response { return (*echo.Response)(r) }

func (r *response) Header() http.Header         { return r.Writer.Header() }
func (r *response) Write(p []byte) (int, error) { return r.own().Write(p) }

// Before has [mcpauth.ResourceServer.Serve] set the headers that it decides about after the functions of middlewares in front.
func (r *response) Before(fn func()) { r.own().Before(fn) }

// Unwrap gives http.ResponseController the writer below.
func (r *response) Unwrap() http.ResponseWriter { return r.Writer }

func (r *response) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols && !r.Committed {
		r.Writer.WriteHeader(status)
		return
	}
	r.own().WriteHeader(status)
}

// A visit is one request behind the middleware. Its handler gets a response of its own, because echo uses the one of the
// middlewares in front for other requests afterwards, and a handler may go on. What is written to it goes to the writer
// that [mcpauth.ResourceServer.Serve] hands on, and from there to the response in front.
type visit struct {
	c     echo.Context
	next  echo.HandlerFunc
	inner echo.Response
	err   error
}

// enter runs the next handler for an allowed request.
func (v *visit) enter(w http.ResponseWriter, r *http.Request) {
	c, request, outer := v.c, v.c.Request(), v.c.Response()
	if w != http.ResponseWriter((*response)(outer)) { // else an outer middleware has made a visit of it
		v.inner = *echo.NewResponse(w, c.Echo())
		v.inner.Status = outer.Status
		c.SetResponse(&v.inner)
	}
	c.SetRequest(r)
	defer func() {
		mcpauth.KeepRoute(r, c.Request())
		c.SetRequest(request)
		c.SetResponse(outer)
	}()
	v.err = v.next(c)
}
