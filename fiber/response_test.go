package mcpauthfiber_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

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
