package adaptertest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// runBroken aborts responses in the middle, with and without the framework's own recovery middleware in front.
func runBroken(t *testing.T, f *Framework) {
	for _, recovery := range []bool{false, true} {
		for name, begin := range map[string]func(http.ResponseWriter){
			"with a length": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "sixteen bytes...")
			},
			"with a length, flushed": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "sixteen bytes...")
				_ = http.NewResponseController(w).Flush()
			},
			"a stream": func(w http.ResponseWriter) {
				_, _ = io.WriteString(w, "sixteen bytes...")
				_ = http.NewResponseController(w).Flush()
			},
			"not flushed": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "sixteen bytes...") },
			"at once":     func(http.ResponseWriter) {},
		} {
			t.Run(fmt.Sprintf("recovery %t, %s", recovery, name), func(t *testing.T) {
				t.Parallel()
				a := f.prepare(t, nil)
				if recovery {
					a.build.Recover()
				}
				a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					begin(w)
					panic(http.ErrAbortHandler)
				}))
				a.serve(t)
				conn := a.dial(t)
				defer func() { _ = conn.Close() }()
				_, _ = fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", a.env.Token(nil))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return // the client sees that there is no complete response
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err == nil {
					t.Errorf("the client takes the aborted response for a complete one: status %d, %q", resp.StatusCode, body)
				}
			})
		}
	}
}
