package mcpauth_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// newOffline returns a resource server for sessions of mcpauthtest alone.
func newOffline(t *testing.T, change func(*mcpauth.Config)) *mcpauth.ResourceServer {
	t.Helper()
	cfg := quietConfig()
	if change != nil {
		change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// withSession is a request whose session ends in a minute, and 30 s of skew later.
func withSession(t *testing.T, method string) *http.Request {
	t.Helper()
	session := mcpauthtest.NewSession(m{"exp": time.Now().Add(time.Minute).Unix()})
	return httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), method, "/mcp", nil)
}

// A pooledWriter is a writer that its router gives to the next request.
type pooledWriter struct {
	http.ResponseWriter
	deadlines int
}

func (w *pooledWriter) SetWriteDeadline(time.Time) error { w.deadlines++; return nil }

// TestR95AfterTheResponse has a handler whose goroutine writes after the handler has returned, when the router may have
// given the writer to another request.
func TestR95AfterTheResponse(t *testing.T) {
	t.Parallel()
	rs := newOffline(t, nil)
	var late http.ResponseWriter
	var ctx context.Context
	pooled := &pooledWriter{ResponseWriter: httptest.NewRecorder()}
	rs.Serve(pooled, withSession(t, http.MethodPost), func(w http.ResponseWriter, r *http.Request) {
		late, ctx = w, r.Context()
		_ = r.Context().Done()
	})
	next := httptest.NewRecorder()
	pooled.ResponseWriter = next
	late.Header().Set("X-Late", "1")
	late.WriteHeader(http.StatusEarlyHints)
	late.WriteHeader(http.StatusTeapot)
	if _, err := io.WriteString(late, "late"); err == nil {
		t.Error("writing succeeds")
	}
	control := http.NewResponseController(late)
	if control.SetWriteDeadline(time.Now()) == nil || control.Flush() == nil || pooled.deadlines > 0 {
		t.Error("the connection can be changed")
	}
	if next.Code != http.StatusOK || len(next.Header()) > 0 || next.Body.Len() > 0 || next.Flushed {
		t.Errorf("the next response has %d %v %q", next.Code, next.Header(), next.Body)
	}
	mcpauth.EndWithToken(ctx)
	if open := mcpauth.OpenExchanges(rs); open != 0 {
		t.Errorf("%d responses are watched", open)
	}
}

// TestR83HangingLog has a log that hangs when the end of a stream is logged: the streams end all the same.
func TestR83HangingLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		rs := newOffline(t, func(cfg *mcpauth.Config) { cfg.Logger = slog.New(hangingLog{slog.DiscardHandler, forever}) })
		for range 3 {
			go rs.Serve(httptest.NewRecorder(), withSession(t, http.MethodGet), func(_ http.ResponseWriter, r *http.Request) {
				began := time.Now()
				<-r.Context().Done()
				if lasted := time.Since(began); lasted > 95*time.Second {
					t.Errorf("it lasted %v", lasted)
				}
			})
		}
		time.Sleep(2 * time.Minute)
		if open := mcpauth.OpenExchanges(rs); open != 0 {
			t.Errorf("%d responses are open", open)
		}
	})
}

type hangingLog struct {
	slog.Handler
	until chan struct{}
}

func (h hangingLog) Enabled(context.Context, slog.Level) bool        { return true }
func (h hangingLog) Handle(context.Context, slog.Record) (err error) { <-h.until; return nil }

// TestR83ClockBetween sets the clock back after a token has ended, and before the connection is broken of a handler that
// waits for its client.
func TestR83ClockBetween(t *testing.T) {
	t.Parallel()
	var step atomic.Int64
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(step.Load())) }
	})
	returned := make(chan time.Time, 1)
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { step.Store(-int64(time.Hour)) })
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				returned <- time.Now()
				return
			}
		}
	})))
	defer server.Close()
	resp := get(t, server.URL, f.env.Token(nil))
	defer func() { _ = resp.Body.Close() }()
	stepped := time.Now()
	step.Store(int64(24 * time.Hour))
	if took := await(t, "the handler's return", returned).Sub(stepped); took > 5*time.Second+busy {
		t.Errorf("the handler returned %v after the step", took)
	}
}

// TestR83LooksAtNothing has handlers that drop the errors of their writes, and don't look at their contexts. Their clients
// don't wait for them.
func TestR83LooksAtNothing(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(w http.ResponseWriter, over chan struct{}){
		"flushes":     func(w http.ResponseWriter, _ chan struct{}) { begin(w) },
		"only writes": func(w http.ResponseWriter, _ chan struct{}) { _, _ = w.Write(make([]byte, 1<<10)) },
		"sets headers": func(w http.ResponseWriter, _ chan struct{}) {
			w.Header().Set("X", "y")
			w.WriteHeader(http.StatusOK)
			begin(w)
		},
		"writes a lot":  func(w http.ResponseWriter, _ chan struct{}) { _, _ = w.Write(make([]byte, 1<<20)) },
		"only flushes":  func(w http.ResponseWriter, _ chan struct{}) { w.(http.Flusher).Flush() }, //nolint:forcetypeassert // it has to be one
		"waits forever": func(w http.ResponseWriter, over chan struct{}) { begin(w); <-over },
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", name, http2), func(t *testing.T) {
				t.Parallel()
				c := newClock()
				f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
				over := make(chan struct{})
				server := httptest.NewUnstartedServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for {
						step(w, over)
						select {
						case <-over:
							return
						case <-time.After(5 * time.Millisecond):
						}
					}
				})))
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				server.EnableHTTP2 = http2
				server.StartTLS()
				defer server.Close()
				defer close(over)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
				client := server.Client()
				client.Timeout = patience
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				end := time.Now()
				c.advance(time.Hour)
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if late := time.Since(end); late > 5*time.Second+busy {
					t.Errorf("the client sees the end %v after that of the token", late)
				}
			})
		}
	}
}

// TestR83WaitsForABody has a handler that waits for a body which its client never ends.
func TestR83WaitsForABody(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			t.Parallel()
			c := newClock()
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now, cfg.MaxCall = c.now, time.Millisecond })
			running, returned := make(chan struct{}), make(chan time.Time, 1)
			server := httptest.NewUnstartedServer(protect(f.rs, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_ = r.Context().Done() // but nothing is sent
				close(running)
				_, _ = io.Copy(io.Discard, r.Body)
				returned <- time.Now()
			})))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			body, client := io.Pipe()
			defer func() { _ = client.Close() }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
			go func() {
				if resp, err := server.Client().Do(req); err == nil {
					_ = resp.Body.Close()
				}
			}()
			await(t, "the handler's start", running)
			end := time.Now()
			c.advance(time.Hour)
			if late := await(t, "the handler's return", returned).Sub(end); late < 0 || late > 5*time.Second+busy {
				t.Errorf("the handler returned %v after the end of the token", late)
			}
		})
	}
}

// TestR83ListenerAmongCalls makes one of several calls a stream with EndWithToken: that one alone ends with its token.
func TestR83ListenerAmongCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs := newOffline(t, nil)
		const calls = 8
		for i := range calls {
			r := withSession(t, http.MethodPost)
			go rs.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
				began := time.Now()
				begin(w)
				time.Sleep(time.Second)
				want := 90*time.Second + time.Hour
				if i >= calls/2 {
					mcpauth.EndWithToken(r.Context())
					want = 90 * time.Second
				}
				<-r.Context().Done()
				if lasted := time.Since(began); lasted != want {
					t.Errorf("response %d lasted %v, want %v", i, lasted, want)
				}
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestR93ClockOfAWriter has a clock that panics when an SDK writes, on a goroutine of its own.
func TestR93ClockOfAWriter(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	rs := newOffline(t, func(cfg *mcpauth.Config) {
		cfg.Now = func() time.Time {
			if broken.Load() {
				panic("no time")
			}
			return time.Now()
		}
	})
	rs.Serve(httptest.NewRecorder(), withSession(t, http.MethodPost), func(w http.ResponseWriter, r *http.Request) {
		broken.Store(true)
		_ = r.Context().Done()
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			mcpauth.EndWithToken(r.Context())
		}()
		if v := <-done; v != nil {
			t.Errorf("the program would have ended: %v", v)
		}
	})
}

// TestR88CutByItsToken ends tokens in the middle of answers. Unless it is a stream of events, the client sees that the
// answer is not complete.
func TestR88CutByItsToken(t *testing.T) {
	t.Parallel()
	for kind, broken := range map[string]bool{
		"text/csv": true, "application/json; charset=utf-8": true,
		"text/event-stream": false, "Text/Event-Stream; charset=utf-8": false, "text/event-stream ;x=y": false,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(method+" "+kind, func(t *testing.T) {
				t.Parallel()
				c := newClock()
				f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now, cfg.MaxCall = c.now, time.Millisecond })
				server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", kind)
					_, _ = io.WriteString(w, "half\n")
					w.(http.Flusher).Flush() //nolint:forcetypeassert // it has to be one
					c.advance(time.Hour)
					<-r.Context().Done()
					_, _ = io.WriteString(w, "the other half\n")
				})))
				defer server.Close()
				req, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != "half\n" || (err != nil) != broken {
					t.Errorf("the client sees %q, %v; broken: want %t", body, err, broken)
				}
			})
		}
	}
}

// TestR88HiddenConnection aborts an answer behind a middleware that recovers from every panic, and a writer that hides the
// connection, as those of gin's compressing middlewares do.
func TestR88HiddenConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	guarded := protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		panic(http.ErrAbortHandler)
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		guarded.ServeHTTP(struct {
			http.ResponseWriter
			http.Flusher
			http.Hijacker
		}{w, w.(http.Flusher), w.(http.Hijacker)}, r) //nolint:forcetypeassert // net/http's
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the client takes half an answer for whole")
	}
}
