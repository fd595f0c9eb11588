package mcpauthfiber_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
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

// bridge serves handler at every path.
func bridge(t *testing.T, handler http.HandlerFunc) (app *fiber.App, addr string) {
	t.Helper()
	app = fiber.New(config())
	app.Use(mcpauthfiber.Handler(handler))
	return app, serve(t, app)
}

// A twin is a handler that runs under net/http and under Fiber, to be compared.
func twin(t *testing.T, handler http.HandlerFunc) (addrs [2]string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	_, addr := bridge(t, handler)
	return [2]string{server.Listener.Addr().String(), addr}
}

// TestRequestsAreThoseOfNetHTTP sends the same bytes to net/http and to the bridge; the handler sees the same request.
func TestRequestsAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	addrs := twin(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		names := make([]string, 0, len(r.Header))
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _, splitErr := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %q %q host=%q proto=%s %d.%d length=%d te=%q uri=%q tls=%v local=%q remote=%v body=%d %x %v\n", r.Method, r.URL.Path, r.URL.RawQuery,
			r.Host, r.Proto, r.ProtoMajor, r.ProtoMinor, r.ContentLength, r.TransferEncoding, r.RequestURI, r.TLS != nil,
			local.Network(), splitErr, len(body), body[:min(16, len(body))], err)
		for _, name := range names {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /mcp?a=1&b=%20&a=2 HTTP/1.1\r\nHost: MCP.example.com:80\r\nUser-Agent: me\r\naccept: a\r\nAccept: b\r\nX-Empty:\r\n\r\n",
		"POST /a%2fb/%C3%A4 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("0123456789", 10000),
		"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
		"GET http://mcp.example.com/mcp?x HTTP/1.1\r\nHost: other\r\n\r\n",
		"DELETE /mcp HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=d\r\nMcp-Session-Id: 1\r\nMCP-Protocol-Version: 2\r\n\r\n",
		"GET //mcp HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\nhello",
		"GET /mcp HTTP/1.0\r\nHost: x\r\n\r\n",
		"POST /mcp HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
		"OPTIONS /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		var got [2]string
		for i, addr := range addrs {
			conn := dial(t, addr)
			conn.write(request)
			resp, body := conn.response("GET")
			if resp.StatusCode == http.StatusContinue {
				_, body = conn.response("GET")
			}
			got[i] = body
		}
		if got[0] != got[1] {
			t.Errorf("%.60q\nnet/http: %s\nbridge:   %s", request, got[0], got[1])
		}
	}
}

// TestResponsesAreThoseOfNetHTTP runs the same handlers under net/http and the bridge, and compares what is sent.
func TestResponsesAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	const html = "<html><body>x</body></html>"
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"sniffed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, html) },
		"not sniffed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, html)
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			_, _ = io.WriteString(w, html)
		},
		"own type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "{}")
		},
		"the first status counts": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusBadGateway)
		},
		"headers too late": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Early", "1")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Late", "1")
			w.Header().Del("X-Early")
		},
		"lines": func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"Set-Cookie", "WWW-Authenticate", "Vary", "Link"} {
				w.Header().Add(name, "a=1; Path=/")
				w.Header().Add(name, "a=2; Path=/b")
			}
			w.Header().Set("Server", "me")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			_, err := io.WriteString(w, "x")
			if !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(http.ErrAbortHandler)
			}
		},
		"no content, flushed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent); flush(w) },
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		},
		"error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"large": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) },
		"in pieces": func(w http.ResponseWriter, _ *http.Request) {
			for range 100_000 {
				_, _ = io.WriteString(w, "0123456")
			}
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			flush(w)
			_, _ = io.WriteString(w, html)
			flush(w)
			_, _ = io.WriteString(w, "!")
		},
		"written, flushed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, html); flush(w) },
		"a large stream": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("x", 9999))
				flush(w)
			}
		},
		"a length that is wrong once flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			flush(w)
			_, _ = io.WriteString(w, "x")
		},
		"request body ignored": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
		"closed":               func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	}
	addrs := twin(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Query().Get("n")](w, r) })
	for name := range handlers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			var got [2]string
			for i, addr := range addrs {
				conn := dial(t, addr)
				body := strings.Repeat("b", 20_000)
				conn.write(fmt.Sprintf("%s /?n=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, strings.ReplaceAll(name, " ", "+"), len(body), body))
				resp, text := conn.response(method)
				resp.Header.Del("Date")
				for _, name := range []string{"Content-Length", "Connection"} {
					if name == "Connection" && resp.Close {
						resp.Header.Set("Connection", "close")
						continue
					}
					resp.Header.Del(name) // both decide for themselves
				}
				keys := make([]string, 0)
				for name, values := range resp.Header {
					keys = append(keys, fmt.Sprint(name, values))
				}
				slices.Sort(keys)
				got[i] = fmt.Sprintln(resp.StatusCode, keys, len(text), text[:min(len(text), 100)])
			}
			if got[0] != got[1] {
				t.Errorf("%s %s\nnet/http: %sbridge:   %s", method, name, got[0], got[1])
			}
		}
	}
}

// TestUnflushedResponsesHaveALength and HEAD says it, too.
func TestUnflushedResponsesHaveALength(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	for _, method := range []string{"GET", "HEAD"} {
		conn := dial(t, addr)
		conn.write(method + " / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := conn.response(method); resp.ContentLength != 5 {
			t.Errorf("%s: length %d", method, resp.ContentLength)
		}
	}
}

// TestFlushStreams: each event arrives while the handler waits for the client to say so.
func TestFlushStreams(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	_, addr := bridge(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		if err := rc.Flush(); err != nil { // the headers alone
			t.Error(err)
		}
		for i := range 100 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	conn := dial(t, addr)
	for range 2 { // on one connection
		conn.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.from, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for i := range 100 {
			next <- struct{}{}
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
				t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
			}
		}
		if lines.Scan() || lines.Err() != nil {
			t.Errorf("%q, %v after the end", lines.Text(), lines.Err())
		}
		_ = resp.Body.Close()
	}
}

// TestBodyAfterFlush: it is gone, as under net/http, and was not left on the connection.
func TestBodyAfterFlush(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		some := make([]byte, 5)
		_, err := io.ReadFull(r.Body, some)
		if err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		_, err = r.Body.Read(some)
		fmt.Fprint(w, errors.Is(err, http.ErrBodyReadAfterClose))
	})
	conn := dial(t, addr)
	for range 2 {
		conn.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000))
		if _, body := conn.response("POST"); body != "true" {
			t.Errorf("body %q", body)
		}
	}
}

// smuggled is a body that would be an answered request, were it taken for one.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// TestUnreadBodies: the rest of a body is not taken for a request, whoever leaves it.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	rs, env := newServer(t, "")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
	})
	for name, protect := range map[string]func(*fiber.App){
		"Mount": func(app *fiber.App) { mcpauthfiber.Mount(app, rs, handler) },
		"Middleware": func(app *fiber.App) {
			app.Use(mcpauthfiber.Middleware(rs))
			app.All("/mcp", mcpauthfiber.Handler(handler))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := fiber.New(config())
			app.Get("/smuggled", func(*fiber.Ctx) error {
				t.Error("a body was taken for a request")
				return nil
			})
			app.Get("/last", func(c *fiber.Ctx) error { return c.SendString("last") })
			protect(app)
			app.Post("/open", func(c *fiber.Ctx) error { return c.SendString("ok") })
			addr := serve(t, app)
			for _, target := range []string{"/mcp", "/mcp?flush", "/open", "/unknown", "/.well-known/oauth-protected-resource"} {
				for _, token := range []string{"", env.Token(nil)} {
					for _, size := range []int{10, 20_000, 200_000, 2_000_000} {
						for _, chunked := range []bool{false, true} {
							conn := dial(t, addr)
							body := strings.Repeat("x", size) + smuggled
							head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n", target)
							if token != "" {
								head += "Authorization: Bearer " + token + "\r\n"
							}
							if chunked {
								head += "Transfer-Encoding: chunked\r\n\r\n"
								body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
							} else {
								head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
							}
							// The server may close while this is being sent.
							go io.WriteString(conn.Conn, head+body+"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") //nolint:errcheck // see above
							resp, _ := conn.response("POST")
							if resp.Close {
								continue
							}
							last, text := conn.response("GET")
							if text != "last" {
								t.Errorf("%s, %d bytes, chunked=%v: the next response is %d %q", target, size, chunked, last.StatusCode, text)
							}
						}
					}
				}
			}
		})
	}
}

const hundredMB = 100 << 20

// TestR32LargeBodyWithoutAToken is answered before it is sent.
func TestR32LargeBodyWithoutAToken(t *testing.T) {
	t.Parallel()
	rs, _ := newServer(t, "")
	app := fiber.New(config())
	mcpauthfiber.Mount(app, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	addr := serve(t, app)
	conn := dial(t, addr)
	conn.write(fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", hundredMB, strings.Repeat("x", 100_000)))
	resp, body := conn.response("POST")
	if resp.StatusCode != http.StatusUnauthorized || !resp.Close || !strings.Contains(body, "access token is required") {
		t.Errorf("%d close=%v %q", resp.StatusCode, resp.Close, body)
	}
	if n, err := conn.from.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection goes on: %d, %v", n, err)
	}

	// A client that goes on sending gets the answer all the same.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/mcp", io.LimitReader(endless{}, hundredMB))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = hundredMB
	answered, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = answered.Body.Close()
	if answered.StatusCode != http.StatusUnauthorized {
		t.Error(answered.Status)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestLargeBodyIsStreamed counts the bytes of a large body, and of what is allocated for it.
func TestLargeBodyIsStreamed(t *testing.T) {
	rs, env := newServer(t, "")
	app := fiber.New(config())
	mcpauthfiber.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "bounded" {
			n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20))
			var tooLarge *http.MaxBytesError
			if n != 1<<20 || !errors.As(err, &tooLarge) {
				t.Errorf("%d bytes, %v", n, err)
			}
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))
	url := "http://" + serve(t, app) + "/mcp"
	for _, length := range []int64{hundredMB, -1} { // -1: chunked
		for query, want := range map[string]string{"": fmt.Sprint(hundredMB, nil), "?bounded": "too large\n"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+query, io.LimitReader(endless{}, hundredMB))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			req.Header.Set("Authorization", "Bearer "+env.Token(nil))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(query, length, err)
			}
			body, err := io.ReadAll(resp.Body)
			runtime.ReadMemStats(&after)
			_ = resp.Body.Close()
			if err != nil || string(body) != want {
				t.Errorf("%q, %v, want %q", body, err, want)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
				t.Errorf("%d bytes allocated", allocated)
			}
		}
	}
}

// TestTruncatedBodyIsAnError: half a body is not a whole one.
func TestTruncatedBodyIsAnError(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	_, addr := bridge(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		result <- err
	})
	for _, head := range []string{"Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nffff\r\n"} {
		conn := dial(t, addr)
		conn.write("POST / HTTP/1.1\r\nHost: x\r\n" + head + strings.Repeat("x", 20_000))
		_ = conn.Close()
		if err := <-result; err == nil {
			t.Errorf("%q: no error", head)
		}
	}
}

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
	app := fiber.New(config())
	app.Use(mcpauthfiber.Handler(http.HandlerFunc(handler)))
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
			conn := dial(t, addr)
			tcp, _ := conn.Conn.(*net.TCPConn)
			if how == "closed TLS" {
				conn.Conn = tls.Client(conn.Conn, &tls.Config{InsecureSkipVerify: true})
			}
			conn.write(request)
			<-started
			switch how {
			case "half-closed":
				_ = tcp.CloseWrite()
			case "reset":
				_ = tcp.SetLinger(0)
				_ = conn.Close()
			default:
				_ = conn.Close()
			}
			select {
			case err := <-cause:
				if err == nil || !strings.Contains(err.Error(), "disconnected") {
					t.Errorf("%s, %q: %v", how, request, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s, %q: not noticed", how, request)
			}
		}
	}
}

// TestRequestsAheadOfTime: watching a connection takes nothing from what a client sends before it was answered.
func TestRequestsAheadOfTime(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
		}
		<-proceed
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, r.URL.Path)
	})
	conn := dial(t, addr)
	for range 20 {
		conn.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.write("GET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHo")
		conn.write("st: x\r\n\r\n")
		for range 3 { // fasthttp sends the answer to /b with that to /c
			proceed <- struct{}{}
		}
		for _, want := range []string{"/stream", "/b", "/c"} {
			if _, body := conn.response("GET"); body != want {
				t.Fatalf("%q, want %q", body, want)
			}
		}
	}
}

// TestReadTimeoutDoesNotEndAStream: it is about requests, and not what ends a stream.
func TestReadTimeoutDoesNotEndAStream(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.ReadTimeout, cfg.IdleTimeout = 50*time.Millisecond, 10*time.Second
	app := fiber.New(cfg)
	app.Use(mcpauthfiber.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			t.Error(context.Cause(r.Context()))
		case <-time.After(200 * time.Millisecond): // the subject of the test is time
		}
	})))
	conn := dial(t, serve(t, app))
	for range 2 {
		conn.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		conn.response("GET")
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
		conn := dial(t, addr)
		conn.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-started
		if err := app.ShutdownWithTimeout(10 * time.Second); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-cause; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("cause %v", err)
		}
		conn.response("GET") // in good order
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	contexts := make(chan context.Context, 1)
	_, addr := bridge(t, func(_ http.ResponseWriter, r *http.Request) { contexts <- r.Context() })
	conn := dial(t, addr)
	conn.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-(<-contexts).Done()
	conn.response("GET")
}

func TestPanics(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(http.ResponseWriter){
		"/panic":         func(http.ResponseWriter) { panic("secret") },
		"/written":       func(w http.ResponseWriter) { w.Header().Set("X", "y"); _, _ = io.WriteString(w, "x"); panic("secret") },
		"/code":          func(w http.ResponseWriter) { w.WriteHeader(7) },
		"/abort":         func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"/goexit":        func(http.ResponseWriter) { runtime.Goexit() },
		"/flushed":       func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic("secret") },
		"/flushed/abort": func(w http.ResponseWriter) { w.(http.Flusher).Flush(); panic(http.ErrAbortHandler) },
		"/fine":          func(w http.ResponseWriter) { _, _ = io.WriteString(w, "fine") },
	}
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path](w) })
	for path, want := range map[string]string{
		"/panic": "500 Internal Server Error <nil>", "/written": "500 Internal Server Error <nil>", "/code": "500 Internal Server Error <nil>",
		"/abort": "unexpected EOF", "/goexit": "unexpected EOF",
		"/flushed": "200  unexpected EOF", "/flushed/abort": "200  unexpected EOF", "/fine": "200 fine <nil>",
	} {
		conn := dial(t, addr)
		conn.write("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.from, nil)
		if err != nil {
			if err.Error() != want {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", string(body), " ", err); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestAfterTheEnd: what a handler leaves behind can neither write nor read into the next request.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	result := make(chan string)
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		go func() {
			<-r.Context().Done()
			_, written := w.Write([]byte("late"))
			flushed := http.NewResponseController(w).Flush()
			_, read := r.Body.Read(make([]byte, 1))
			result <- fmt.Sprint(written != nil, flushed != nil, read != nil, r.Header.Get("X"), r.URL.Path)
		}()
	})
	conn := dial(t, addr)
	for i := range 10 {
		conn.write(fmt.Sprintf("POST /%d?flush HTTP/1.1\r\nHost: x\r\nX: %d\r\nContent-Length: 2\r\n\r\nhi", i, i))
		if _, body := conn.response("POST"); body != "" {
			t.Errorf("body %q", body)
		}
		if got, want := <-result, fmt.Sprintf("true true true%d/%d", i, i); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestDroppedStreamsLeaveNothing opens a thousand streams and drops them: no goroutine of theirs is left.
func TestDroppedStreamsLeaveNothing(t *testing.T) {
	const streams, atOnce = 1000, 50
	var handlers sync.WaitGroup
	app, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		defer handlers.Done()
		w.(http.Flusher).Flush()
		if r.URL.Path == "/noisy" {
			for {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
					return
				}
			}
		}
		<-r.Context().Done()
	})
	var clients sync.WaitGroup
	for i := range atOnce {
		clients.Go(func() {
			for range streams / atOnce {
				handlers.Add(1)
				conn := dial(t, addr)
				conn.write("GET " + []string{"/silent", "/noisy"}[i%2] + " HTTP/1.1\r\nHost: x\r\n\r\n")
				if _, err := http.ReadResponse(conn.from, nil); err != nil { //nolint:bodyclose // it is dropped
					t.Error(err)
				}
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
	handlers.Wait()
	if err := app.ShutdownWithTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		stacks := make([]byte, 8<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := bytes.Count(stacks, []byte("mcpauth/fiber.")) // of the package, not of its tests
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d frames are left:\n%s", left, stacks)
		}
		runtime.Gosched()
	}
}
