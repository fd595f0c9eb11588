package mcpauth_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// until returns a token that ends after life, and the time at which it does.
func (f *fixture) until(life time.Duration) (token string, end time.Time) {
	end = time.UnixMilli(time.Now().Add(life).UnixMilli())
	return f.env.Token(m{"exp": float64(end.UnixMilli()) / 1000}), end
}

func quietConfig() mcpauth.Config {
	cfg := goodConfig()
	cfg.Logger = slog.New(slog.DiscardHandler)
	return cfg
}

func get(t *testing.T, url, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// serveIn lets handler answer a request with a session whose token ends in a minute, and 30 s of skew later.
func serveIn(t *testing.T, rs *mcpauth.ResourceServer, method string, header http.Header, handler http.HandlerFunc) {
	t.Helper()
	session := mcpauthtest.NewSession(m{"exp": time.Now().Add(time.Minute).Unix()})
	r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), method, "/mcp", nil)
	r.Header = header
	rs.Serve(httptest.NewRecorder(), r, handler)
}

// TestR83Lifetimes has handlers that wait for their contexts: when each ends, with which cause, and what is logged.
func TestR83Lifetimes(t *testing.T) {
	t.Parallel()
	const stream = 90 * time.Second
	tell := func(_ http.ResponseWriter, r *http.Request) { mcpauth.EndWithToken(r.Context()) }
	flush := func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() } //nolint:forcetypeassert // it has to be one
	for name, c := range map[string]struct {
		method  string
		header  http.Header
		maxCall time.Duration
		first   http.HandlerFunc
		want    time.Duration
		cause   string
	}{
		"GET":                            {method: "GET", want: stream, cause: "stream"},
		"GET, flushed":                   {method: "GET", first: flush, want: stream, cause: "stream"},
		"HEAD":                           {method: "HEAD", want: stream, cause: "stream"},
		"GET that says it is a call":     {method: "GET", header: http.Header{"Mcp-Method": {"tools/call"}}, want: stream, cause: "stream"},
		"POST":                           {method: "POST", want: stream + time.Hour, cause: "call"},
		"POST, flushed":                  {method: "POST", first: flush, want: stream + time.Hour, cause: "call"},
		"DELETE":                         {method: "DELETE", want: stream + time.Hour, cause: "call"},
		"POST with MaxCall":              {method: "POST", maxCall: time.Minute, want: stream + time.Minute, cause: "call"},
		"POST with a negative MaxCall":   {method: "POST", maxCall: -1, want: stream, cause: "call"},
		"POST that listens":              {method: "POST", first: tell, want: stream, cause: "stream"},
		"POST that listens, flushed":     {method: "POST", first: func(w http.ResponseWriter, r *http.Request) { flush(w, r); tell(w, r) }, want: stream, cause: "stream"},
		"POST that says it listens":      {method: "POST", header: http.Header{"Mcp-Method": {"subscriptions/listen"}}, want: stream, cause: "stream"},
		"POST that says two things":      {method: "POST", header: http.Header{"Mcp-Method": {"tools/call", "subscriptions/listen"}}, want: stream, cause: "stream"},
		"a listener that says it calls":  {method: "POST", header: http.Header{"Mcp-Method": {"tools/call"}}, first: tell, want: stream, cause: "stream"},
		"a listener that is told twice":  {method: "POST", first: func(w http.ResponseWriter, r *http.Request) { tell(w, r); tell(w, r) }, want: stream, cause: "stream"},
		"a listener that tells too late": {method: "POST", first: func(w http.ResponseWriter, r *http.Request) { time.Sleep(2 * stream); tell(w, r) }, want: 2 * stream, cause: "stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := goodConfig()
				cfg.MaxCall = c.maxCall
				log := logTo(&cfg)
				rs, err := mcpauth.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				serveIn(t, rs, c.method, c.header, func(w http.ResponseWriter, r *http.Request) {
					child, cancel := context.WithCancel(r.Context())
					defer cancel()
					start := time.Now()
					if c.first != nil {
						c.first(w, r)
					}
					<-child.Done()
					if lasted := time.Since(start); lasted != c.want {
						t.Errorf("it lasted %v, want %v", lasted, c.want)
					}
					if cause := context.Cause(child); !strings.Contains(cause.Error(), c.cause) {
						t.Errorf("the cause is %v", cause)
					}
					if _, err := w.Write([]byte("x")); err == nil {
						t.Error("writing goes on")
					}
					if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
						t.Error("the session is gone before the handler has returned")
					}
				})
				if n := strings.Count(log.String(), `level=INFO msg="response ended"`); n != 1 {
					t.Errorf("logged %d times: %s", n, log)
				}
				if open := mcpauth.OpenExchanges(rs); open != 0 {
					t.Errorf("%d responses are open after all", open)
				}
			})
		})
	}
}

// TestR83OperationsTell has RequireOperations see in the body that the response is a stream.
func TestR83OperationsTell(t *testing.T) {
	t.Parallel()
	const listen = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`
	const call = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"subscriptions/listen"}}`
	for body, want := range map[string]time.Duration{
		listen: 90 * time.Second,
		strings.Replace(listen, "subscriptions/", `\u0073ubscriptions\/`, 1): 90 * time.Second,
		"[" + call + "," + listen + "]":                                      90 * time.Second,
		strings.Replace(listen, `{"toolsListChanged":true}`, "null", 1):      90 * time.Second,
		call: 90*time.Second + time.Hour,
		`{"jsonrpc":"2.0","id":1,"result":{"method":"subscriptions/listen"}}`: 90*time.Second + time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			rs, err := mcpauth.New(quietConfig())
			if err != nil {
				t.Fatal(err)
			}
			policy, err := mcpauth.NewPolicy(mcpauth.Rules{Strict: true, Tools: scopeRules(map[string][]string{"subscriptions/listen": nil})})
			if err != nil {
				t.Fatal(err)
			}
			require := rs.RequireOperations(policy)
			session := mcpauthtest.NewSession(m{"exp": time.Now().Add(time.Minute).Unix()})
			r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), http.MethodPost, "/mcp", strings.NewReader(body))
			w := httptest.NewRecorder()
			ran := false
			require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ran = true
				start := time.Now()
				<-r.Context().Done()
				if lasted := time.Since(start); lasted != want {
					t.Errorf("%s: it lasted %v, want %v", body, lasted, want)
				}
			})).ServeHTTP(w, r)
			if !ran {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		})
	}
}

// TestR83WritingFailsAfterTheEnd has handlers that don't look at their contexts before they write. Writing to a stream
// fails once its token has ended, and a call still gets its answer.
func TestR83WritingFailsAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := goodConfig()
		log := logTo(&cfg)
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		serveIn(t, rs, http.MethodGet, nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x") // not flushed: the clock does not watch this response yet
			time.Sleep(89 * time.Second)
			if _, err := io.WriteString(w, "x"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if _, err := io.WriteString(w, "x"); err == nil {
				t.Error("writing goes on")
			}
			if r.Context().Err() == nil {
				t.Error("the context goes on")
			}
			time.Sleep(time.Hour)
		})
		if n := strings.Count(log.String(), `msg="response ended"`); n != 1 {
			t.Errorf("logged %d times: %s", n, log)
		}
		serveIn(t, rs, http.MethodPost, nil, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			if _, err := io.WriteString(w, "the answer"); err != nil || r.Context().Err() != nil {
				t.Errorf("a call lost its answer: %v, %v", err, r.Context().Err())
			}
		})
	})
}

// TestR83WallClock sets the clock while a stream is open, as an administrator does, and a machine that wakes up.
func TestR83WallClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64
		cfg := quietConfig()
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())).Round(0) }
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		serveIn(t, rs, http.MethodGet, nil, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush() //nolint:forcetypeassert // it has to be one
			step.Store(int64(time.Hour))
			start := time.Now()
			<-r.Context().Done()
			if lasted := time.Since(start); lasted > 5*time.Second {
				t.Errorf("the stream went on for %v", lasted)
			}
		})
		step.Store(0)
		serveIn(t, rs, http.MethodGet, nil, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			step.Store(int64(time.Hour))
			if _, err := io.WriteString(w, "x"); err == nil {
				t.Error("a write right after the step succeeded")
			}
		})
		step.Store(0)
		serveIn(t, rs, http.MethodGet, nil, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush() //nolint:forcetypeassert // as above
			step.Store(-int64(time.Hour))
			time.Sleep(time.Hour)
			if r.Context().Err() != nil {
				t.Error("the clock was set back, and the token is good for longer")
			}
			<-r.Context().Done()
		})
	})
}

// TestR83ResponsesShareATimer opens streams whose tokens end in another order than they began, between answers that are
// over at once, as nearly all are. Each stream has to end with its own token.
func TestR83ResponsesShareATimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rs, err := mcpauth.New(quietConfig())
		if err != nil {
			t.Fatal(err)
		}
		open := func(life time.Duration, wait bool) (lasted chan time.Duration) {
			lasted = make(chan time.Duration, 1)
			session := mcpauthtest.NewSession(m{"exp": time.Now().Add(life).Unix()})
			r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), http.MethodGet, "/mcp", nil)
			go rs.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
				began := time.Now()
				flusher := w.(http.Flusher) //nolint:forcetypeassert // the wrapper has to be one
				flusher.Flush()
				flusher.Flush()
				if wait {
					<-r.Context().Done()
				}
				lasted <- time.Since(began)
			})
			synctest.Wait()
			return lasted
		}
		const skew = 30 * time.Second
		lives := []time.Duration{10, 3, 0, 7, 3, 20, 1} // minutes; 0 is over at once
		var streams []chan time.Duration
		for _, life := range lives {
			streams = append(streams, open(max(life, 2)*time.Minute, life > 0))
		}
		if open := mcpauth.OpenExchanges(rs); open != len(lives)-1 {
			t.Errorf("%d responses are open, want %d", open, len(lives)-1)
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
		serveIn(t, rs, http.MethodGet, nil, func(w http.ResponseWriter, _ *http.Request) { late = w })
		if err := http.NewResponseController(late).Flush(); err == nil {
			t.Error("a handler that is over goes on writing")
		}
		if open := mcpauth.OpenExchanges(rs); open != 0 {
			t.Errorf("%d responses are open after all", open)
		}
	})
}

// TestResponsesInParallel lets responses begin, end and be ended by many goroutines at once, for the race detector.
func TestResponsesInParallel(t *testing.T) {
	t.Parallel()
	cfg := quietConfig()
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
				method := []string{http.MethodGet, http.MethodPost}[i%2]
				r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), method, "/mcp", nil)
				rs.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush() //nolint:forcetypeassert // the wrapper has to be one
					if j%2 == 0 {
						go mcpauth.EndWithToken(r.Context())
						if i%2 == 0 {
							<-r.Context().Done()
						}
					}
				})
			}
		})
	}
	group.Wait()
	if open := mcpauth.OpenExchanges(rs); open != 0 {
		t.Errorf("%d responses are open after all", open)
	}
}
