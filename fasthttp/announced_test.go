package mcpauthfasthttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// within is how long a reply to a body that does not come may take, with room for a busy machine.
const within = 10 * time.Second

// TestR84AnnouncedBodies: a client that announces a body and sends none gets the reply, and is disconnected, within seconds.
func TestR84AnnouncedBodies(t *testing.T) {
	t.Parallel()
	const metadata = "/.well-known/oauth-protected-resource"
	requests := map[string]int{
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n":                                                                       401,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n":                                                                              401,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\nhello":                                                                     401,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000):                                            401,
		"POST /mcp?x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n":                                                    401,
		"POST http://x/mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n":                                                                      401,
		"HEAD /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n":                                                                              401,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 9\r\n\r\n":                                              403,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n":                                                                     401,
		"POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel":                                                             401,
		"OPTIONS /mcp HTTP/1.1\r\nHost: x\r\nOrigin: https://mcp.example.com\r\nAccess-Control-Request-Method: POST\r\nContent-Length: 9\r\n\r\n": 204,
		"POST /mcp HTTP/1.0\r\nContent-Length: 9\r\n\r\n":                                                                                         401,
		"GET " + metadata + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n":                                                                   200,
		"GET " + metadata + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n":                                                          200,
		"OPTIONS " + metadata + " HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000):                             204,
		"POST " + metadata + "/mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n":                                                              405,
	}
	rs, _ := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	addr := serve(t, app)
	var clients sync.WaitGroup
	for request, status := range requests {
		for range 10 {
			clients.Go(func() {
				conn := bridgetest.Dial(t, addr)
				began := time.Now()
				conn.Send(request)
				method, _, _ := strings.Cut(request, " ")
				resp, body := conn.Answer(method)
				if resp.StatusCode == http.StatusContinue {
					resp, body = conn.Answer(method)
				}
				if took := time.Since(began); resp.StatusCode != status || took > within {
					t.Errorf("%.99q: %d after %v", request, resp.StatusCode, took)
				}
				if status == 401 && method != "HEAD" && !strings.Contains(body, "access token is required") {
					t.Errorf("%.99q: %q", request, body)
				}
				if n, err := conn.From.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > within {
					t.Errorf("%.99q: the connection goes on for %v: %d, %v", request, time.Since(began), n, err)
				}
			})
		}
	}
	clients.Wait()
}

// TestR84AnnouncedBodiesWithAToken: a token that is not good buys nothing, and one that is good no answer that is not true.
func TestR84AnnouncedBodiesWithAToken(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	app.ReadTimeout = 3 * time.Second
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	addr := serve(t, app)
	var clients sync.WaitGroup
	for credentials, status := range map[string]int{
		"Bearer x": 401, "Basic x": 401, "Bearer": 400, "Bearer " + env.Token(map[string]any{"exp": 1}): 401, "Bearer " + env.Token(nil): 408,
	} {
		clients.Go(func() {
			conn := bridgetest.Dial(t, addr)
			began := time.Now()
			conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: " + credentials + "\r\nContent-Length: 9\r\n\r\n")
			resp, _ := conn.Answer("POST")
			took := time.Since(began)
			if resp.StatusCode != status || !resp.Close || took > within || status == 408 && took < app.ReadTimeout-time.Second {
				t.Errorf("%.20s: %d, close %v, after %v", credentials, resp.StatusCode, resp.Close, took)
			}
		})
	}
	clients.Wait()
}

// TestR84SlowBodyOfAnAllowedRequest comes in pieces, of which one is late, and nothing that was set for the reply to
// others is left.
func TestR84SlowBodyOfAnAllowedRequest(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	for mode, timeout := range map[string]time.Duration{"no timeout": 0, "a timeout": 20 * time.Second} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			app := config()
			app.ReadTimeout = timeout
			late := make(chan struct{})
			mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadFull(r.Body, make([]byte, 10_000)); err != nil {
					t.Error(err)
				}
				close(late)
				n, err := io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, n, err)
			}))
			conn := bridgetest.Dial(t, serve(t, app))
			conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000))
			bridgetest.Await(t, "the first part of the body", late)
			time.Sleep(patience) // the subject of the test is time
			conn.Send(strings.Repeat("x", 10_000))
			if _, body := conn.Answer("POST"); body != "10000 <nil>" {
				t.Errorf("%q", body)
			}
		})
	}
}

// patience is longer than what a request that is refused has for the first part of its body.
const patience = 1500 * time.Millisecond

// TestR84AllowedAfterARefusal, on one connection, whose body came, or came late.
func TestR84AllowedAfterARefusal(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Context().Err())
	}))
	addr := serve(t, app)
	half := strings.Repeat("x", 10_000)
	// refused sends a request without a token in parts, each a little after the one before it. On a busy machine the reply may
	// not wait for a part that is late, so that the connection is closed.
	refused := func(parts []string) (conn *bridgetest.Conn, resp bridgetest.Answer) {
		for range 5 {
			conn = bridgetest.Dial(t, addr)
			conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\n")
			for _, part := range parts {
				time.Sleep(100 * time.Millisecond) // what the reply waits for
				conn.Send(part)
			}
			if resp, _ = conn.Answer("POST"); !resp.Close {
				break
			}
		}
		return conn, resp
	}
	for _, parts := range [][]string{
		{"Content-Length: 20000\r\n\r\n" + half + half},
		{"Content-Length: 20000\r\n\r\n" + half, half},
		{"Content-Length: 5\r\n\r\n", "hello"},
		{"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", "llo\r\n0\r\n\r\n"},
	} {
		conn, resp := refused(parts)
		if resp.StatusCode != http.StatusUnauthorized || resp.Close {
			t.Errorf("%.60q: without a token: %d, close %v", parts, resp.StatusCode, resp.Close)
		}
		time.Sleep(1200 * time.Millisecond) // a deadline that was left would end the connection
		conn.Send("GET /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
		if resp, body := conn.Answer("GET"); resp.StatusCode != http.StatusOK || body != "<nil>" {
			t.Errorf("%.60q: with a token: %d, %q", parts, resp.StatusCode, body)
		}
	}
}

// TestR84UploadWithoutAToken sees its 401, and no reset: 5 MB, as fast as the connection takes them.
func TestR84UploadWithoutAToken(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	url := "http://" + serve(t, app) + "/mcp"
	for range 20 {
		for _, length := range []int64{5 << 20, -1} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.LimitReader(endless{}, 5<<20))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Errorf("%d: %v", length, err)
				continue
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d: %d, %v", length, resp.StatusCode, err)
			}
			_ = resp.Body.Close()
		}
	}
}

// TestR84MiddlewareAlone frees connections whose body is streamed and does not come, once fasthttp has called a handler.
func TestR84MiddlewareAlone(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	app := config()
	app.Handler = mcpauthfasthttp.Middleware(rs)(func(*fasthttp.RequestCtx) { t.Error("the handler ran") })
	addr := serve(t, app)
	for _, rest := range []string{"Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000), "Transfer-Encoding: chunked\r\n\r\n"} {
		conn := bridgetest.Dial(t, addr)
		began := time.Now()
		conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\n" + rest)
		if resp, _ := conn.Answer("POST"); resp.StatusCode != http.StatusUnauthorized || !resp.Close || time.Since(began) > within {
			t.Errorf("%d, close %v, after %v", resp.StatusCode, resp.Close, time.Since(began))
		}
	}
}
