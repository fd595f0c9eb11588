package operations_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A kind is a server of one library, as one sort of client uses it.
type kind struct {
	name     string
	make     func(*recorder) http.Handler
	version  string // the header MCP-Protocol-Version
	stateful bool
}

var kinds = []kind{
	{"go-sdk, stateless, no version", func(r *recorder) http.Handler { return newGoSDK(r, true) }, "", false},
	{"go-sdk, stateless, 2025-06-18", func(r *recorder) http.Handler { return newGoSDK(r, true) }, "2025-06-18", false},
	{"go-sdk, stateless, 2025-11-25", func(r *recorder) http.Handler { return newGoSDK(r, true) }, "2025-11-25", false},
	{"go-sdk, stateless, 2026-07-28", func(r *recorder) http.Handler { return newGoSDK(r, true) }, "2026-07-28", false},
	{"go-sdk, stateful, 2025-03-26", func(r *recorder) http.Handler { return newGoSDK(r, false) }, "2025-03-26", true},
	{"go-sdk, stateful, 2025-11-25", func(r *recorder) http.Handler { return newGoSDK(r, false) }, "2025-11-25", true},
	{"mcp-go, stateless, no version", func(r *recorder) http.Handler { return newMCPGo(r, true) }, "", false},
	{"mcp-go, stateless, 2026-07-28", func(r *recorder) http.Handler { return newMCPGo(r, true) }, "2026-07-28", false},
	{"mcp-go, stateful, 2025-06-18", func(r *recorder) http.Handler { return newMCPGo(r, false) }, "2025-06-18", true},
	{"mcp-go, SSE", newMCPGoSSE, "", false},
}

// A peer is a server of one kind, and its session.
type peer struct {
	kind
	handler http.Handler
	ran     *recorder
	session string
	token   string // which opens and ends sessions
}

func newPeer(t testing.TB, k kind) *peer {
	t.Helper()
	s := &peer{kind: k, ran: new(recorder)}
	s.handler = k.make(s.ran)
	s.connect(t)
	return s
}

// connect begins a new session, if the server has sessions.
func (s *peer) connect(t testing.TB) {
	t.Helper()
	if !s.stateful {
		return
	}
	s.session = ""
	hello := s.send(t, s.handler, &message{body: `{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"` + s.version +
		`","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`}, s.token)
	s.session = hello.header.Get("Mcp-Session-Id")
	if ready := s.send(t, s.handler, &message{body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`}, s.token); s.session == "" || ready.status >= 300 {
		t.Fatalf("%s: no session: %d %s, %d", s.name, hello.status, hello.text.String(), ready.status)
	}
}

// revive begins a new session when a message has broken the last one: go-sdk 1.8.0 stops answering in a session in which it
// was asked for a resource with a control character in its URI.
func (s *peer) revive(t testing.TB, last *response) {
	t.Helper()
	if s.stateful && last.status == http.StatusOK && last.text.Len() == 0 {
		s.connect(t)
	}
}

// disconnect ends the session.
func (s *peer) disconnect(t testing.TB) {
	t.Helper()
	if s.stateful {
		s.send(t, s.handler, &message{verb: http.MethodDelete}, s.token)
	}
}

// A message is a body and the parts of its request that vary.
type message struct {
	body         string
	verb         string // POST by default
	method, name string // Mcp-Method and Mcp-Name; taken from the body when empty
	nameInBase64 bool   // as SEP-2243 has it for names that are not ASCII
	contentType  string // application/json by default
	encoding     string // Content-Encoding
	chunked      bool   // sent without a Content-Length
}

// send sends a message to a handler in front of s, and waits until it is answered.
func (s *peer) send(t testing.TB, handler http.Handler, m *message, token string) *response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := &response{header: make(http.Header), hangUp: cancel}
	handler.ServeHTTP(w, m.request(context.WithValue(ctx, reachedKey{}, &w.reached), s, token))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if ctx.Err() != nil && !w.hungUp {
		t.Errorf("%s: no answer to %q", s.name, m.body)
	}
	return w
}

func (m *message) request(ctx context.Context, s *peer, token string) *http.Request {
	verb := m.verb
	if verb == "" {
		verb = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, verb, "http://127.0.0.1/mcp", strings.NewReader(m.body))
	if err != nil {
		panic(err) // can't happen: the verb comes from this test
	}
	if m.chunked {
		req.ContentLength = -1
	}
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	set("Content-Type", m.contentType)
	if m.contentType == "" {
		set("Content-Type", "application/json")
	}
	set("Content-Encoding", m.encoding)
	set("Accept", "application/json, text/event-stream")
	set("Mcp-Protocol-Version", s.version)
	set("Mcp-Session-Id", s.session)
	if token != "" {
		set("Authorization", "Bearer "+token)
	}
	method, name := m.method, m.name
	if s.version == "2026-07-28" && (method == "" || name == "") {
		var body struct {
			Method string
			Params struct{ Name, URI string }
		}
		_ = json.NewDecoder(strings.NewReader(m.body)).Decode(&body)
		if method == "" {
			method = body.Method
		}
		if name == "" {
			name = body.Params.Name + body.Params.URI
			if body.Params.Name != "" && body.Params.URI != "" {
				name = body.Params.Name
				if strings.HasPrefix(body.Method, "resources/") {
					name = body.Params.URI
				}
			}
		}
	}
	if m.nameInBase64 && name != "" {
		name = "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
	}
	set("Mcp-Method", method)
	set("Mcp-Name", name)
	return req
}

// reachedKey is the context key of a *bool.
type reachedKey struct{}

// noteReached records that a request got past the check in front.
func noteReached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*r.Context().Value(reachedKey{}).(*bool) = true
		next.ServeHTTP(w, r)
	})
}

// A response keeps an answer. It disconnects from a subscription as soon as that has begun.
type response struct {
	mu      sync.Mutex
	header  http.Header
	status  int
	text    bytes.Buffer
	reached bool
	hungUp  bool
	hangUp  func()
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status = status
	}
}

func (w *response) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if !w.hungUp && bytes.Contains(b, []byte("subscriptions/acknowledged")) {
		w.hungUp = true
		w.hangUp()
	}
	return w.text.Write(b)
}

func (w *response) Flush() {}
