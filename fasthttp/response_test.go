package mcpauthfasthttp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
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
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(html)))
			_, _ = io.WriteString(w, html)
		},
		"a length, flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(html)))
			flush(w)
			_, _ = io.WriteString(w, html[:5])
			flush(w)
			_, _ = io.WriteString(w, html[5:])
		},
		"a length, flushed at the end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(html)))
			_, _ = io.WriteString(w, html)
			flush(w)
		},
		"a large length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(1<<20))
			for range 1 << 10 {
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<10))
			}
		},
		"more than the length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			_, _ = io.WriteString(w, "x")
			if _, err := io.WriteString(w, "y"); err != http.ErrContentLength { //nolint:errorlint // as net/http's
				panic(http.ErrAbortHandler)
			}
		},
		"a length of 0": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"not modified, with a length and a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusNotModified)
		},
		"no content, with a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusNoContent)
		},
		"no content, with a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusNoContent)
		},
		"nothing written, several times": func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = w.Write(nil)
			}
		},
		"a file": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("0123456789", 100_000)))
		},
		"a range": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=5-14")
			http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("0123456789", 100_000)))
		},
		"a range that is none": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=5000000-")
			http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader("0123456789"))
		},
		"a file that was not modified": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("If-Modified-Since", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
			http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader("0123456789"))
		},
		"values with controls": func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range map[string]string{
				"X-Lines": "a\r\nX-Injected: 1", "X-Spaces": " a\t ", "X-Empty": "", "X-Latin": "\xe4", "X-Utf": "ä",
				"Content-Type": "text/plain\r\nX-Injected: 1", "Server": "a\nX-Injected: 1", "Set-Cookie": "a=b\rX-Injected: 1", "Etag": "\n",
			} {
				w.Header().Set(name, value)
			}
		},
		"names that are none": func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"", " ", "X Y", "X:Y", "X-Ä", "X\r\nX-Injected", "X\x00", "X(Y)", "\"X\""} {
				w.Header()[name] = []string{"x"}
			}
			w.Header()["X-Y_z.!#$%&'*+^`|~0"] = []string{"x"}
		},
		"request body ignored": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
		"closed":               func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") },
	}
	addrs := twin(t, func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Query().Get("n")](w, r) })
	for name := range handlers {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			var got [2]string
			unknown := false
			for i, addr := range addrs {
				conn := bridgetest.Dial(t, addr)
				body := strings.Repeat("b", 20_000)
				conn.Send(fmt.Sprintf("%s /?n=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, strings.ReplaceAll(name, " ", "+"), len(body), body))
				resp, text := conn.Answer(method)
				resp.Header.Del("Date")
				resp.Header.Del("Connection")
				if resp.Close {
					resp.Header.Set("Connection", "close")
				}
				// The bridge knows the length of longer responses than net/http does, and of those to HEAD.
				length := resp.Header.Get("Content-Length")
				if length == "" && i == 0 {
					unknown = true
				} else if unknown && (length == strconv.Itoa(len(text)) || method == "HEAD") {
					resp.Header.Del("Content-Length")
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
		conn := bridgetest.Dial(t, addr)
		conn.Send(method + " / HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := conn.Answer(method); resp.ContentLength != 5 {
			t.Errorf("%s: length %d", method, resp.ContentLength)
		}
	}
}

// TestServerIsInTheContext, as under net/http: httputil.ReverseProxy breaks off a truncated answer only then.
func TestServerIsInTheContext(t *testing.T) {
	t.Parallel()
	_, addr := bridge(t, func(w http.ResponseWriter, r *http.Request) {
		server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_, _ = fmt.Fprint(w, server != nil, local)
	})
	conn := bridgetest.Dial(t, addr)
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := conn.Answer("GET"); body != "true "+addr {
		t.Error(body)
	}
}
