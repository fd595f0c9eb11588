package mcpauth_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A slowWriter takes its time, and notices when it is taken over in the middle, or before anything was sent.
type slowWriter struct {
	*httptest.ResponseRecorder
	t        *testing.T
	writing  atomic.Bool
	hijacked atomic.Int32
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.writing.Store(true)
	defer w.writing.Store(false)
	time.Sleep(80 * time.Second)
	return len(p), nil
}

func (w *slowWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.writing.Load() {
		w.t.Error("the connection was taken over in the middle of a write")
	}
	w.hijacked.Add(1)
	return nil, nil, http.ErrNotSupported
}

// TestR83TakenAway takes connections away from handlers that look at nothing, and waits for the end of their writes.
func TestR83TakenAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes int
		want  int32
	}{"writing": {10 << 10, 1}, "nothing was sent": {10, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rs := newOffline(t, nil)
				w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), t: t}
				rs.Serve(w, withSession(t, http.MethodGet), func(w http.ResponseWriter, r *http.Request) {
					_ = r.Context().Done()
					_, _ = w.Write(make([]byte, c.bytes))
					_, _ = w.Write(make([]byte, c.bytes)) // the token ends during this write
					time.Sleep(time.Hour)
				})
				if n := w.hijacked.Load(); n != c.want {
					t.Errorf("taken over %d times, want %d", n, c.want)
				}
			})
		})
	}
}

// A slowConn takes its time with Close, as that of TLS does while its client reads nothing.
type slowConn struct{ net.Conn }

func (c slowConn) Close() error { time.Sleep(time.Hour); return c.Conn.Close() }

type hijackWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
	err  error
}

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, nil, w.err }

// TestR83SlowClose has a connection that was taken over and can't be closed at once. Other responses end in time.
func TestR83SlowClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs := newOffline(t, nil)
		conn, other := net.Pipe()
		defer func() { _ = other.Close() }()
		rs.Serve(hijackWriter{httptest.NewRecorder(), slowConn{conn}, nil}, withSession(t, http.MethodGet), func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
		})
		rs.Serve(httptest.NewRecorder(), withSession(t, http.MethodGet), func(_ http.ResponseWriter, r *http.Request) {
			began := time.Now()
			<-r.Context().Done()
			if lasted := time.Since(began); lasted > 95*time.Second {
				t.Errorf("it lasted %v", lasted)
			}
		})
		time.Sleep(2 * time.Hour)
	})
}

// A panickingWriter panics when it is asked for something after the response, as a router's writer may.
type panickingWriter struct{ *httptest.ResponseRecorder }

func (panickingWriter) SetWriteDeadline(time.Time) error             { return http.ErrNotSupported }
func (panickingWriter) SetReadDeadline(time.Time) error              { panic("too late") }
func (panickingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("too late") }

// TestR93PanickingWriter breaks off responses whose writers panic. The program goes on, and the handler's own panic is the
// one that is seen.
func TestR93PanickingWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs := newOffline(t, nil)
		rs.Serve(panickingWriter{httptest.NewRecorder()}, withSession(t, http.MethodGet), func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			time.Sleep(time.Hour)
			begin(w)
		})
		var kept context.Context
		defer func() {
			if v := recover(); v != "oops" {
				t.Errorf("the handler's panic became %v", v)
			}
			if _, err := mcpauth.SessionFromContext(kept); err == nil {
				t.Error("the session is still there after the response")
			}
		}()
		rs.Serve(panickingWriter{httptest.NewRecorder()}, withSession(t, http.MethodGet), func(w http.ResponseWriter, r *http.Request) {
			kept = r.Context()
			begin(w)
			panic("oops")
		})
	})
}

// TestR83FailedHijack has a handler that can't take the connection over. The response goes on as any other call.
func TestR83FailedHijack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs := newOffline(t, nil)
		rs.Serve(hijackWriter{httptest.NewRecorder(), nil, errors.New("not here")}, withSession(t, http.MethodPost), func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
				t.Error("it was taken over")
			}
			time.Sleep(10 * time.Minute)
			if _, err := io.WriteString(w, "the answer"); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestR83HalfClosed closes the writing side of a connection that was taken over, as reverse proxies do: what comes from the
// other side still arrives.
func TestR83HalfClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nsaid")
		half, ok := conn.(interface{ CloseWrite() error })
		if !ok || half.CloseWrite() != nil {
			t.Error("its writing side can't be closed")
		}
		if heard, err := io.ReadAll(conn); string(heard) != "heard" {
			t.Errorf("%q, %v", heard, err)
		}
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\nAuthorization: Bearer %s\r\n\r\n", f.env.Token(nil))
	said, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(said), "said") {
		t.Errorf("%q, %v", said, err)
	}
	_, _ = io.WriteString(conn, "heard")
	_ = conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // tcp
}

// TestR83Hijacked takes connections over, as websockets do. They are closed when the token ends, also when the handler has
// returned long ago, and forgotten when they are closed before.
func TestR83Hijacked(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok {
			t.Error("the writer is not an http.Hijacker")
			return
		}
		conn, buffer, err := hijacker.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buffer.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buffer.Flush()
		if r.URL.Path == "/closes" {
			_ = conn.Close()
			return
		}
		go io.Copy(conn, conn) //nolint:errcheck // it ends with the connection
	})))
	defer server.Close()
	token := f.env.Token(nil)
	open := func(path string) (net.Conn, *bufio.Reader) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
		from := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(from, nil); err != nil || //nolint:bodyclose // it is the connection now
			resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		return conn, from
	}
	open("/closes")
	conn, from := open("/stays")
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := from.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if n := mcpauth.OpenExchanges(f.rs); n != 1 {
		t.Errorf("%d connections are watched, want 1", n)
	}
	end := time.Now()
	c.advance(time.Hour)
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("the connection ended with %v", err)
	}
	if late := time.Since(end); late > 5*time.Second+busy {
		t.Errorf("the connection ended %v after its token", late)
	}
	if n := strings.Count(f.log.String(), `msg="response ended"`); n != 1 {
		t.Errorf("logged %d times: %s", n, f.log)
	}
}

// TestR83NoHijackingOverHTTP2 has HTTP/2, where a connection can't be taken over, and a wrapper that panics when it is
// asked to.
func TestR83NoHijackingOverHTTP2(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(quietConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil)), http.MethodGet, "/mcp", nil)
	r.ProtoMajor = 2
	rs.Serve(struct {
		http.ResponseWriter
		http.Hijacker
	}{ResponseWriter: httptest.NewRecorder()}, r, func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Hijacker); ok {
			t.Error("the writer says that it can be hijacked")
		}
	})
}
