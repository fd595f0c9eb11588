package adaptertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// until returns a token that ends in life, and the time when it ends.
func (a *app) until(life time.Duration) (token string, end time.Time) {
	end = time.UnixMilli(time.Now().Add(life).UnixMilli())
	return a.env.Token(map[string]any{"exp": float64(end.UnixMilli()) / 1000}), end
}

func noSkew(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond }

// runCall has a call whose token ends while the handler works: the call still gets its answer, streamed or in one piece. A
// stream that claims to be a call is ended.
func runCall(t *testing.T, f *Framework) {
	for _, streamed := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %t", streamed), func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, noSkew)
			token, end := a.until(1500 * time.Millisecond)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if streamed {
					_, _ = io.WriteString(w, "progress\n")
					_ = http.NewResponseController(w).Flush()
				}
				select {
				case <-r.Context().Done():
					t.Errorf("the call was ended: %v", context.Cause(r.Context()))
				case <-time.After(time.Until(end.Add(300 * time.Millisecond))):
				}
				if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, "answer\n")
			}))
			a.serve(t)
			resp := a.send(t, request{header: bearer(token)})
			if !strings.HasSuffix(resp.body, "answer\n") {
				t.Errorf("status %d, %q", resp.status, resp.body)
			}
		})
	}
}

// runNoReader has streams whose clients read nothing, and handlers that notice only the errors of their writes.
func runNoReader(t *testing.T, f *Framework) {
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprintf("flushing %t", flush), func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, noSkew)
			returned := make(chan time.Time, 1)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				chunk := make([]byte, 64<<10)
				for {
					_, err := w.Write(chunk)
					if err == nil && flush {
						err = http.NewResponseController(w).Flush()
					}
					if err != nil {
						returned <- time.Now()
						return
					}
				}
			}))
			a.serve(t)
			token, end := a.until(1500 * time.Millisecond)
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			_, _ = fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n\r\n", token)
			at := await(t, "the handler's return", returned)
			if late := at.Sub(end); late < 0 || late > 5*time.Second {
				t.Errorf("the handler returned %v after the end of the token", late)
			}
		})
	}
}
