package mcpauth_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// An http2Server is a protected endpoint over HTTP/2 (RFC 9113), as behind a balancer that speaks nothing else. All its
// requests share one connection.
type http2Server struct {
	*fixture
	client *http.Client
}

func newHTTP2Server(t *testing.T, next http.Handler) *http2Server {
	t.Helper()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ClockSkew = time.Millisecond })
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: scopeRules(map[string][]string{"secret": {"tools:secret"}}), MaxBodyBytes: 64 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	require := f.rs.RequireOperations(policy)
	server := httptest.NewUnstartedServer(protect(f.rs, require(next)))
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		if n := connections.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	f.url = server.URL
	client := server.Client()
	client.Timeout = patience
	return &http2Server{f, client}
}

// An http2Answer is an answer of which the body is still to come.
type http2Answer struct {
	status    int
	challenge string
	body      *bufio.Reader
}

// do sends a request, and checks that it went over HTTP/2.
func (s *http2Server) do(ctx context.Context, t *testing.T, token string, body io.Reader) http2Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.ProtoMajor != 2 {
		t.Fatalf("over %s", resp.Proto)
	}
	return http2Answer{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), bufio.NewReader(resp.Body)}
}

// spaces is a body without an end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestR64HTTP2Refusals has requests that are refused before their body is at its end: the others on the connection must
// not suffer.
func TestR64HTTP2Refusals(t *testing.T) {
	t.Parallel()
	s := newHTTP2Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	good := s.env.Token(nil)
	const ping, secret = `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"secret"}}`
	for range 3 {
		for _, c := range []struct {
			name, token string
			body        io.Reader
			status      int
			challenge   string
		}{
			{"no token, a body without an end", "", spaces{}, http.StatusUnauthorized, "resource_metadata="},
			{"a bad token, a body without an end", "x.y.z", spaces{}, http.StatusUnauthorized, `error="invalid_token"`},
			{"a body without an end", good, spaces{}, http.StatusRequestEntityTooLarge, ""},
			{"a scope too few", good, strings.NewReader(secret), http.StatusForbidden, `scope="tools:secret"`},
			{"no message", good, strings.NewReader("x"), http.StatusBadRequest, ""},
			{"a good one", good, io.MultiReader(strings.NewReader(ping)), http.StatusOK, ""},
		} {
			got := s.do(t.Context(), t, c.token, c.body)
			text, err := io.ReadAll(got.body)
			if err != nil || got.status != c.status || (c.challenge == "") != (got.challenge == "") || !strings.Contains(got.challenge, c.challenge) {
				t.Errorf("%s: %d %s %q, %v", c.name, got.status, got.challenge, text, err)
			}
			if c.status == http.StatusOK && string(text) != ping {
				t.Errorf("the handler read %q", text)
			}
		}
	}
}

// TestR83HTTP2Streams opens two streams on one connection. One ends with its token, the other goes on until the client
// leaves, and either way the handler hears of it.
func TestR83HTTP2Streams(t *testing.T) {
	t.Parallel()
	over := make(chan error, 2)
	s := newHTTP2Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		mcpauth.EndWithToken(r.Context())
		_, _ = io.WriteString(w, session.UserID()+"\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		over <- context.Cause(r.Context())
	}))
	end := time.Now().Add(3 * time.Second)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	short := s.do(ctx, t, s.env.Token(m{"sub": "usr_short", "exp": float64(end.UnixMilli()) / 1000}), nil).body
	long := s.do(ctx, t, s.env.Token(m{"sub": "usr_long"}), nil).body
	for want, stream := range map[string]*bufio.Reader{"usr_short\n": short, "usr_long\n": long} {
		if line, err := stream.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
	}
	if rest, err := io.ReadAll(short); err != nil || len(rest) > 0 {
		t.Errorf("the short stream: %q, %v", rest, err)
	}
	if time.Now().Before(end) {
		t.Error("the stream ended before its token")
	}
	if cause := await(t, "the end of the short stream", over); cause == nil || !strings.Contains(cause.Error(), "expired") {
		t.Errorf("the first to end: %v", cause)
	}
	leave()
	if cause := await(t, "the end of the long stream", over); cause == nil || strings.Contains(cause.Error(), "expired") {
		t.Errorf("the other: %v", cause)
	}
}
