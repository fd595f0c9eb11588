package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// onSession are requests of every method on an MCP session.
func onSession(token, session string) []message {
	post := call(token, session, legacy, "whoami")
	return []message{post, {http: http.MethodGet, token: token, session: session}, {http: http.MethodDelete, token: token, session: session}}
}

// TestR69SessionOfAnotherUser tries to use an MCP session with tokens of others, and with other tokens of its owner.
func TestR69SessionOfAnotherUser(t *testing.T) {
	t.Parallel()
	const elsewhere = "https://login.example.com"
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Issuers = []string{elsewhere} }})
	id := f.initialize(t, f.token(ada))
	for name, test := range map[string]struct {
		claims map[string]any // nil: no token
		owner  bool
	}{
		"another user":                         {claims: map[string]any{"sub": grace}},
		"the owner, and a line more":           {claims: map[string]any{"sub": ada + "\nx"}},
		"a user that looks like a line":        {claims: map[string]any{"sub": f.env.URL() + "\n" + ada}},
		"the same id at another issuer":        {claims: map[string]any{"sub": ada, "iss": elsewhere}},
		"no token":                             {},
		"a refreshed token":                    {claims: map[string]any{"sub": ada, "jti": "second"}, owner: true},
		"the other form of the issuer":         {claims: map[string]any{"sub": ada, "iss": f.env.URL()}, owner: true},
		"with fewer scopes, elsewhere":         {claims: map[string]any{"sub": ada, "oid": "org_2", "scope": "x"}, owner: true},
		"a refreshed token with a longer life": {claims: map[string]any{"sub": ada, "exp": 4e9}, owner: true},
	} {
		token, refused := "", http.StatusUnauthorized
		if test.claims != nil {
			token, refused = f.env.Token(test.claims), http.StatusForbidden
		}
		for _, m := range onSession(token, id) {
			if test.owner && m.http == http.MethodDelete {
				continue
			}
			status, body := f.send(t, m)
			if test.owner && (status != http.StatusOK || m.http == "" && !strings.Contains(body, ada)) {
				t.Errorf("%s, %q: status %d: %s", name, m.http, status, body)
			}
			if !test.owner && (status != refused || strings.Contains(body, ada)) {
				t.Errorf("%s, %q: status %d, want %d: %s", name, m.http, status, refused, body)
			}
		}
	}
	if status, _ := f.send(t, message{http: http.MethodDelete, token: f.token(ada), session: id}); status != http.StatusOK {
		t.Errorf("its owner ends it: status %d", status)
	}
	for _, m := range onSession(f.token(ada), id) {
		if status, _ := f.send(t, m); status != http.StatusNotFound {
			t.Errorf("after its end, %q: status %d, want 404", m.http, status)
		}
	}
}

// TestR69ForeignSessionIsLogged refuses one user's request on another's MCP session, and says so. An id that was made up
// belongs to no user, and is not logged: anyone with a token could fill the log.
func TestR69ForeignSessionIsLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	id := f.initialize(t, f.token(ada))
	for _, m := range onSession(f.token(grace), id) {
		if status, _ := f.send(t, m); status != http.StatusForbidden {
			t.Errorf("%q: status %d, want 403", m.http, status)
		}
	}
	if log := f.log.String(); strings.Count(log, "outcome=foreign_session") != 3 || strings.Count(log, "session.user_id="+grace) != 3 {
		t.Errorf("logged: %s", log)
	}
	for _, made := range []string{"mcp-session-0b27cd5c-2ba9-4e0e-9a4e-000000000000", id[1:], id + "A", strings.ToLower(id), id[:len(id)-1] + "~", "x"} {
		for _, m := range onSession(f.token(ada), made) {
			if status, _ := f.send(t, m); status != http.StatusNotFound {
				t.Errorf("%q on session %q: status %d, want 404", m.http, made, status)
			}
		}
	}
	if log := f.log.String(); strings.Count(log, "outcome=") != 3 {
		t.Errorf("logged in the end: %s", log)
	}
}

func TestR69TwoSessionIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	id := f.initialize(t, f.token(ada))
	for _, ids := range [][]string{{id, id}, {id, "x"}, {"x", id}} {
		for _, m := range onSession(f.token(ada), "") {
			m.header = http.Header{"Mcp-Session-Id": ids}
			if status, _ := f.send(t, m); status != http.StatusBadRequest {
				t.Errorf("%q, %q: status %d, want 400", m.http, ids, status)
			}
		}
	}
	for method, want := range map[string]int{http.MethodPost: http.StatusNotFound, http.MethodGet: http.StatusBadRequest, http.MethodDelete: http.StatusBadRequest} {
		if status, _ := f.send(t, message{http: method, token: f.token(ada), method: "ping", id: 1}); status != want {
			t.Errorf("%s without a session: status %d, want %d", method, status, want)
		}
	}
	empty := call(f.token(ada), "", legacy, "whoami")
	empty.header = http.Header{"Mcp-Session-Id": {""}}
	if status, _ := f.send(t, empty); status != http.StatusNotFound {
		t.Errorf("an empty id: status %d, want 404", status)
	}
	if f.initialize(t, f.token(ada)) == id {
		t.Error("two sessions have the same id")
	}
}

// TestModernRequestsHaveNoSession sends the id of an MCP session along with requests of MCP 2026-07-28, which has none:
// they do not run in it.
func TestModernRequestsHaveNoSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{})
	hers := f.initialize(t, f.token(ada))
	f.mcp.AddTool(mcp.NewTool("session"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(server.ClientSessionFromContext(ctx).SessionID()), nil
	})
	for _, id := range []string{hers, "x"} {
		status, body := f.send(t, call(f.token(grace), id, modern, "session"))
		if status != http.StatusOK || !strings.Contains(body, `"text":"user-`) {
			t.Errorf("session %s: status %d: %s", id, status, body)
		}
		if status, _ := f.send(t, message{http: http.MethodGet, token: f.token(grace), session: id, version: modern}); status != http.StatusMethodNotAllowed {
			t.Errorf("GET on session %s: status %d, want 405", id, status)
		}
		if status, _ := f.send(t, message{http: http.MethodDelete, token: f.token(grace), session: id, version: modern}); status != http.StatusMethodNotAllowed {
			t.Errorf("DELETE on session %s: status %d, want 405", id, status)
		}
	}
	if status, _ := f.send(t, call(f.token(ada), hers, legacy, "whoami")); status != http.StatusOK {
		t.Errorf("the session afterwards: status %d", status)
	}
}

// TestR69ReplicasShareTheKey opens a session on one replica and uses it on another.
func TestR69ReplicasShareTheKey(t *testing.T) {
	t.Parallel()
	one := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Key: mcpauth.NewSecret(strings.Repeat("k", 32))}})
	same := one.replica(t, newServer(), mcpauthmcpgo.Config{Key: mcpauth.NewSecret(strings.Repeat("k", 32))})
	id := one.initialize(t, one.token(ada))
	if status, body := same.send(t, call(one.token(ada), id, legacy, "whoami")); status != http.StatusOK || !strings.Contains(body, ada) {
		t.Errorf("with the key: status %d: %s", status, body)
	}
	if status, _ := same.send(t, call(one.token(grace), id, legacy, "whoami")); status != http.StatusForbidden {
		t.Errorf("with the key, another user: status %d, want 403", status)
	}
	for name, config := range map[string]mcpauthmcpgo.Config{"without": {}, "with another": {Key: mcpauth.NewSecret(strings.Repeat("l", 32))}} {
		other := one.replica(t, newServer(), config)
		for user, want := range map[string]int{ada: http.StatusNotFound, grace: http.StatusNotFound} {
			if status, _ := other.send(t, call(one.token(user), id, legacy, "whoami")); status != want {
				t.Errorf("%s the key, %s: status %d, want %d", name, user, status, want)
			}
		}
	}
}

// TestR69OptionsCannotUndoTheBinding hands in everything that decides about session ids in mcp-go.
func TestR69OptionsCannotUndoTheBinding(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{options: []server.StreamableHTTPOption{
		server.WithStateLess(true), server.WithStateful(true),
		server.WithSessionIdManager(&server.StatelessGeneratingSessionIdManager{}), server.WithSessionIdManagerResolver(nil),
		server.WithHTTPContextFunc(func(context.Context, *http.Request) context.Context { panic("called") }),
	}})
	id := f.initialize(t, f.token(ada))
	if status, _ := f.send(t, call(f.token(grace), id, legacy, "whoami")); status != http.StatusForbidden {
		t.Errorf("another user: status %d, want 403", status)
	}
	if status, body := f.send(t, call(f.token(ada), id, legacy, "whoami")); status != http.StatusOK || !strings.Contains(body, ada) {
		t.Errorf("its owner: status %d: %s", status, body)
	}
}

// ask is a tool that asks its caller.
func ask(s *server.MCPServer) server.ToolHandlerFunc {
	return func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var question mcp.ElicitationRequest
		question.Params.Message = "Your password?"
		question.Params.RequestedSchema = map[string]any{"type": "object", "properties": map[string]any{"answer": map[string]any{"type": "string"}}}
		result, err := s.RequestElicitation(ctx, question)
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(fmt.Sprintf("%s %v for %s", result.Action, result.Content, caller(ctx))), nil
	}
}

// TestR69AnswerOfAnotherUser has a tool ask Ada, on the response of her call, and Grace answer. The ids of mcp-go's
// questions are 1, 2, 3.
func TestR69AnswerOfAnotherUser(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		f.mcp.AddTool(mcp.NewTool("ask"), ask(f.mcp))
		hers, theirs := f.sessionOf(t, ada, stateless, legacy), f.sessionOf(t, grace, stateless, legacy)
		resp := f.open(t, call(f.token(ada), hers, legacy, "ask")) //nolint:bodyclose // the end of the test does
		stream := bufio.NewReader(resp.Body)
		question := event(t, stream, "elicitation/create")
		answer := func(user, session string) message {
			return message{token: f.token(user), session: session, body: fmt.Sprintf(
				`{"jsonrpc":"2.0","id":%v,"result":{"action":"accept","content":{"answer":"%s's"}}}`, question["id"], user)}
		}
		for _, session := range []string{hers, theirs} {
			if status, _ := f.send(t, answer(grace, session)); status < 400 {
				t.Errorf("stateless=%v: the answer of another user: status %d", stateless, status)
			}
		}
		if status, _ := f.send(t, answer(ada, hers)); status != http.StatusAccepted {
			t.Errorf("stateless=%v: her own answer: status %d, want 202", stateless, status)
		}
		if got := fmt.Sprint(event(t, stream, `"result"`)); !strings.Contains(got, ada+"'s] for "+ada) {
			t.Errorf("stateless=%v: the tool was told %s", stateless, got)
		}
	}
}

func TestStatelessHasNoSessions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodHead} {
		resp := f.open(t, message{http: method, token: f.token(ada)}) //nolint:bodyclose // the end of the test does
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: status %d, Allow %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if status, _ := f.send(t, call(f.token(ada), "x", legacy, "whoami")); status != http.StatusNotFound {
		t.Errorf("a session: status %d, want 404", status)
	}
	resp := f.open(t, message{token: f.token(ada), method: "initialize", id: 1, params: hello}) //nolint:bodyclose // the end of the test does
	if resp.StatusCode != http.StatusOK || len(resp.Header.Values("Mcp-Session-Id")) != 0 {
		t.Errorf("initialize: status %d, session %q", resp.StatusCode, resp.Header.Get("Mcp-Session-Id"))
	}
}

// TestR69EveryMessageHasASession looks at what tools see of mcp-go's session where there is none: its abilities, and an
// id that is their user's own, and that no request can name.
func TestR69EveryMessageHasASession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	ids := map[string][]string{}
	f.mcp.AddTool(mcp.NewTool("look"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		user, _, _ := strings.Cut(caller(ctx), " ")
		session := server.ClientSessionFromContext(ctx)
		ids[user] = append(ids[user], session.SessionID())
		_, elicits := session.(server.SessionWithElicitation)
		_, hasTools := session.(server.SessionWithTools)
		if !elicits || !hasTools || session.SessionID() == "" {
			t.Errorf("session %q of type %T", session.SessionID(), session)
		}
		return mcp.NewToolResultText("ok"), nil
	})
	for _, user := range []string{ada, grace} {
		f.send(t, call(f.token(user), "", legacy, "look"))
		f.send(t, call(f.token(user), "", modern, "look"))
	}
	hers, theirs := ids[ada], ids[grace]
	if len(hers) != 2 || len(theirs) != 2 || hers[0] != hers[1] || theirs[0] != theirs[1] || hers[0] == theirs[0] {
		t.Fatalf("ids: %q", ids)
	}
	if status, _ := f.send(t, call(f.token(ada), hers[0], legacy, "look")); status != http.StatusNotFound {
		t.Errorf("the id as a session: status %d, want 404", status)
	}
}

// TestIdleSessionsEnd uses a session now and then, and then no more.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		endpoint, err := mcpauthmcpgo.Handler(rs, newServer(), mcpauthmcpgo.Config{}, server.WithSessionIdleTTL(30*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		ping := func(id string) int {
			return record(t, endpoint, ada, id, `{"jsonrpc":"2.0","id":2,"method":"ping"}`).Code
		}
		open := func() string {
			return record(t, endpoint, ada, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{`+hello+`}}`).Header().Get("Mcp-Session-Id")
		}
		id := open()
		for range 5 {
			time.Sleep(20 * time.Minute)
			if status := ping(id); status != http.StatusOK {
				t.Errorf("in use: status %d", status)
			}
		}
		time.Sleep(46 * time.Minute) // mcp-go looks every 15
		if status := ping(id); status != http.StatusNotFound {
			t.Errorf("after its time: status %d, want 404", status)
		}
		if status := ping(open()); status != http.StatusOK {
			t.Errorf("another session: status %d", status)
		}
		if err := endpoint.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestSessionToolsWithoutASession has a tool that keeps tools in its session where there is none. mcp-go would show them to the
// callers of all messages of MCP 2026-07-28.
func TestSessionToolsWithoutASession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	f.mcp.AddTool(mcp.NewTool("keep"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		answer := func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("ada's"), nil
		}
		server.ClientSessionFromContext(ctx).(server.SessionWithTools).SetSessionTools(map[string]server.ServerTool{"mine": {Tool: mcp.NewTool("mine"), Handler: answer}})
		return mcp.NewToolResultText("kept"), nil
	})
	for _, version := range []string{legacy, modern} {
		f.expect(t, "Ada", call(f.token(ada), "", version, "keep"), 200, "kept")
		if body := f.expect(t, "Grace", message{token: f.token(grace), version: version, method: "tools/list", id: 1}, 200, "whoami"); strings.Contains(body, "mine") {
			t.Errorf("%s: Grace is shown %s", version, body)
		}
		if _, body := f.send(t, call(f.token(grace), "", version, "mine")); strings.Contains(body, "ada's") {
			t.Errorf("%s: Grace gets %s", version, body)
		}
	}
}

// record answers a request of user, "" for none, without a socket.
func record(t testing.TB, handler http.Handler, user, session, body string) *httptest.ResponseRecorder {
	t.Helper()
	ctx := t.Context()
	if user != "" {
		ctx = mcpauth.NewContext(ctx, mcpauthtest.NewSession(map[string]any{"sub": user}))
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}
