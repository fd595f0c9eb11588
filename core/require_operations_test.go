package mcpauth_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// behindOperations serves a handler behind RequireOperations alone: no middleware is in front.
func behindOperations(t *testing.T, f *fixture, scopes mcpauth.Rules, handler http.Handler) string {
	t.Helper()
	policy, err := mcpauth.NewPolicy(scopes)
	if err != nil {
		t.Fatal(err)
	}
	require := f.rs.RequireOperations(policy)
	server := httptest.NewServer(require(handler))
	t.Cleanup(server.Close)
	return server.URL
}

func TestR64OperationsAreNeverOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.url = behindOperations(t, f, mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}})}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(w, session.UserID())
	}))
	if got := f.send(t, ""); got.status != http.StatusUnauthorized || got.challenge == "" {
		t.Errorf("without a token: %+v", got)
	}
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK || got.text != "usr_1" {
		t.Errorf("with a token: %+v", got)
	}
}

// TestR57R58OperationsOfAnotherServer has the middleware of one resource server in front of the operations of another, which
// requires more. Each challenge names all that is needed behind it.
func TestR57R58OperationsOfAnotherServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}})})
	if err != nil {
		t.Fatal(err)
	}
	require := f.rs.WithRequiredScopes("admin").RequireOperations(policy)
	handler := require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	const call, ping = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for _, c := range []struct{ method, scope, body, challenged string }{
		{http.MethodPost, "x", call, `scope="admin"`},
		{http.MethodPost, "x", ping, `scope="admin"`},
		{http.MethodGet, "x", "", `scope="admin"`},
		{http.MethodPost, "admin", call, `scope="admin x"`},
		{http.MethodPost, "admin x", call, ""},
		{http.MethodPost, "admin", ping, ""},
		{http.MethodGet, "admin", "", ""},
	} {
		ctx := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(map[string]any{"scope": c.scope}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, c.method, "/mcp", strings.NewReader(c.body)))
		want := http.StatusNoContent
		if c.challenged != "" {
			want = http.StatusForbidden
		}
		if challenge := w.Header().Get("WWW-Authenticate"); w.Code != want || !strings.Contains(challenge, c.challenged) {
			t.Errorf("%s %q with %q: %d %s, want %d %s", c.method, c.body, c.scope, w.Code, challenge, want, c.challenged)
		}
	}
}

// TestR64EndlessBody sends a body that never ends, with and without saying so. The answer comes at the bound.
func TestR64EndlessBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	url := behindOperations(t, f, mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}}), MaxBodyBytes: 64 << 10}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the handler ran")
	}))
	for name, framing := range map[string]string{"chunked": "Transfer-Encoding: chunked", "announced": "Content-Length: 9223372036854775807"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\n"+framing+"\r\nAuthorization: Bearer "+f.env.Token(nil)+"\r\n\r\n")
			chunk := bytes.Repeat([]byte{' '}, 4<<10)
			if name == "chunked" {
				chunk = []byte(strconv.FormatInt(4<<10, 16) + "\r\n" + string(chunk) + "\r\n")
			}
			go func() {
				for {
					if _, err := conn.Write(chunk); err != nil {
						return
					}
				}
			}()
			status := make([]byte, len("HTTP/1.1 413"))
			if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 413" {
				t.Errorf("got %q, %v", status, err)
			}
		})
	}
}

// TestR64BodyFitsExactly has a body of exactly the bound, and one byte more.
func TestR64BodyFitsExactly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	const body = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	url := behindOperations(t, f, mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}}), MaxBodyBytes: int64(len(body))}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength >= 0 && int64(len(got)) != r.ContentLength {
			t.Errorf("%d bytes of %d, %v", len(got), r.ContentLength, err)
		}
		_, _ = w.Write(got)
	}))
	for _, c := range []struct {
		body   io.Reader // of a type whose length is known, or not
		status int
	}{
		{strings.NewReader(body), 200},
		{io.MultiReader(strings.NewReader(body)), 200},
		{strings.NewReader(body + " "), 413},
		{io.MultiReader(strings.NewReader(body + " ")), 413},
	} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, c.body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || c.status == 200 && string(text) != body {
			t.Errorf("status %d, want %d: %q, %v", resp.StatusCode, c.status, text, err)
		}
	}
}

// TestR64NoBoundIsStillChecked has the largest of all bounds, beyond which there is no byte more to ask for.
func TestR64NoBoundIsStillChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.url = behindOperations(t, f, mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}}), MaxBodyBytes: math.MaxInt64}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the handler ran")
	}))
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`
	for _, body := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
		if status := f.post(t, body); status != http.StatusForbidden {
			t.Errorf("status %d, want 403", status)
		}
	}
}

// post sends body with a token and returns the status.
func (f *fixture) post(t *testing.T, body io.Reader) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.env.Token(nil))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestR64BrokenBody has bodies that break off after a whole message, and what a reader in front that bounds them says.
func TestR64BrokenBody(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"x"}})})
	if err != nil {
		t.Fatal(err)
	}
	require := newFixture(t, nil).rs.RequireOperations(policy)
	handler := require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = r.Body.Close() }))
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for name, c := range map[string]struct {
		end    error
		status int
	}{
		"whole": {io.EOF, 200}, "broken": {io.ErrUnexpectedEOF, 400}, "bounded": {&http.MaxBytesError{Limit: 40}, 413},
	} {
		ctx := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil))
		body := &closable{Reader: io.MultiReader(strings.NewReader(ping), iotest.ErrReader(c.end))}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", body))
		if w.Code != c.status || body.closed != (c.status == 200) {
			t.Errorf("%s: status %d, want %d; closed=%v", name, w.Code, c.status, body.closed)
		}
	}
}

type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}

// TestR72OperationsInTheLog looks for what a client calls its operation in the log: it is the client's text.
func TestR72OperationsInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.url = behindOperations(t, f, mcpauth.Rules{Resources: scopeRules(map[string][]string{"a://*": {"x"}}), Strict: true}, http.NotFoundHandler())
	for body, status := range map[string]int{
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a://remarkable"}}`: 403,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"remarkable"}}`:        403,
		`{"jsonrpc":"2.0","id":1,"method":"remarkable"}`:                                       403,
		`{"remarkable":`: 400,
	} {
		if got := f.post(t, strings.NewReader(body)); got != status {
			t.Errorf("%s: status %d, want %d", body, got, status)
		}
	}
	log := f.log.String()
	if strings.Contains(log, "remarkable") {
		t.Errorf("the log holds the client's text:\n%s", log)
	}
	for _, want := range []string{"outcome=insufficient_scope", "outcome=operation_refused", "outcome=message_refused", "needed=[x]", "user_id=usr_1"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
}
