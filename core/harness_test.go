package mcpauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const baseURL = "https://mcp.example.com"

// patience is how long a test waits for what has to come. Only a failing test waits that long.
const patience = 30 * time.Second

// busy is what a machine with other things to do may add to a time that is measured. What is promised to the second is tested
// on virtual time.
const busy = 10 * time.Second

// client is for requests over sockets, so that an answer that never ends fails the test.
var client = &http.Client{Timeout: patience}

// await waits for a value that a handler sends.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
	}
	return value
}

// A fixture is a fake environment and a resource server that trusts it, behind a socket.
type fixture struct {
	env *mcpauthtest.Environment
	rs  *mcpauth.ResourceServer
	url string
	log *logBuffer
}

func newFixture(t testing.TB, change func(*mcpauth.Config)) *fixture {
	t.Helper()
	f := &fixture{env: mcpauthtest.NewEnvironment()}
	t.Cleanup(f.env.Close)
	cfg := f.env.Config(baseURL)
	f.log = logTo(&cfg)
	if change != nil {
		change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.rs = rs
	server := httptest.NewServer(protect(rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, session.UserID())
	})))
	t.Cleanup(server.Close)
	f.url = server.URL + "/mcp"
	return f
}

// protect is an adapter for net/http that only routes.
func protect(rs *mcpauth.ResourceServer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, next.ServeHTTP) })
}

// An answer is what a request with a token got over the socket.
type answer struct {
	status     int
	challenge  string
	retryAfter string
	text       string
	body       struct{ Error, Reason string }
}

func (f *fixture) send(t testing.TB, token string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{
		status: resp.StatusCode, text: string(text),
		challenge: resp.Header.Get("WWW-Authenticate"), retryAfter: resp.Header.Get("Retry-After"),
	}
	if resp.StatusCode != http.StatusOK {
		if err := json.Unmarshal(text, &a.body); err != nil {
			t.Fatalf("status %d with a body that is not JSON: %q", a.status, text)
		}
	}
	return a
}

// insist sends a token until it is accepted or refused: on a busy machine, its key may have come too late for the first
// request.
func (f *fixture) insist(t testing.TB, token string) answer {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		if a := f.send(t, token); a.status != http.StatusServiceUnavailable || time.Now().After(end) {
			return a
		}
	}
}

// authenticate asks the resource server directly.
func authenticate(rs *mcpauth.ResourceServer, token string) mcpauth.Decision {
	return authenticateFor(context.Background(), rs, token)
}

func authenticateFor(ctx context.Context, rs *mcpauth.ResourceServer, token string) mcpauth.Decision {
	return rs.Authenticate(ctx, mcpauth.Request{
		Method: http.MethodPost,
		Path:   rs.Path(),
		Header: func(name string) []string {
			if name == "Authorization" {
				return []string{"Bearer " + token}
			}
			return nil
		},
	})
}

// A logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitFor waits until all texts are in the log: what a fetch logs, it logs when it has answered those who wait.
func (l *logBuffer) waitFor(t *testing.T, texts ...string) {
	t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		log := l.String()
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(log, text) }) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not in the log: %q\n%s", texts, log)
		}
	}
}

// logTo makes cfg log to the buffer that it returns.
func logTo(cfg *mcpauth.Config) *logBuffer {
	log := new(logBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return log
}

// A clock is the time of a test, which moves it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// scopeRules returns rules that need scopes and nothing else.
func scopeRules(listed map[string][]string) map[string]mcpauth.Rule {
	rules := make(map[string]mcpauth.Rule, len(listed))
	for name, scopes := range listed {
		rules[name] = mcpauth.Rule{Scopes: scopes}
	}
	return rules
}

// allows reports whether a policy allows an operation to a caller.
func allows(p *mcpauth.Policy, s *mcpauth.Session, kind mcpauth.OperationKind, name string) bool {
	return p.Authorize(context.Background(), s, mcpauth.Operation{Kind: kind, Name: name}) == nil
}
