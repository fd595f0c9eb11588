package mcpauthfasthttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
)

// TestLargeBodyIsStreamed counts the bytes of a large body, and of what is allocated for it.
func TestLargeBodyIsStreamed(t *testing.T) {
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	for _, head := range []string{
		"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 20_000),
		"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + strings.Repeat("x", 20_000),
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5",
		"Transfer-Encoding: chunked\r\n\r\n",
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("POST / HTTP/1.1\r\nHost: x\r\n" + head)
		_ = conn.Close()
		if err := bridgetest.Await(t, "the end of the handler", result); err == nil {
			t.Errorf("%.60q: no error", head)
		}
	}
}
