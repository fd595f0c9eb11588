package mcpauthfasthttp_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// TestWriteDeadlineFreesAHandler whose client does not read: another goroutine sets a deadline in the past, and the
// connection is closed.
func TestWriteDeadlineFreesAHandler(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]struct {
		around  func(fasthttp.RequestHandler) fasthttp.RequestHandler
		timeout time.Duration
		header  string
	}{
		"plain":                {},
		"with a write timeout": {timeout: time.Minute},
		"compressed":           {around: fasthttp.CompressHandler, header: "Accept-Encoding: gzip\r\n"},
		"with a length":        {header: "X-Length: 1000000000\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			freed := make(chan error, 1)
			app := config()
			app.WriteTimeout = cfg.timeout
			app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				if length := r.Header.Get("X-Length"); length != "" {
					w.Header().Set("Content-Length", length)
				}
				w.Header().Set("Content-Type", "text/plain")
				blocked := time.AfterFunc(500*time.Millisecond, func() { _ = rc.SetWriteDeadline(past) })
				defer blocked.Stop()
				piece := random(1 << 20)
				for {
					if _, err := w.Write(piece); err != nil {
						freed <- err
						return
					}
					if err := rc.Flush(); err != nil {
						freed <- err
						return
					}
				}
			}))
			if cfg.around != nil {
				app.Handler = cfg.around(app.Handler)
			}
			conn := bridgetest.Dial(t, serve(t, app))
			conn.Send("GET / HTTP/1.1\r\nHost: x\r\n" + cfg.header + "\r\n")
			err := bridgetest.Await(t, "the end of the handler, whose client reads nothing,", freed)
			if cfg.around == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler was told %v", err)
			}
			if _, err := io.Copy(io.Discard, conn.From); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
		})
	}
}

// random returns bytes that can't be compressed.
func random(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}

// TestWriteDeadlineBeforeTheResponse breaks it off, flushed or not, whatever WriteTimeout fasthttp has.
func TestWriteDeadlineBeforeTheResponse(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{0, time.Minute} {
		app := config()
		app.WriteTimeout = timeout
		app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetWriteDeadline(past); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "x")
			if r.URL.RawQuery == "flush" {
				if err := rc.Flush(); err == nil {
					t.Error("the handler was told that it was sent")
				}
			}
		}))
		addr := serve(t, app)
		for _, query := range []string{"", "?flush"} {
			conn := bridgetest.Dial(t, addr)
			conn.Send("GET /" + query + " HTTP/1.1\r\nHost: x\r\n\r\n")
			got, err := io.ReadAll(conn.From)
			if strings.Contains(string(got), "0\r\n\r\n") || errors.Is(err, os.ErrDeadlineExceeded) || query == "" && len(got) > 0 {
				t.Errorf("timeout %v, %q: %q, %v", timeout, query, got, err)
			}
		}
	}
}

// TestDeadlinesEndWithTheResponse: the next request on the connection has none, and who is late sets none.
func TestDeadlinesEndWithTheResponse(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "?flush"} {
		for _, rest := range []string{"\r\n", "Content-Length: 5\r\n\r\nhello"} {
			t.Run(query+rest, func(t *testing.T) {
				t.Parallel()
				deadlineAndNext(t, query, rest)
			})
		}
	}
}

// deadlineAndNext sends a request whose handler sets deadlines, and one on the same connection that takes longer.
func deadlineAndNext(t *testing.T, query, rest string) {
	const life = 2 * time.Second // time enough for the first response on a busy machine
	returned := make(chan *http.ResponseController, 1)
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.URL.Path == "/deadline" {
			soon := time.Now().Add(life)
			if err := errors.Join(rc.SetWriteDeadline(soon), rc.SetReadDeadline(soon)); err != nil {
				t.Error(err)
			}
			if r.URL.RawQuery == "flush" {
				_ = rc.Flush()
			}
			_, _ = io.WriteString(w, "x")
			returned <- rc
			return
		}
		time.Sleep(life + 200*time.Millisecond) // the subject of the test is time
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "y")
	})
	conn := bridgetest.Dial(t, addr)
	for range 2 {
		conn.Send("POST /deadline" + query + " HTTP/1.1\r\nHost: x\r\n" + rest)
		if _, body := conn.Answer("POST"); body != "x" {
			t.Errorf("%q", body)
		}
		late := bridgetest.Await(t, "the return of the handler", returned)
		conn.Send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, body := conn.Answer("GET"); body != "y" {
			t.Errorf("%q", body)
		}
		if late.SetWriteDeadline(past) == nil || late.SetReadDeadline(past) == nil {
			t.Error("a deadline can be set when the response is over")
		}
	}
}

// TestReadDeadlineEndsReadingTheBody, also while it blocks; the response is sent, and the connection closed after it.
func TestReadDeadlineEndsReadingTheBody(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		timer := time.AfterFunc(100*time.Millisecond, func() { _ = rc.SetReadDeadline(past) })
		defer timer.Stop()
		_, err := io.Copy(io.Discard, r.Body)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading: %v", err)
		}
		_, _ = io.WriteString(w, "late")
	})
	for _, rest := range []string{"Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 10_000), "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("POST / HTTP/1.1\r\nHost: x\r\n" + rest)
		if resp, body := conn.Answer("POST"); body != "late" || !resp.Close {
			t.Errorf("%q, close %v", body, resp.Close)
		}
	}
}
