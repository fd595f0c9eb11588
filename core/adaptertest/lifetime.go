package adaptertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A clock is the wall clock until a test lets tokens end. A token with a short life would do on a machine with nothing else
// to do: on others, it ends before its request has come.
type clock struct{ ahead atomic.Int64 }

func (c *clock) set(cfg *mcpauth.Config) { cfg.Now = c.now }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// endTokens makes it ten minutes later, when the tokens of the environment have ended. What a resource server still has open
// is looked at within 2.5 s of that.
func (c *clock) endTokens() (at time.Time) {
	c.ahead.Store(int64(10 * time.Minute))
	return time.Now()
}

// runCall has a call whose token ends while the handler works: the call still gets its answer, streamed or in one piece. A
// stream that claims to be a call is ended.
func runCall(t *testing.T, f *Framework) {
	for _, streamed := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %t", streamed), func(t *testing.T) {
			t.Parallel()
			var clock clock
			a := f.prepare(t, clock.set)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if streamed {
					_, _ = io.WriteString(w, "progress\n")
					_ = http.NewResponseController(w).Flush()
				}
				clock.endTokens()
				select {
				case <-r.Context().Done():
					t.Errorf("the call was ended: %v", context.Cause(r.Context()))
				case <-time.After(3 * time.Second):
				}
				if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, "answer\n")
			}))
			a.serve(t)
			resp := a.send(t, request{header: bearer(a.env.Token(nil))})
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
			var clock clock
			a := f.prepare(t, clock.set)
			running, returned := make(chan struct{}), make(chan time.Time, 1)
			a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(running)
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
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			_, _ = fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nAuthorization: Bearer %s\r\n\r\n", a.env.Token(nil))
			await(t, "the handler's start", running)
			end := clock.endTokens()
			at := await(t, "the handler's return", returned)
			if late := at.Sub(end); late < 0 || late > 5*time.Second+busy {
				t.Errorf("the handler returned %v after the end of the token", late)
			}
		})
	}
}
