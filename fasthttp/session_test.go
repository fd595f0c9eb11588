package mcpauthfasthttp_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// TestR85SessionEndsWithTheResponse: in the context of a request it is there until the response is finished, streams
// included, and gone then, however the handler ended.
func TestR85SessionEndsWithTheResponse(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	contexts, streamed := make(chan context.Context, 1), make(chan error, 1)
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
		mcpauthfasthttp.SetContext(ctx, context.WithValue(mcpauthfasthttp.Context(ctx), bridgetest.OwnKey{}, "kept"))
		inside(ctx)
	}
	bridgetest.SessionsEnd(t, serve(t, app), env.Token(nil), []string{"/plain", "/twice", "/panic", "/derived"}, []string{"/stream", "/bridged"}, contexts, streamed)
}

// TestR85SessionOfADroppedStream ends with its connection.
func TestR85SessionOfADroppedStream(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
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
	bridgetest.SessionOfADroppedStream(t, serve(t, app), env.Token(nil), contexts, func() error { return shutdown(app, within) })
}
