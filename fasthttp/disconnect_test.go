package mcpauthfasthttp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

// TestDisconnect: a handler learns that its client is gone, though it writes nothing.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	started, cause := make(chan struct{}), make(chan error)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		started <- struct{}{}
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	}
	_, plain := bridge(t, handler)
	secret := httptest.NewUnstartedServer(nil)
	secret.StartTLS()
	defer secret.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := config()
	app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(handler))
	encrypted := serveOn(t, app, tls.NewListener(listener, &tls.Config{Certificates: secret.TLS.Certificates, MinVersion: tls.VersionTLS12}))

	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /?flush HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /?flush HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n",       // with something behind it
		"GET /?flush HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n", // with something behind it
	} {
		for _, how := range []string{"closed", "reset", "closed TLS", "half-closed"} {
			addr := plain
			if how == "closed TLS" {
				addr = encrypted
			}
			conn := bridgetest.Dial(t, addr)
			tcp, _ := conn.Conn.(*net.TCPConn)
			if how == "closed TLS" {
				conn.Conn = tls.Client(conn.Conn, &tls.Config{InsecureSkipVerify: true})
			}
			conn.Send(request)
			bridgetest.Await(t, "the handler's start", started)
			switch how {
			case "half-closed":
				_ = tcp.CloseWrite()
			case "reset":
				_ = tcp.SetLinger(0)
				_ = conn.Close()
			default:
				_ = conn.Close()
			}
			err := bridgetest.Await(t, fmt.Sprintf("%s, %q: the end of the context", how, request), cause)
			if err == nil || !strings.Contains(err.Error(), "disconnected") {
				t.Errorf("%s, %q: %v", how, request, err)
			}
		}
	}
}

// TestRequestsAheadOfTime: watching a connection takes nothing from what a client sends before it was answered.
func TestRequestsAheadOfTime(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
		}
		select {
		case <-next:
		case <-time.After(bridgetest.Deadline):
		}
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, r.URL.Path)
	})
	conn := bridgetest.Dial(t, addr)
	for range 20 {
		conn.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.Send("GET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHo")
		conn.Send("st: x\r\n\r\n")
		for range 3 { // fasthttp sends the answer to /b with that to /c
			bridgetest.Proceed(t, next)
		}
		for _, want := range []string{"/stream", "/b", "/c"} {
			if _, body := conn.Answer("GET"); body != want {
				t.Fatalf("%q, want %q", body, want)
			}
		}
	}
}

func TestShutdownCancels(t *testing.T) {
	t.Parallel()
	for _, flush := range []bool{false, true} {
		started, cause := make(chan struct{}), make(chan error, 1)
		app, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
			if flush {
				w.(http.Flusher).Flush()
			}
			close(started)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		})
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		bridgetest.Await(t, "the handler's start", started)
		if err := shutdown(app, bridgetest.Deadline); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := bridgetest.Await(t, "the end of the context", cause); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("cause %v", err)
		}
		conn.Answer("GET") // in good order
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 1)
	_, addr := bridge(t, func(_ http.ResponseWriter, r *http.Request) { contexts <- r.Context() })
	conn := bridgetest.Dial(t, addr)
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	bridgetest.Await(t, "the end of the context", bridgetest.Await(t, "the handler", contexts).Done())
	conn.Answer("GET")
}
