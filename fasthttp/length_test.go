package mcpauthfasthttp_test

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
)

// TestR88LengthThatIsNone is not sent; net/http sends it, and a chunked body with it.
func TestR88LengthThatIsNone(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", r.URL.Query().Get("length"))
		_, _ = io.WriteString(w, "hello")
	})
	for _, length := range []string{"x", "-5", "+5x", "99999999999999999999", "5,5"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET /?length=" + url.QueryEscape(length) + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, body := conn.Answer("GET"); resp.ContentLength != 5 || body != "hello" {
			t.Errorf("%q: %d, %q", length, resp.ContentLength, body)
		}
	}
}

// TestStreamOfADeclaredLengthArrives piece by piece, while the handler waits for the client to have seen each.
func TestStreamOfADeclaredLengthArrives(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	_, addr := bridge(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "20")
		for range 20 {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-next
		}
	})
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET / " + proto + "\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(conn.From, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ContentLength != 20 {
			t.Errorf("length %d", resp.ContentLength)
		}
		for range 20 {
			if n, err := resp.Body.Read(make([]byte, 20)); n != 1 || err != nil && err != io.EOF {
				t.Fatal(n, err)
			}
			bridgetest.Proceed(t, next)
		}
		_ = resp.Body.Close()
	}
}

// TestR88CompressedTruncation: a middleware that compresses a stream does not make a whole one of a broken one, nor does
// one that collects it.
func TestR88CompressedTruncation(t *testing.T) {
	t.Parallel()
	collect := func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			next(ctx)
			_ = ctx.Response.Body()
		}
	}
	for name, around := range map[string]func(fasthttp.RequestHandler) fasthttp.RequestHandler{"compressed": fasthttp.CompressHandler, "collected": collect} {
		for _, timeout := range []time.Duration{0, time.Minute} {
			app := config()
			app.WriteTimeout = timeout
			rs, env := bridgetest.NewResource(t, "")
			mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				if r.URL.RawQuery == "length" {
					w.Header().Set("Content-Length", "100000")
				}
				_, _ = io.WriteString(w, strings.Repeat("x", 1000))
				w.(http.Flusher).Flush()
				if r.URL.RawQuery == "" {
					panic(http.ErrAbortHandler)
				}
			}))
			app.Handler = around(app.Handler)
			addr := serve(t, app)
			for _, query := range []string{"", "?length"} {
				conn := bridgetest.Dial(t, addr)
				conn.Send("GET /mcp" + query + " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n\r\n")
				resp, err := http.ReadResponse(conn.From, nil)
				if err != nil {
					continue // nothing was sent
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err == nil {
					t.Errorf("%s, timeout %v, %q: %d %d bytes, as if complete", name, timeout, query, resp.StatusCode, len(body))
				}
			}
		}
	}
}

// TestCompressedStreamArrives event by event.
func TestCompressedStreamArrives(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	app := config()
	app.Handler = fasthttp.CompressHandler(mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	})))
	conn := bridgetest.Dial(t, serve(t, app))
	for range 2 {
		conn.Send("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
		resp, err := http.ReadResponse(conn.From, nil)
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(unzipped)
		for i := range 20 {
			if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
				t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
			}
			bridgetest.Proceed(t, next)
		}
		if lines.Scan() || lines.Err() != nil {
			t.Errorf("%q, %v after the end", lines.Text(), lines.Err())
		}
		_ = resp.Body.Close()
	}
}

// TestR88TruncationOverTLS: TLS ends in good order, and the response does not, whatever collects it.
func TestR88TruncationOverTLS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	collect := func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			next(ctx)
			_ = ctx.Response.Body()
		}
	}
	for name, around := range map[string]func(fasthttp.RequestHandler) fasthttp.RequestHandler{"plain": nil, "collected": collect} {
		app := config()
		app.WriteTimeout = time.Minute
		app.Handler = mcpauthfasthttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		if around != nil {
			app.Handler = around(app.Handler)
		}
		var lc net.ListenConfig
		listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := serveOn(t, app, tls.NewListener(listener, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}))
		conn := bridgetest.Dial(t, addr)
		client := tls.Client(conn.Conn, &tls.Config{InsecureSkipVerify: true})
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			continue // nothing was sent
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Errorf("%s: %d, %d bytes, as if complete", name, resp.StatusCode, len(body))
		}
	}
}
