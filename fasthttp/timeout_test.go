package mcpauthfasthttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// late is a handler that goes on when a middleware in front has answered.
type late struct {
	proceed  chan struct{}
	contexts chan context.Context
	failures chan error // of its last write
}

func newLate() *late {
	return &late{make(chan struct{}), make(chan context.Context, 1), make(chan error, 1)}
}

func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.contexts <- r.Context()
	if r.URL.RawQuery == "flush" {
		w.(http.Flusher).Flush()
	}
	<-l.proceed
	var err error
	for range 3 {
		_, err = io.WriteString(w, "late")
		if r.URL.RawQuery != "" {
			err = errors.Join(err, http.NewResponseController(w).Flush())
		}
	}
	l.failures <- err
}

// TestR85TimeoutHandlerInFront answers in place of a handler that goes on. What the handler does then reaches no client, blocks
// nothing, and its session ends with it; the connection is closed, because the handler still has it.
func TestR85TimeoutHandlerInFront(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	l := newLate()
	app := config()
	mcpauthfasthttp.MountMetadata(app, rs)
	app.Handler = fasthttp.TimeoutHandler(mcpauthfasthttp.Middleware(rs)(mcpauthfasthttp.Handler(l)), 100*time.Millisecond, "too late")
	mcpauthfasthttp.Protect(app, rs)
	addr := serve(t, app)
	for _, query := range []string{"", "?flushlate"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET /mcp" + query + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
		if resp, body := conn.Answer("GET"); resp.StatusCode != http.StatusRequestTimeout || body != "too late" || !resp.Close {
			t.Errorf("%q: %d %q, close %v", query, resp.StatusCode, body, resp.Close)
		}
		bridgetest.Proceed(t, l.proceed)
		if err := bridgetest.Await(t, "the end of the handler", l.failures); query != "" && err == nil {
			t.Errorf("%q: the handler was told that it was sent", query)
		}
		ctx := bridgetest.Await(t, "the handler", l.contexts)
		for end := time.Now().Add(bridgetest.Deadline); ; time.Sleep(10 * time.Millisecond) {
			if _, err := mcpauth.SessionFromContext(ctx); errors.Is(err, mcpauth.ErrNoSession) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%q: the session is still there", query)
			}
		}
	}
}

// TestDroppedByAMiddleware: a middleware in front throws a stream away without closing it, as Fiber v3's timeout may do.
func TestDroppedByAMiddleware(t *testing.T) {
	t.Parallel()
	l := newLate()
	app := config()
	bridged := mcpauthfasthttp.Handler(l)
	app.Handler = func(ctx *fasthttp.RequestCtx) {
		c, cancel := context.WithCancel(context.Background())
		defer cancel()
		mcpauthfasthttp.SetContext(ctx, c)
		bridged(ctx)
		ctx.TimeoutError("dropped")
	}
	conn := bridgetest.Dial(t, serve(t, app))
	conn.Send("GET /?flush HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := conn.Answer("GET"); body != "dropped" {
		t.Errorf("%q", body)
	}
	bridgetest.Proceed(t, l.proceed)
	if err := bridgetest.Await(t, "the end of the handler", l.failures); err == nil {
		t.Error("the handler was told that it was sent")
	}
}
