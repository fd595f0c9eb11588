package mcpauthfasthttp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/valyala/fasthttp"
)

// TestR85SessionEndsWithTheResponse: in the context of a request it is there until the response is finished, streams
// included, and gone then, however the handler ended.
func TestR85SessionEndsWithTheResponse(t *testing.T) {
	t.Parallel()
	rs, env := newResource(t, "")
	contexts, streamed := make(chan context.Context, 1), make(chan error, 1)
	type ownKey struct{}
	app := config()
	keep := func(ctx *fasthttp.RequestCtx) { contexts <- mcpauthfasthttp.Context(ctx) }
	inside := mcpauthfasthttp.Middleware(rs)(routes{
		"/plain": keep,
		"/twice": mcpauthfasthttp.Middleware(rs.WithRequiredScopes())(keep),
		"/panic": func(ctx *fasthttp.RequestCtx) {
			keep(ctx)
			panic("x")
		},
		"/derived": func(ctx *fasthttp.RequestCtx) {
			derived, cancel := context.WithCancel(mcpauthfasthttp.Context(ctx))
			defer cancel()
			mcpauthfasthttp.SetContext(ctx, context.WithoutCancel(derived))
			contexts <- derived
		},
		"/stream": func(ctx *fasthttp.RequestCtx) {
			own := mcpauthfasthttp.Context(ctx)
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				_, _ = w.WriteString("data: 1\n\n")
				_ = w.Flush()
				_, err := mcpauth.SessionFromContext(own)
				streamed <- err
				contexts <- own
			})
		},
		"/bridged": mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			_, err := mcpauth.SessionFromContext(r.Context())
			streamed <- err
			_, _ = io.WriteString(w, "x")
			contexts <- r.Context()
		})),
	}.serve)
	app.Handler = func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if recover() != nil {
				ctx.SetStatusCode(http.StatusInternalServerError)
			}
		}()
		mcpauthfasthttp.SetContext(ctx, context.WithValue(mcpauthfasthttp.Context(ctx), ownKey{}, "kept"))
		inside(ctx)
	}
	addr := serve(t, app)
	for _, path := range []string{"/plain", "/twice", "/panic", "/derived", "/stream", "/bridged"} {
		conn := dial(t, addr)
		for range 2 {
			conn.write("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
			conn.response("GET")
			if path == "/stream" || path == "/bridged" {
				if err := await(t, "the end of the stream", streamed); err != nil {
					t.Errorf("%s: during the stream: %v", path, err)
				}
			}
			ctx := await(t, "the handler", contexts)
			conn.write("GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n") // fasthttp has finished the one before
			conn.response("GET")
			if session, err := mcpauth.SessionFromContext(ctx); session != nil || !errors.Is(err, mcpauth.ErrNoSession) {
				t.Errorf("%s: after the response: %v, %v", path, session, err)
			}
			if ctx.Value(ownKey{}) != "kept" {
				t.Errorf("%s: a value of a handler in front is gone", path)
			}
		}
	}
}

// TestR85SessionOfADroppedStream ends with its connection.
func TestR85SessionOfADroppedStream(t *testing.T) {
	t.Parallel()
	rs, env := newResource(t, "")
	contexts := make(chan context.Context, 1)
	app := config()
	app.Handler = mcpauthfasthttp.Middleware(rs)(func(ctx *fasthttp.RequestCtx) {
		contexts <- mcpauthfasthttp.Context(ctx)
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for {
				_, _ = w.WriteString("data: 1\n\n")
				if w.Flush() != nil {
					return
				}
			}
		})
	})
	conn := dial(t, serve(t, app))
	conn.write("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
	if _, err := conn.from.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ctx := await(t, "the handler", contexts)
	_ = conn.Close()
	if err := shutdown(app, within); err != nil { // waits for the connection's end
		t.Fatal(err)
	}
	if _, err := mcpauth.SessionFromContext(ctx); !errors.Is(err, mcpauth.ErrNoSession) {
		t.Errorf("after the connection's end: %v", err)
	}
}
