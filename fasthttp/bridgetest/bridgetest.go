// Package bridgetest holds what the tests of fasthttp's adapter and of both Fibers' have in common: a client that sends what
// it is told to, a server that ends with its test, and what is the same for every router over fasthttp.
package bridgetest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// Deadline is how long a test waits for what has to come. Only a failing test waits that long.
const Deadline = 30 * time.Second

// Await waits for a value from another goroutine. The test fails when none comes within [Deadline].
func Await[T any](t testing.TB, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(Deadline):
		t.Fatalf("%s did not happen within %v", what, Deadline)
	}
	return value
}

// Proceed lets a handler go on that waits for a value. The test fails when none waits within [Deadline].
func Proceed(t testing.TB, handler chan<- struct{}) {
	t.Helper()
	select {
	case handler <- struct{}{}:
	case <-time.After(Deadline):
		t.Fatalf("no handler waits within %v", Deadline)
	}
}

// A Conn is a connection of a client that sends what it is told to, byte for byte. It ends with the test, and has [Deadline].
type Conn struct {
	net.Conn
	From *bufio.Reader

	t testing.TB
}

// Dial connects to a server.
func Dial(t testing.TB, addr string) *Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Deadline)); err != nil {
		t.Fatal(err)
	}
	return &Conn{conn, bufio.NewReader(conn), t}
}

// Send writes text.
func (c *Conn) Send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// An Answer is a response that was read whole.
type Answer struct {
	StatusCode    int
	Header        http.Header
	Close         bool
	ContentLength int64
}

// Answer reads the response to a request with this method, and its body.
func (c *Conn) Answer(method string) (answer Answer, body string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.From, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, resp.Close, resp.ContentLength}, string(text)
}

// Get sends a GET on a connection of its own, without a token if token is "".
func Get(t testing.TB, url, token string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
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

// Statuses asks for each path below url, without a token and with one, and compares the two statuses.
func Statuses(t testing.TB, url, token string, paths map[string][2]int) {
	t.Helper()
	for path, want := range paths {
		without, _ := Get(t, url+path, "")
		with, _ := Get(t, url+path, token)
		if without != want[0] || with != want[1] {
			t.Errorf("%s: status %d without and %d with a token, want %v", path, without, with, want)
		}
	}
}

// NewResource returns the resource server of an endpoint, /mcp if path is "", and its environment.
func NewResource(t testing.TB, path string) (*mcpauth.ResourceServer, *mcpauthtest.Environment) {
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

// Listen listens on a free port of loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// Serve calls serve with listener until the test ends, and returns the address. Then it calls shutdown, and waits for the end
// of serve.
func Serve(t testing.TB, listener net.Listener, serve func(net.Listener) error, shutdown func(time.Duration) error) (addr string) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = shutdown(5 * time.Second) // fails when the test has shut it down
		select {
		case <-ended:
		case <-time.After(Deadline):
			t.Error("the server does not end")
		}
	})
	return listener.Addr().String()
}
