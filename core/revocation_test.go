package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A denylist is a mcpauth.Revocation that answers with one error for one Scalekit session.
type denylist struct {
	mu      sync.Mutex
	refused map[string]error // by sid
	watched int
	changed []func()
}

func (b *denylist) Watch(s *mcpauth.Session) func() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched++
	sid := s.SessionID()
	if sid == "unchecked" {
		return nil
	}
	return func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.refused[sid] == errPanic { //nolint:errorlint // it is the value itself
			panic("the check is broken")
		}
		return b.refused[sid]
	}
}

func (b *denylist) Subscribe(changed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = append(b.changed, changed)
}

// refuse has the checks of a session return err, and tells the subscribers.
func (b *denylist) refuse(sid string, err error) {
	b.mu.Lock()
	if b.refused == nil {
		b.refused = make(map[string]error)
	}
	b.refused[sid] = err
	changed := b.changed
	b.mu.Unlock()
	for _, f := range changed {
		f()
	}
}

var (
	errPanic    = errors.New("panics")
	errEntry    = &mcpauth.RevokedError{Entry: "session ses_1", EventID: "evt_1"}
	errNotReady = &mcpauth.StaleError{Cause: "the list has not caught up", Cure: "wait", RetryAfter: 3 * time.Second}
)

// TestR103Refused has a list that says all it can: on first sight and from the cache.
func TestR103Refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		sid     string
		status  int
		outcome mcpauth.Outcome
		retry   string
		log     []string
	}{
		"allowed": {status: http.StatusOK, outcome: mcpauth.OutcomeAllowed},
		"an entry": {
			err: errEntry, status: http.StatusUnauthorized, outcome: mcpauth.OutcomeRevoked,
			log: []string{"level=INFO", "outcome=revoked", `cause="the session was revoked"`, `entry="session ses_1"`, "event_id=evt_1", "session.user_id=usr_1", "the client has to sign in again"},
		},
		"an entry, wrapped": {err: fmt.Errorf("list: %w", errEntry), status: http.StatusUnauthorized, outcome: mcpauth.OutcomeRevoked, log: []string{"event_id=evt_1"}},
		"a reason of its own": {
			err: &mcpauth.RevokedError{Cause: "it lives too long", Cure: "raise MaxTokenLife"}, status: http.StatusUnauthorized, outcome: mcpauth.OutcomeRevoked,
			log: []string{`cause="it lives too long"`, `cure="raise MaxTokenLife"`},
		},
		"not ready": {
			err: errNotReady, status: http.StatusServiceUnavailable, outcome: mcpauth.OutcomeUnavailable, retry: "3",
			log: []string{"level=WARN", `cause="the list has not caught up"`, "cure=wait"},
		},
		"another error": {err: io.ErrUnexpectedEOF, status: http.StatusServiceUnavailable, outcome: mcpauth.OutcomeUnavailable, retry: "1", log: []string{"unexpected EOF"}},
		"a panic":       {err: errPanic, status: http.StatusServiceUnavailable, outcome: mcpauth.OutcomeUnavailable, retry: "1", log: []string{"the check is broken"}},
		"no check":      {sid: "unchecked", status: http.StatusServiceUnavailable, outcome: mcpauth.OutcomeUnavailable, retry: "1", log: []string{"nil check"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := new(denylist)
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
			sid := c.sid
			if sid == "" {
				sid = "ses_1"
				list.refuse(sid, c.err)
			}
			token := f.env.Token(m{"sid": sid})
			for _, sight := range []string{"first sight", "cached"} {
				a := f.send(t, token)
				if a.status != c.status || a.retryAfter != c.retry || (a.status == http.StatusUnauthorized) != strings.Contains(a.challenge, `error="invalid_token"`) {
					t.Errorf("%s: %+v", sight, a)
				}
				if d := authenticate(f.rs, token); d.Outcome != c.outcome {
					t.Errorf("%s: %s, want %s", sight, d.Outcome, c.outcome)
				}
			}
			for _, part := range c.log {
				if !strings.Contains(f.log.String(), part) {
					t.Errorf("the log lacks %q: %s", part, f.log)
				}
			}
			if list.watched != 1 {
				t.Errorf("Watch was called %d times, want once for each token", list.watched)
			}
			if n := mcpauth.WatchedResponses(f.rs); n != 0 {
				t.Errorf("%d responses are kept after all", n)
			}
		})
	}
}

// TestR103Credentials has credentials refused by the list, cached too.
func TestR103Credentials(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.Revocation = list
		cfg.Credential = func(context.Context, string, string) (*mcpauth.Claims, error) {
			return &mcpauth.Claims{Subject: "usr_1", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}
	})
	for _, c := range []struct {
		err  error
		want int
	}{{nil, http.StatusOK}, {errEntry, http.StatusUnauthorized}, {nil, http.StatusOK}, {errNotReady, http.StatusServiceUnavailable}} {
		list.refuse("", c.err)
		if a := f.send(t, "key"); a.status != c.want {
			t.Errorf("%v: status %d, want %d", c.err, a.status, c.want)
		}
	}
}

// TestR103ScopesComeAfter has a revoked session without the scopes: it is not told which it lacks.
func TestR103ScopesComeAfter(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	list.refuse("ses_1", errEntry)
	if d := authenticate(f.rs.WithRequiredScopes("admin"), f.env.Token(nil)); d.Outcome != mcpauth.OutcomeRevoked {
		t.Error(d.Outcome)
	}
}

// TestR103OpenResponses has responses of two users open when the session of one is revoked: those end within a second, with
// the reason in the log, and the others go on.
func TestR103OpenResponses(t *testing.T) {
	t.Parallel()
	waits := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	flushes := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	writes := func(w http.ResponseWriter, _ *http.Request) { // looks at the errors of its writes alone
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	reads := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }
	for name, c := range map[string]struct {
		method  string
		body    io.Reader
		handler http.HandlerFunc
	}{
		"a stream":                               {http.MethodGet, nil, flushes},
		"a stream that sent nothing":             {http.MethodGet, nil, waits},
		"a stream that only writes":              {http.MethodGet, nil, writes},
		"a call":                                 {http.MethodPost, strings.NewReader("{}"), waits},
		"a call that streams":                    {http.MethodPost, strings.NewReader("{}"), flushes},
		"a call whose body is not sent":          {http.MethodPost, pipe(t), reads},
		"a call that only writes":                {http.MethodPost, strings.NewReader("{}"), writes},
		"a stream, that a policy made of a call": {http.MethodPost, strings.NewReader("{}"), func(w http.ResponseWriter, r *http.Request) { mcpauth.EndWithToken(r.Context()); flushes(w, r) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := new(denylist)
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
			entered, returned := make(chan string, 2), make(chan string, 2)
			server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				session, _ := mcpauth.SessionFromContext(r.Context())
				entered <- session.SessionID()
				c.handler(w, r)
				returned <- session.SessionID()
			})))
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, sid := range []string{"ses_1", "ses_2"} {
				body := c.body
				if sid == "ses_2" && body != nil {
					body = pipe(t)
				}
				req, err := http.NewRequestWithContext(ctx, c.method, server.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+f.env.Token(m{"sid": sid}))
				go func() {
					if resp, err := client.Do(req); err == nil {
						<-ctx.Done() // it reads nothing
						_ = resp.Body.Close()
					}
				}()
				await(t, "the response of "+sid, entered)
			}
			start := time.Now()
			list.refuse("ses_1", errEntry)
			if sid := await(t, "the end of a response", returned); sid != "ses_1" {
				t.Errorf("the response of %s ended", sid)
			}
			if took := time.Since(start); took > time.Second+busy {
				t.Errorf("it ended after %v", took)
			}
			select {
			case sid := <-returned:
				t.Errorf("the response of %s ended", sid)
			case <-time.After(10 * time.Millisecond):
			}
			text := f.log.String()
			for _, part := range []string{`msg="response ended"`, `cause="the session was revoked"`, `entry="session ses_1"`, "event_id=evt_1", "session.session_id=ses_1"} {
				if strings.Count(text, part) != 1 {
					t.Errorf("the log has %q %d times: %s", part, strings.Count(text, part), text)
				}
			}
			list.refuse("ses_2", errEntry)
			await(t, "the end of the other response", returned)
		})
	}
}

// pipe returns a body that never ends.
func pipe(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	return r
}

// TestR103Hijacked has the connection that a handler took over closed, after the handler has returned.
func TestR103Hijacked(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	server := httptest.NewServer(protect(f.rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	})))
	defer server.Close()
	resp := get(t, server.URL, f.env.Token(nil)) //nolint:bodyclose // the end of the test does
	list.refuse("ses_1", errEntry)
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error(err)
	}
	if n := mcpauth.WatchedResponses(f.rs); n != 0 {
		t.Errorf("%d responses are kept after all", n)
	}
}

// TestR103NotUpToDate has streams end when the list does not know any more, and calls go on until they become streams.
func TestR103NotUpToDate(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	serve := func(method string, handler http.HandlerFunc) {
		r := httptest.NewRequestWithContext(t.Context(), method, "/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
		f.rs.Serve(httptest.NewRecorder(), r, handler)
	}
	serve(http.MethodGet, func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		list.refuse("ses_1", errNotReady)
		<-ctx.Done()
		if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "not caught up") {
			t.Errorf("the cause of the stream's end is %v", cause)
		}
	})
	list.refuse("ses_1", nil)
	serve(http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
		list.refuse("ses_1", errNotReady)
		if r.Context().Err() != nil {
			t.Error("the call has ended")
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		mcpauth.EndWithToken(r.Context())
		if r.Context().Err() == nil {
			t.Error("the stream goes on")
		}
	})
}

// TestR103Between has a session revoked after its check and before its response was known: it is over when the handler
// begins. An inner entry refuses it.
func TestR103Between(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	decision := authenticate(f.rs, f.env.Token(nil))
	list.refuse("ses_1", errEntry)
	ctx, end := decision.NewContext(t.Context())
	if ctx.Err() == nil || !strings.Contains(context.Cause(ctx).Error(), "revoked") {
		t.Errorf("the context of a revoked session goes on: %v", context.Cause(ctx))
	}
	w := httptest.NewRecorder()
	f.rs.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", nil), func(http.ResponseWriter, *http.Request) {
		t.Error("the handler ran")
	})
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
	if err := end.Close(); err != nil {
		t.Error(err)
	}
}

// TestR103ContextOfAnAdapter has the context that adapters like fiber's hand on: it is cancelled with its session, and
// forgotten when it is closed.
func TestR103ContextOfAnAdapter(t *testing.T) {
	t.Parallel()
	list := new(denylist)
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Revocation = list })
	decision := authenticate(f.rs, f.env.Token(nil))
	ctx, end := decision.NewContext(t.Context())
	list.refuse("ses_1", errNotReady)
	if _, err := mcpauth.SessionFromContext(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("the context ended: %v, %v", err, ctx.Err())
	}
	list.refuse("ses_1", errEntry)
	<-ctx.Done()
	if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "revoked") {
		t.Error(cause)
	}
	list.refuse("ses_1", nil)
	ctx, end2 := decision.NewContext(t.Context())
	if n := mcpauth.WatchedResponses(f.rs); n != 1 || ctx.Err() != nil {
		t.Errorf("%d responses are watched; %v", n, ctx.Err())
	}
	if err := errors.Join(end.Close(), end2.Close()); err != nil {
		t.Error(err)
	}
	if n := mcpauth.WatchedResponses(f.rs); n != 0 {
		t.Errorf("%d responses are kept after all", n)
	}
	if _, err := mcpauth.SessionFromContext(ctx); err == nil {
		t.Error("the session is still there")
	}
}
