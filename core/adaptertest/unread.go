package adaptertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// runUnreadBodies announces bodies and does not send them. Each reply has to come within seconds, and end its connection.
func runUnreadBodies(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	const from = "Origin: " + baseURL + "\r\n"
	for name, head := range map[string]string{
		"no credentials":          "POST /mcp HTTP/1.1\r\nContent-Length: 65\r\n",
		"a few bytes of it":       "POST /mcp HTTP/1.1\r\nContent-Length: 65\r\n\r\n{\"js",
		"a large one":             "POST /mcp HTTP/1.1\r\nContent-Length: 65000000\r\n",
		"chunked":                 "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"in the middle of chunks": "POST /mcp HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"an invalid token":        "POST /mcp HTTP/1.1\r\nAuthorization: Bearer x\r\nContent-Length: 65\r\n",
		"a malformed header":      "POST /mcp HTTP/1.1\r\nAuthorization: Bearer\r\nContent-Length: 65\r\n",
		"a refused origin":        "POST /mcp HTTP/1.1\r\nOrigin: https://evil.example\r\nContent-Length: 65\r\n",
		"a preflight":             "OPTIONS /mcp HTTP/1.1\r\n" + from + "Access-Control-Request-Method: POST\r\nContent-Length: 65\r\n",
		"metadata":                "GET " + metadataPath + " HTTP/1.1\r\nContent-Length: 65\r\n",
		"metadata by POST":        "POST " + rootMetadata + " HTTP/1.1\r\nContent-Length: 65\r\n",
		"100-continue":            "POST /mcp HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 65\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			head, body, _ := strings.Cut(head, "\r\n\r\n")
			began := time.Now()
			_, _ = fmt.Fprintf(conn, "%s\r\nHost: mcp.example.com\r\n\r\n%s", strings.TrimSuffix(head, "\r\n"), body)
			reader := bufio.NewReader(conn)
			resp, err := http.ReadResponse(reader, nil)
			for err == nil && resp.StatusCode == http.StatusContinue {
				resp, err = http.ReadResponse(reader, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if took := time.Since(began); err != nil || took > 4*time.Second+busy {
				t.Errorf("status %d came after %v, %v", resp.StatusCode, took, err)
			}
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the server sends more after the reply")
			}
			if took := time.Since(began); took > 6*time.Second+busy {
				t.Errorf("the connection was held for %v", took)
			}
		})
	}
	t.Run("a large upload gets its refusal", func(t *testing.T) {
		t.Parallel()
		for range 10 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.addr+"/mcp", strings.NewReader(strings.Repeat("x", 5<<20)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Timeout: 2 * patience}).Do(req)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
	})
	t.Run("a refusal does not affect the next request", func(t *testing.T) { runAfterRefusal(t, f) })
}

// runAfterRefusal sends an allowed request on the connection of a refused one. Its handler takes its time.
func runAfterRefusal(t *testing.T, f *Framework) {
	t.Parallel()
	a := f.prepare(t, nil)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Errorf("the request was cancelled: %v", context.Cause(r.Context()))
		case <-time.After(1500 * time.Millisecond):
		}
		_, _ = io.WriteString(w, "answer")
	}))
	a.serve(t)
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for _, path := range []string{"/mcp", metadataPath} {
		if resp := exchange(t, conn, from, request{target: path, body: "{}"}); resp.status < 400 {
			t.Errorf("%s: status %d", path, resp.status)
		}
		if resp := exchange(t, conn, from, request{header: bearer(a.env.Token(nil)), body: "{}"}); resp.body != "answer" {
			t.Errorf("after %s: status %d, %q", path, resp.status, resp.body)
		}
	}
}
