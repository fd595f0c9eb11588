package adaptertest

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// runHeaderLines has a handler that copies what a client sends into response headers.
func runHeaderLines(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := r.URL.Query().Get("value")
		for _, name := range []string{"X-Echo", "Content-Type", "Server", "Set-Cookie", "Location", "Vary", "Content-Disposition"} {
			w.Header().Set(name, value)
		}
		w.Header()["X-Lines"] = []string{value, "a", value}
		for _, name := range []string{"X-Name\r\nX-Injected: 1\r\nX-Rest", "X-Injected: 1", "X Injected", "X-Injected\n", ""} {
			w.Header()[name] = []string{"x"}
		}
		switch r.URL.Query().Get("how") {
		case "status":
			w.WriteHeader(http.StatusNoContent)
		case "flush":
			_ = http.NewResponseController(w).Flush()
		case "written":
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "x")
		default:
			_, _ = io.WriteString(w, "x")
		}
	}))
	a.serve(t)
	for _, value := range []string{"1\r\nX-Injected: 1", "1\nX-Injected: 1", "1\rX-Injected: 1", "\r\nX-Injected: 1", "1\r\n\r\nX-Injected: 1", "1\r\n X-Injected: 1", "\t1 \r\n"} {
		for _, how := range []string{"", "status", "flush", "written"} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				resp := a.send(t, request{method: method, target: "/mcp?" + url.Values{"value": {value}, "how": {how}}.Encode(), header: bearer(a.env.Token(nil))})
				want := strings.Trim(strings.NewReplacer("\r", " ", "\n", " ").Replace(value), " \t")
				if _, ok := resp.header["X-Injected"]; ok || resp.header.Get("X-Echo") != want {
					t.Errorf("%s, %q, %q: a second header line: %q", method, value, how, resp.header)
				}
				if lines := resp.header["X-Lines"]; !slices.Equal(lines, []string{want, "a", want}) {
					t.Errorf("%s, %q, %q: lines %q", method, value, how, lines)
				}
			}
		}
	}
}

// runLength has handlers that declare a length, and keep to it or not.
func runLength(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	upstream := brokenUpstream(t)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("0123456789", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(w io.Writer, n int) error {
		_, err := io.WriteString(w, strings.Repeat("x", n))
		return err
	}
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "proxy", "proxy-flush":
			proxy := *proxy
			if r.URL.RawQuery == "proxy-flush" {
				proxy.FlushInterval = -1
			}
			proxy.ServeHTTP(w, r)
		case "short":
			w.Header().Set("Content-Length", "100")
			_ = write(w, 16)
		case "short-flushed":
			w.Header().Set("Content-Length", "100")
			_ = write(w, 16)
			_ = http.NewResponseController(w).Flush()
		case "kept":
			w.Header().Set("Content-Length", "20")
			_ = write(w, 20)
		case "kept-flushed":
			w.Header().Set("Content-Length", "20")
			_ = write(w, 10)
			_ = http.NewResponseController(w).Flush()
			_ = write(w, 10)
		case "long":
			w.Header().Set("Content-Length", "20")
			_ = write(w, 20)
			if err := write(w, 1); err != http.ErrContentLength { //nolint:errorlint // as net/http's
				t.Errorf("writing more than was declared: %v", err)
			}
		case "file":
			http.ServeFile(w, r, file)
		}
	}))
	a.serve(t)
	type want struct {
		status   int
		length   int64
		body     int
		complete bool
	}
	for query, want := range map[string]want{
		"proxy": {200, 100, 16, false}, "proxy-flush": {200, 100, 16, false},
		"short": {200, 100, 16, false}, "short-flushed": {200, 100, 16, false},
		"kept": {200, 20, 20, true}, "kept-flushed": {200, 20, 20, true}, "long": {200, 20, 20, true},
		"file": {200, 1_000_000, 1_000_000, true},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if method == http.MethodHead && strings.HasPrefix(query, "proxy") {
				continue // the upstream does not answer HEAD
			}
			resp, body, err := a.get(t, method, "/mcp?"+query, nil) //nolint:bodyclose // get closes it
			if resp == nil {
				if want.complete { // otherwise nothing was sent, so no truncation is hidden
					t.Errorf("%s %s: %v", method, query, err)
				}
				continue
			}
			if resp.ContentLength != want.length || len(resp.TransferEncoding) != 0 {
				t.Errorf("%s %s: length %d, %q, want %d", method, query, resp.ContentLength, resp.TransferEncoding, want.length)
			}
			if method == http.MethodHead {
				continue
			}
			if (err == nil) != want.complete || want.complete && len(body) != want.body {
				t.Errorf("%s: %d bytes, %v; complete should be %v", query, len(body), err, want.complete)
			}
		}
	}
	resp, body, err := a.get(t, http.MethodGet, "/mcp?file", http.Header{"Range": {"bytes=5-14"}}) //nolint:bodyclose // get closes it
	if err != nil || resp.StatusCode != http.StatusPartialContent || resp.ContentLength != 10 || body != "5678901234" {
		t.Errorf("a range: %v, %v, %q", resp, err, body)
	}
}

// get reads a response as far as it comes. resp is nil when none came.
func (a *app) get(t *testing.T, method, target string, header http.Header) (resp *http.Response, body string, err error) {
	t.Helper()
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n", method, target, a.env.Token(nil))
	_ = header.Write(conn)
	_, _ = io.WriteString(conn, "\r\n")
	resp, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// brokenUpstream answers each connection with 16 of 100 bytes.
func brokenUpstream(t *testing.T) (addr string) {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n0123456789abcdef")
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}
