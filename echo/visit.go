package mcpauthecho

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// A response is an echo.Response that does not take an informational status (1xx), which [mcpauth.ResourceServer.Serve]
// lets through, for the response's own.
type response echo.Response

func (r *response) own() *echo.Response { return (*echo.Response)(r) }

func (r *response) Header() http.Header         { return r.own().Header() }
func (r *response) Write(p []byte) (int, error) { return r.own().Write(p) }

// Unwrap gives http.ResponseController the writer below.
func (r *response) Unwrap() http.ResponseWriter { return r.Writer }

func (r *response) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols && !r.Committed {
		r.Writer.WriteHeader(status)
		return
	}
	r.own().WriteHeader(status)
}

// A visit is one request behind the middleware. Its handler gets a response of its own, which writes to what Serve hands
// on, and that to the response which the middlewares in front know.
type visit struct {
	c     echo.Context
	next  echo.HandlerFunc
	outer *echo.Response
	inner echo.Response
	err   error
}

// An outside is a visit as Serve sees it from outside: the outer response.
type outside visit

func (o *outside) Header() http.Header         { return o.outer.Header() }
func (o *outside) Write(p []byte) (int, error) { return o.outer.Write(p) }
func (o *outside) WriteHeader(status int)      { (*response)(o.outer).WriteHeader(status) }

// Unwrap gives http.ResponseController the writer below.
func (o *outside) Unwrap() http.ResponseWriter { return o.outer.Writer }

// enter runs the next handler for an allowed request. w is what Serve has put around an outside.
func enter(w http.ResponseWriter, r *http.Request) {
	v := visitOf(w)
	c, request := v.c, v.c.Request()
	if w != http.ResponseWriter((*outside)(v)) { // else another middleware has judged the request before
		v.inner = *echo.NewResponse(w, c.Echo())
		v.inner.Status = v.outer.Status
		c.SetResponse(&v.inner)
	}
	c.SetRequest(r)
	defer func() {
		c.SetRequest(request)
		c.SetResponse(v.outer)
	}()
	v.err = v.next(c)
}

func visitOf(w http.ResponseWriter) *visit {
	for {
		if o, ok := w.(*outside); ok {
			return (*visit)(o)
		}
		w = w.(interface{ Unwrap() http.ResponseWriter }).Unwrap() //nolint:forcetypeassert // Serve's writers have it
	}
}
