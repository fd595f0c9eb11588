package mcpauthfasthttp_test

import (
	"bufio"
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

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/valyala/fasthttp"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // panics are provoked here
	os.Exit(m.Run())
}

// deadline is how long a test waits for what has to come. Only a failing test waits that long.
const deadline = 30 * time.Second

// await waits for a value from another goroutine.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(deadline):
		t.Fatalf("%s did not happen within %v", what, deadline)
	}
	return value
}

// proceed lets a handler go on that waits for that.
func proceed(t *testing.T, handler chan<- struct{}) {
	t.Helper()
	select {
	case handler <- struct{}{}:
	case <-time.After(deadline):
		t.Fatalf("no handler waits within %v", deadline)
	}
}

// A rawConn is a client that sends what it is told to.
type rawConn struct {
	net.Conn
	t    *testing.T
	from *bufio.Reader
}

func dial(t *testing.T, addr string) *rawConn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{conn, t, bufio.NewReader(conn)}
}

func (c *rawConn) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

// An answer is a response that was read whole.
type answer struct {
	StatusCode    int
	Header        http.Header
	Close         bool
	ContentLength int64
}

// response reads a response and its body.
func (c *rawConn) response(method string) (answer, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.from, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return answer{resp.StatusCode, resp.Header, resp.Close, resp.ContentLength}, string(body)
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

// newResource returns a resource server with its environment.
func newResource(t testing.TB, path string) (*mcpauth.ResourceServer, *mcpauthtest.Environment) {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config("https://mcp.example.com")
	cfg.Path = path
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs, env
}

// serve serves app until the test ends, and returns its address.
func serve(t testing.TB, app *fasthttp.Server) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, app, listener)
}

func serveOn(t testing.TB, app *fasthttp.Server, listener net.Listener) string {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := app.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = shutdown(app, 5*time.Second) // fails when the test has shut it down
		select {
		case <-ended:
		case <-time.After(deadline):
			t.Error("the server does not end")
		}
	})
	return listener.Addr().String()
}

func shutdown(app *fasthttp.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return app.ShutdownWithContext(ctx)
}

func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
