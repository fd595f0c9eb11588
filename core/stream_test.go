package mcpauth_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR77StreamEndsWithItsToken opens a stream with a token that ends in a few seconds. The handler waits for its context
// alone.
func TestR77StreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond })
	ended := make(chan error, 1)
	server := httptest.NewServer(protect(f.rs, f.rs.EndWithToken(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		_, err := io.WriteString(w, "data: 2\n\n")
		ended <- err
	}))))
	defer server.Close()
	end := time.Now().Add(3 * time.Second) // a machine with more to do takes its time with the first event
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(m{"exp": float64(end.UnixMilli()) / 1000}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	from := bufio.NewReader(resp.Body)
	if line, err := from.ReadString('\n'); err != nil || line != "data: 1\n" {
		t.Fatalf("first event: %q, %v", line, err)
	}
	if time.Now().After(end) {
		t.Fatal("the first event came only with the end")
	}
	rest, err := io.ReadAll(from)
	if err != nil || string(rest) != "\n" {
		t.Errorf("after the first event: %q, %v", rest, err)
	}
	if time.Now().Before(end) {
		t.Error("the stream ended before its token")
	}
	if err := <-ended; err == nil {
		t.Error("writing to an ended stream succeeded")
	}
}

func TestEndWithTokenOnOneClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs, err := mcpauth.New(goodConfig())
		if err != nil {
			t.Fatal(err)
		}
		serve := func(handler http.HandlerFunc) {
			session := mcpauthtest.NewSession(m{"exp": time.Now().Add(time.Minute).Unix()})
			r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), http.MethodGet, "/mcp", nil)
			rs.EndWithToken(handler).ServeHTTP(httptest.NewRecorder(), r)
		}
		serve(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if r.Context().Err() != nil {
				t.Error("a response that was never flushed was ended")
			}
		})
		serve(func(w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			start := time.Now()
			w.(http.Flusher).Flush() //nolint:forcetypeassert // the wrapper has to be one
			<-child.Done()
			if d := time.Since(start); d != 90*time.Second {
				t.Errorf("ended after %v, want exp and the skew of 30 s", d)
			}
			if context.Cause(child) == nil || context.Cause(child) == context.Canceled { //nolint:errorlint // the bare one
				t.Errorf("the cause is %v", context.Cause(child))
			}
		})
		serve(func(w http.ResponseWriter, r *http.Request) { // nobody looked before the end
			w.(http.Flusher).Flush() //nolint:forcetypeassert // as above
			time.Sleep(time.Hour)
			if r.Context().Err() == nil {
				t.Error("the context goes on")
			}
			if _, err := w.Write([]byte("x")); err == nil {
				t.Error("writing goes on")
			}
		})
	})
}

// TestR77StreamsShareATimer opens streams whose tokens end in another order than they began, between answers that are
// over in a moment, as nearly all are. Each has to end with its own token.
func TestR77StreamsShareATimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs, err := mcpauth.New(goodConfig())
		if err != nil {
			t.Fatal(err)
		}
		open := func(life time.Duration, wait bool) (lasted chan time.Duration) {
			lasted = make(chan time.Duration, 1)
			session := mcpauthtest.NewSession(m{"exp": time.Now().Add(life).Unix()})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/mcp", nil)
			go rs.Serve(httptest.NewRecorder(), r, session, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				began := time.Now()
				flusher := w.(http.Flusher) //nolint:forcetypeassert // the wrapper has to be one
				flusher.Flush()
				flusher.Flush()
				if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
					t.Error(err)
				}
				if wait {
					<-r.Context().Done()
				}
				lasted <- time.Since(began)
			}))
			synctest.Wait()
			return lasted
		}
		const skew = 30 * time.Second
		lives := []time.Duration{10, 3, 0, 7, 3, 20, 1} // minutes; 0 is over at once
		var streams []chan time.Duration
		for _, life := range lives {
			streams = append(streams, open(max(life, 2)*time.Minute, life > 0))
		}
		if open := mcpauth.OpenStreams(rs); open != len(lives)-1 {
			t.Errorf("%d streams are open, want %d", open, len(lives)-1)
		}
		for i, life := range lives {
			want := max(life, 2)*time.Minute + skew
			if life == 0 {
				want = 0
			}
			if got := <-streams[i]; got != want {
				t.Errorf("stream %d lasted %v, want %v", i, got, want)
			}
		}
		// All are over, and the timer with them. It has to start again.
		time.Sleep(time.Hour)
		if got := <-open(time.Minute, true); got != time.Minute+skew {
			t.Errorf("a stream after all others lasted %v", got)
		}
		var late http.ResponseWriter
		rs.Serve(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/mcp", nil), mcpauthtest.NewSession(nil),
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { late = w }))
		late.(http.Flusher).Flush() //nolint:forcetypeassert // as above: a handler that is over goes on writing
		if open := mcpauth.OpenStreams(rs); open != 0 {
			t.Errorf("%d streams are open after all", open)
		}
	})
}

// TestStreamsInParallel lets streams begin, end and be ended by many goroutines at once, for the race detector.
func TestStreamsInParallel(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.ClockSkew = time.Millisecond
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for j := range 20 {
				end := time.Now().Add(time.Duration((i+j)%5) * time.Millisecond)
				session := mcpauthtest.NewSession(m{"exp": float64(end.UnixMilli()) / 1000})
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/mcp", nil)
				rs.Serve(httptest.NewRecorder(), r, session, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush() //nolint:forcetypeassert // the wrapper has to be one
					if j%2 == 0 {
						<-r.Context().Done()
					}
				}))
			}
		})
	}
	group.Wait()
	if open := mcpauth.OpenStreams(rs); open != 0 {
		t.Errorf("%d streams are open after all", open)
	}
}
