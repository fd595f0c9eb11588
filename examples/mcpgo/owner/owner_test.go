package owner_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/mcpgo/owner"
)

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	ping       = `{"jsonrpc":"2.0","id":2,"method":"ping"}`
)

func newHandler(t *testing.T, config owner.Config, options ...server.StreamableHTTPOption) *owner.Handler {
	t.Helper()
	h, err := owner.New(server.NewMCPServer("test", "1"), config, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Shutdown(context.Background()) })
	return h
}

// post sends body as user, who is nobody when it is "", with the lines of Mcp-Session-Id.
func post(t *testing.T, h http.Handler, user, body string, ids ...string) *httptest.ResponseRecorder {
	t.Helper()
	ctx := t.Context()
	if user != "" {
		ctx = mcpauth.NewContext(ctx, mcpauthtest.NewSession(map[string]any{"sub": user}))
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header["Mcp-Session-Id"] = ids
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func open(t *testing.T, h http.Handler, user string) string {
	t.Helper()
	id := post(t, h, user, initialize).Header().Get("Mcp-Session-Id")
	if id == "" {
		t.Fatal("no session")
	}
	return id
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	if _, err := owner.New(nil, owner.Config{}); err == nil {
		t.Error("a nil server was taken")
	}
	if _, err := owner.New(server.NewMCPServer("test", "1"), owner.Config{Key: make([]byte, 31)}); err == nil || !strings.Contains(err.Error(), "Key: 31 bytes") {
		t.Errorf("a short key: %v", err)
	}
}

func TestWithoutTheMiddleware(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		if w := post(t, newHandler(t, owner.Config{Stateless: stateless}), "", initialize); w.Code != http.StatusInternalServerError {
			t.Errorf("stateless=%v: status %d, want 500", stateless, w.Code)
		}
	}
}

// TestR69ReplicasShareTheKey opens a session on one replica and uses it on another.
func TestR69ReplicasShareTheKey(t *testing.T) {
	t.Parallel()
	key := []byte("32 bytes that are not random, no")
	one, two := newHandler(t, owner.Config{Key: key}), newHandler(t, owner.Config{Key: slices.Clone(key)})
	clear(key) // as a careful program does
	id := open(t, one, "usr_ada")
	if w := post(t, two, "usr_ada", ping, id); w.Code != http.StatusOK {
		t.Errorf("with the key: status %d", w.Code)
	}
	if w := post(t, two, "usr_grace", ping, id); w.Code != http.StatusNotFound {
		t.Errorf("another user: status %d, want 404", w.Code)
	}
	if w := post(t, newHandler(t, owner.Config{}), "usr_ada", ping, id); w.Code != http.StatusNotFound {
		t.Errorf("without the key: status %d, want 404", w.Code)
	}
}

func TestR69ManySessionIDs(t *testing.T) {
	t.Parallel()
	h := newHandler(t, owner.Config{})
	id := open(t, h, "usr_ada")
	for _, ids := range [][]string{{id, id}, {id, "x"}, {"x", id}} {
		if w := post(t, h, "usr_ada", ping, ids...); w.Code != http.StatusBadRequest {
			t.Errorf("%q: status %d, want 400", ids, w.Code)
		}
	}
	if w := post(t, h, "usr_ada", ping, ""); w.Code != http.StatusNotFound {
		t.Errorf("an empty one: status %d, want 404", w.Code)
	}
	if w := post(t, h, "usr_ada", ping); w.Code != http.StatusNotFound {
		t.Errorf("none, on a message that needs one: status %d, want 404", w.Code)
	}
	if other := open(t, h, "usr_ada"); other == id {
		t.Error("two sessions have the same id")
	}
}

// TestR69OptionsCannotUndoTheBinding hands in everything that decides about session ids in mcp-go.
func TestR69OptionsCannotUndoTheBinding(t *testing.T) {
	t.Parallel()
	seen := 0
	count := func(ctx context.Context, _ *http.Request) context.Context {
		seen++
		return ctx
	}
	h := newHandler(t, owner.Config{ContextFunc: count}, server.WithStateLess(true), server.WithStateful(true),
		server.WithSessionIdManager(&server.StatelessGeneratingSessionIdManager{}), server.WithSessionIdManagerResolver(nil),
		server.WithHTTPContextFunc(func(context.Context, *http.Request) context.Context { panic("called") }))
	id := open(t, h, "usr_ada")
	if w := post(t, h, "usr_grace", ping, id); w.Code != http.StatusNotFound {
		t.Errorf("another user: status %d, want 404", w.Code)
	}
	if w := post(t, h, "usr_ada", ping, id); w.Code != http.StatusOK || seen != 2 {
		t.Errorf("its owner: status %d; ContextFunc was called %d times, want 2", w.Code, seen)
	}
}

// TestIdleSessionsEnd uses a session now and then, and then no more.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, err := owner.New(server.NewMCPServer("test", "1"), owner.Config{}, server.WithSessionIdleTTL(30*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		id := open(t, h, "usr_ada")
		for range 5 {
			time.Sleep(20 * time.Minute)
			if w := post(t, h, "usr_ada", ping, id); w.Code != http.StatusOK {
				t.Errorf("in use: status %d", w.Code)
			}
		}
		time.Sleep(46 * time.Minute) // mcp-go looks every 15
		if w := post(t, h, "usr_ada", ping, id); w.Code != http.StatusNotFound {
			t.Errorf("after its time: status %d, want 404", w.Code)
		}
		if w := post(t, h, "usr_ada", ping, open(t, h, "usr_ada")); w.Code != http.StatusOK {
			t.Errorf("another session: status %d", w.Code)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestEveryMessageHasASession looks at what tools see of mcp-go's session where there is none: its abilities, and an id
// that is their user's own.
func TestEveryMessageHasASession(t *testing.T) {
	t.Parallel()
	s := server.NewMCPServer("test", "1")
	ids := map[string][]string{}
	s.AddTool(mcp.NewTool("look"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		caller, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, err
		}
		session := server.ClientSessionFromContext(ctx)
		ids[caller.UserID()] = append(ids[caller.UserID()], session.SessionID())
		_, elicits := session.(server.SessionWithElicitation)
		_, hasTools := session.(server.SessionWithTools)
		if !elicits || !hasTools || session.SessionID() == "" {
			t.Errorf("session %q of type %T", session.SessionID(), session)
		}
		return mcp.NewToolResultText("ok"), nil
	})
	h, err := owner.New(s, owner.Config{Stateless: true})
	if err != nil {
		t.Fatal(err)
	}
	legacy := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"}}`
	modern := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	for _, user := range []string{"usr_ada", "usr_grace"} {
		post(t, h, user, legacy)
		ctx := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(map[string]any{"sub": user}))
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(modern))
		for name, value := range map[string]string{"Content-Type": "application/json", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "look"} {
			r.Header.Set(name, value)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	hers, theirs := ids["usr_ada"], ids["usr_grace"]
	if len(hers) != 2 || len(theirs) != 2 || hers[0] != hers[1] || theirs[0] != theirs[1] || hers[0] == theirs[0] {
		t.Errorf("ids: %q", ids)
	}
}
