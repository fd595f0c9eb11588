package mcpauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// offline is a client of an environment without a network, for tests on a clock of their own.
func offline(keys *mcpauthtest.KeySet) *http.Client {
	return &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: req}
		if req.URL.Path == mcpauthtest.KeysPath {
			resp.StatusCode, resp.Body = http.StatusOK, io.NopCloser(bytes.NewReader(keys.JWKS()))
		}
		return resp, nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestIsRevoked has a hook that lets in, revokes and fails in turn: it is asked once for each request with a valid token.
func TestIsRevoked(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	var failing atomic.Bool
	var asked atomic.Int64
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.IsRevoked = func(_ context.Context, s *mcpauth.Session) (bool, error) {
			asked.Add(1)
			if failing.Load() {
				return false, errors.New("redis://10.0.0.1 refused")
			}
			return revoked.Load() && s.UserID() == "usr_1", nil
		}
	})
	token := f.env.Token(nil)
	for _, step := range []struct {
		revoked, failing bool
		want             int
	}{{false, false, 200}, {false, false, 200}, {true, false, 401}, {false, true, 503}, {false, false, 200}} {
		revoked.Store(step.revoked)
		failing.Store(step.failing)
		got := f.send(t, token)
		if got.status != step.want {
			t.Errorf("%+v: status %d", step, got.status)
		}
		if strings.Contains(got.text, "redis") {
			t.Errorf("R56 internal text in %s", got.text)
		}
	}
	if asked.Load() != 5 {
		t.Errorf("the hook was asked %d times in 5 requests", asked.Load())
	}
	if f.send(t, "x"); asked.Load() != 5 {
		t.Error("the hook was asked about a token that is not valid")
	}
}

// TestIsRevokedWithRequiredScopes has a revoked token that holds all scopes: it is refused on first sight, from the cache,
// and by a resource server with more scopes.
func TestIsRevokedWithRequiredScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.RequiredScopes = []string{"a"}
		cfg.IsRevoked = func(context.Context, *mcpauth.Session) (bool, error) { return true, nil }
	})
	for range 2 {
		if d := authenticate(f.rs, f.env.Token(m{"scope": "a"})); d.Outcome != mcpauth.OutcomeRevoked {
			t.Errorf("%s", d.Outcome)
		}
	}
	if d := authenticate(f.rs.WithRequiredScopes("b"), f.env.Token(m{"scope": "a b"})); d.Outcome != mcpauth.OutcomeRevoked {
		t.Errorf("%s", d.Outcome)
	}
}

// TestR93RevocationHook has hooks that panic, hang or fail instead of answering. The request gets 503, within five seconds.
func TestR93RevocationHook(t *testing.T) {
	t.Parallel()
	keys := mcpauthtest.NewKeySet()
	for name, hook := range map[string]func(context.Context, *mcpauth.Session) (bool, error){
		"panics":             func(context.Context, *mcpauth.Session) (bool, error) { panic("oops") },
		"panics with nil":    func(context.Context, *mcpauth.Session) (bool, error) { panic(nil) },
		"aborts":             func(context.Context, *mcpauth.Session) (bool, error) { panic(http.ErrAbortHandler) },
		"ends its goroutine": func(context.Context, *mcpauth.Session) (bool, error) { runtime.Goexit(); return false, nil },
		"hangs":              func(context.Context, *mcpauth.Session) (bool, error) { time.Sleep(time.Hour); return false, nil },
		"waits for the end":  func(ctx context.Context, _ *mcpauth.Session) (bool, error) { <-ctx.Done(); return false, ctx.Err() },
		"lets in, but late":  func(ctx context.Context, _ *mcpauth.Session) (bool, error) { <-ctx.Done(); return false, nil },
		"dereferences a nil": func(context.Context, *mcpauth.Session) (bool, error) {
			var s *mcpauth.Session
			return s.UserID() == "", nil
		},
		"denies and fails":    func(context.Context, *mcpauth.Session) (bool, error) { return true, io.ErrUnexpectedEOF },
		"lets in, and failed": func(context.Context, *mcpauth.Session) (bool, error) { return false, io.ErrUnexpectedEOF },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := goodConfig()
				cfg.EnvironmentURL, cfg.ResourceID = "https://acme.scalekit.com", "res_1"
				cfg.HTTPClient, cfg.IsRevoked = offline(keys), hook
				log := logTo(&cfg)
				rs, err := mcpauth.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				token := keys.Current().Sign(marshal(m{"alg": "RS256", "kid": keys.Current().ID()}),
					marshal(m{"iss": cfg.EnvironmentURL, "aud": "res_1", "sub": "usr_1", "exp": time.Now().Add(time.Hour).Unix()}))
				for range 2 { // verified, and from the cache
					began := time.Now()
					d := authenticate(rs, token)
					if d.Outcome != mcpauth.OutcomeUnavailable || d.Reply == nil || d.Reply.Status != http.StatusServiceUnavailable || d.Session != nil {
						t.Errorf("%s, %v", d.Outcome, d.Session)
					}
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("after %v", took)
					}
				}
				if n := strings.Count(log.String(), `level=WARN msg="request refused" outcome=unavailable`); n != 2 {
					t.Errorf("%d warnings: %s", n, log)
				}
				time.Sleep(2 * time.Hour) // for those that hang
			})
		})
	}
}

// A brokenLog is a slog.Handler of a user whose log is broken.
type brokenLog struct{ enabled bool }

func (p brokenLog) Enabled(context.Context, slog.Level) bool {
	if !p.enabled {
		panic("not even this")
	}
	return true
}

func (p brokenLog) Handle(context.Context, slog.Record) error { panic("the log is broken") }

func (p brokenLog) WithAttrs([]slog.Attr) slog.Handler { return p }

func (p brokenLog) WithGroup(string) slog.Handler { return p }

// TestR93Logger has a log that panics, in requests and in goroutines of ours. The decisions are the same.
func TestR93Logger(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Logger = slog.New(brokenLog{enabled}) })
		for token, want := range map[string]mcpauth.Outcome{
			f.env.Token(nil):                   mcpauth.OutcomeAllowed,
			"x":                                mcpauth.OutcomeInvalidToken,
			f.env.Token(m{"aud": "res_other"}): mcpauth.OutcomeInvalidToken,
		} {
			if d := authenticate(f.rs, token); d.Outcome != want {
				t.Errorf("enabled %t: %s, want %s", enabled, d.Outcome, want)
			}
		}
		down := newFixture(t, func(cfg *mcpauth.Config) { cfg.Logger = slog.New(brokenLog{enabled}) })
		token := down.env.Token(nil)
		down.env.Stop()
		if d := authenticate(down.rs, token); d.Outcome != mcpauth.OutcomeUnavailable { // the fetch logs on a goroutine of its own
			t.Errorf("enabled %t: %s", enabled, d.Outcome)
		}
		mcpauth.Settle(down.rs)
	}
}

// TestR93Clock has a clock that panics: in a request, while keys are fetched, and while a stream is open.
func TestR93Clock(t *testing.T) {
	t.Parallel()
	broken := false
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Now = func() time.Time {
			if broken {
				panic("no time")
			}
			return time.Now()
		}
	})
	broken = true
	if d := authenticate(f.rs, f.env.Token(nil)); d.Outcome != mcpauth.OutcomeUnavailable || d.Session != nil {
		t.Errorf("%s", d.Outcome)
	}
	if !strings.Contains(f.log.String(), "level=WARN") || !strings.Contains(f.log.String(), "no time") {
		t.Errorf("the log says %s", f.log)
	}
	if err := f.rs.Ready(t.Context()); err != nil {
		t.Errorf("keys can't be fetched: %v", err)
	}
	r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil)), http.MethodGet, "/mcp", nil)
	f.rs.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) { _ = r.Context().Done() })
}

// TestR93PanicOfTheClock has a Config.Now that panics on the goroutine of a fetch, where it would end the program: when the
// fetch fails, and when it brings keys.
func TestR93PanicOfTheClock(t *testing.T) {
	t.Parallel()
	keys := mcpauthtest.NewKeySet()
	synctest.Test(t, func(t *testing.T) {
		var fetching, down atomic.Bool // the request calls the clock before the fetch begins, and waits then
		panics := 0
		cfg := goodConfig()
		cfg.EnvironmentURL, cfg.ResourceID = "https://acme.scalekit.com", "res_1"
		cfg.Now = func() time.Time {
			if fetching.Load() {
				panics++
				fetching.Store(false)
				panic("a bug in Config.Now")
			}
			return time.Now()
		}
		environment := offline(keys).Transport
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			if down.Load() {
				fetching.Store(true)
				return nil, io.ErrUnexpectedEOF
			}
			if req.URL.Path == mcpauthtest.KeysPath {
				fetching.Store(true)
			}
			return environment.RoundTrip(req)
		})}
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		token := keys.Current().Sign(marshal(m{"alg": "RS256", "kid": keys.Current().ID()}),
			marshal(m{"iss": cfg.EnvironmentURL, "aud": "res_1", "sub": "usr_1", "exp": time.Now().Add(time.Hour).Unix()}))
		down.Store(true)
		if d := authenticate(rs, token); d.Outcome != mcpauth.OutcomeUnavailable || panics == 0 {
			t.Errorf("while the environment is down: %s, after %d panics", d.Outcome, panics)
		}
		time.Sleep(time.Minute)
		panics = 0
		fetching.Store(false)
		down.Store(false)
		if d := authenticate(rs, token); d.Outcome != mcpauth.OutcomeAllowed || panics == 0 {
			t.Errorf("when it is there: %s, after %d panics", d.Outcome, panics)
		}
	})
}

// TestR93HeaderFunction has a Request.Header that panics: the decision is 503.
func TestR93HeaderFunction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	d := f.rs.Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: "/mcp", Header: func(string) []string { panic("oops") }})
	if d.Outcome != mcpauth.OutcomeUnavailable || d.Reply == nil {
		t.Errorf("%s", d.Outcome)
	}
}

// TestR93PanicOfACheck has a check that panics while responses are open: the stream ends as with a list that does not know,
// and the program goes on.
func TestR93PanicOfACheck(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	began := make(chan struct{}, 2)
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		began <- struct{}{}
		<-r.Context().Done()
	})))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	decision := authenticate(f.rs, f.env.Token(nil))
	call, end := decision.NewContext(t.Context())
	defer func() { _ = end.Close() }()
	await(t, "the handler's start", began)
	list.refuse("ses_1", errPanic) // which calls the subscriber here
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = io.Copy(io.Discard, resp.Body) }()
	await(t, "the end of the stream", ended)
	if call.Err() != nil {
		t.Error("a call is over, of which nothing is known")
	}
	if log := f.log.String(); !strings.Contains(log, "panic: the check is broken") {
		t.Errorf("the log: %s", log)
	}
}
