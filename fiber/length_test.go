package mcpauthfiber_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/compress"
	"github.com/gofiber/fiber/v2/middleware/etag"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
)

// TestR88CompressedTruncation: a middleware that compresses a stream does not make a whole one of a broken one, nor does
// one that collects it.
func TestR88CompressedTruncation(t *testing.T) {
	t.Parallel()
	collect := func(c *fiber.Ctx) error {
		err := c.Next()
		_ = c.Response().Body()
		return err
	}
	for name, before := range map[string]fiber.Handler{"compress": compress.New(), "etag": etag.New(), "collected": collect} {
		for _, timeout := range []time.Duration{0, time.Minute} {
			cfg := config()
			cfg.WriteTimeout = timeout
			app := fiber.New(cfg)
			rs, env := bridgetest.NewResource(t, "")
			app.Use(before)
			mcpauthfiber.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	app := fiber.New(config())
	app.Use(compress.New(), mcpauthfiber.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
