package mcpauthfasthttp_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // panics are provoked here
	os.Exit(m.Run())
}

// bridge serves handler at every path.
func bridge(t *testing.T, handler http.HandlerFunc) (app *fasthttp.Server, addr string) {
	t.Helper()
	app = config()
	app.Handler = mcpauthfasthttp.Handler(handler)
	return app, serve(t, app)
}

// A twin is a handler that runs under net/http and under fasthttp, to be compared.
func twin(t *testing.T, handler http.HandlerFunc) (addrs [2]string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	_, addr := bridge(t, handler)
	return [2]string{server.Listener.Addr().String(), addr}
}

const hundredMB = 100 << 20

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// config returns a server as the README recommends it.
func config() *fasthttp.Server {
	return &fasthttp.Server{
		ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true,
		NoDefaultServerHeader: true, Logger: log.New(io.Discard, "", 0),
	}
}

// routes is a router: a handler for each path, and 404 for all others.
type routes map[string]fasthttp.RequestHandler

func (r routes) serve(ctx *fasthttp.RequestCtx) {
	if handler, ok := r[string(ctx.Path())]; ok {
		handler(ctx)
		return
	}
	ctx.SetStatusCode(http.StatusNotFound)
}

// serve serves app until the test ends, and returns its address.
func serve(t testing.TB, app *fasthttp.Server) string {
	t.Helper()
	return serveOn(t, app, bridgetest.Listen(t))
}

func serveOn(t testing.TB, app *fasthttp.Server, listener net.Listener) string {
	t.Helper()
	return bridgetest.Serve(t, listener, app.Serve, func(timeout time.Duration) error { return shutdown(app, timeout) })
}

func shutdown(app *fasthttp.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return app.ShutdownWithContext(ctx)
}
