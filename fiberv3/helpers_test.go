package mcpauthfiberv3_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // panics are provoked here
	os.Exit(m.Run())
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
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
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

// config is what the README recommends.
func config() fiber.Config {
	return fiber.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true}
}

// newServer returns a resource server with its environment.
func newServer(t testing.TB, path string) (*mcpauth.ResourceServer, *mcpauthtest.Environment) {
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
func serve(t testing.TB, app *fiber.App) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, app, listener)
}

func serveOn(t testing.TB, app *fiber.App, listener net.Listener) string {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = app.ShutdownWithTimeout(5 * time.Second) // fails when the test has shut it down
		<-ended
	})
	return listener.Addr().String()
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
