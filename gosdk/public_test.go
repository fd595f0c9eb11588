package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// newPublic returns a fixture whose tool whoami is public, and whose tool headers needs a scope. Lists are filtered. It is
// served as Mount does.
func newPublic(t testing.TB, s setup) *fixture {
	t.Helper()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{
			"whoami": {Public: true}, "headers": {Scopes: []string{"headers:read"}}, "session": {Public: true},
			"hidden": {Scopes: []string{"x"}, Hide: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	config := s.config
	s.config = func(cfg *mcpauth.Config) {
		cfg.Policy = policy
		if config != nil {
			config(cfg)
		}
	}
	if s.attach == nil {
		s.attach = mcpauthgosdk.Attach
	}
	attach := s.attach
	s.attach = func(server *mcp.Server) {
		mcp.AddTool(server, &mcp.Tool{Name: "session"}, func(_ context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			return text(req.Session.ID()), nil, nil
		})
		mcp.AddTool(server, &mcp.Tool{Name: "hidden"}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return text("hidden"), nil, nil
		})
		mcpauthgosdk.Hide(server, policy)
		attach(server)
	}
	s.mount = true
	return newFixture(t, s)
}

// answer returns what is said in the answer to a request.
func (f *fixture) answer(t testing.TB, token, mcpSession, body string) string {
	t.Helper()
	resp := f.send(t, http.MethodPost, token, mcpSession, body)
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(said))
}

func callOf(tool string) string { return strings.ReplaceAll(callWhoami, "whoami", tool) }

const noSession = "session not initialized"

// TestR99PublicCalls has a client of the go-sdk without a token.
func TestR99PublicCalls(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newPublic(t, setup{stateless: stateless})
		transport := &mcp.StreamableClientTransport{Endpoint: f.url}
		client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).
			Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		if got, err := call(t.Context(), client, "whoami"); err != nil || !strings.HasPrefix(got, noSession) {
			t.Errorf("whoami: %q, %v", got, err)
		}
		list, err := client.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"headers", "session", "whoami"}) {
			t.Errorf("the list shows %q", names)
		}
		if got, err := call(t.Context(), client, "headers"); err == nil {
			t.Errorf("headers: %q", got)
		}
	})
}

// TestR99NoCallerForTools looks at what the go-sdk tells a public tool of its caller, with and without Attach.
func TestR99NoCallerForTools(t *testing.T) {
	t.Parallel()
	for _, attached := range []bool{true, false} {
		var ran atomic.Int64
		f := newPublic(t, setup{stateless: true, attach: func(server *mcp.Server) {
			mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
				ran.Add(1)
				for _, info := range []*auth.TokenInfo{req.Extra.TokenInfo, auth.TokenInfoFromContext(ctx)} {
					if attached && info != nil || info != nil && (info.UserID != "" || len(info.Scopes) > 0) {
						t.Errorf("attached %t: the go-sdk shows a caller: %+v", attached, info)
					}
				}
				if session, err := mcpauth.SessionFromContext(ctx); err == nil {
					t.Errorf("attached %t: a session of %s", attached, session.UserID())
				}
				return text("ok"), nil, nil
			})
			if attached {
				mcpauthgosdk.Attach(server)
			}
		}})
		if got := f.answer(t, "", "", callWhoami); !strings.HasPrefix(got, "200") || ran.Load() != 1 {
			t.Errorf("attached %t: %s", attached, got)
		}
	}
}

// TestR99SessionGetsItsUser opens an MCP session without credentials. The first user who signs in on it gets it, and no
// other has it from then on.
func TestR99SessionGetsItsUser(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	ada, eve := f.tokensOf("usr_ada").next(), f.tokensOf("usr_eve").next()
	id := f.open(t, "")
	expect := func(who, token, body, want string) {
		t.Helper()
		if got := f.answer(t, token, id, body); !strings.HasPrefix(got, want[:3]) || !strings.Contains(got, want[4:]) {
			t.Errorf("%s: %s, want %s", who, got, want)
		}
	}
	expect("without credentials", "", callWhoami, "200 "+noSession)
	expect("a protected tool", "", callOf("headers"), "401 an access token is required")
	if status := f.status(t, http.MethodGet, "", id, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET without credentials: %d", status)
	}
	if status := f.status(t, http.MethodDelete, "", id, ""); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE without credentials: %d", status)
	}
	expect("Ada", ada, callWhoami, "200 usr_ada first")
	expect("without credentials, when it is Ada's", "", callWhoami, "401 an access token is required")
	expect("a notification without credentials", "", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, "401 an access token is required")
	expect("Eve", eve, callWhoami, "403 session user mismatch")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if status := f.status(t, method, "", id, ""); status != http.StatusUnauthorized {
			t.Errorf("%s without credentials, when it is Ada's: %d", method, status)
		}
		if status := f.status(t, method, eve, id, ""); status != http.StatusForbidden {
			t.Errorf("%s of Eve: %d", method, status)
		}
	}
	expect("Ada again", ada, callWhoami, "200 usr_ada first")
	if resp := f.stream(t, ada, id); resp.StatusCode != http.StatusOK {
		t.Errorf("GET of Ada: %d", resp.StatusCode)
	} else {
		_ = resp.Body.Close()
	}
	if status := f.status(t, http.MethodDelete, ada, id, ""); status != http.StatusNoContent {
		t.Errorf("DELETE of Ada: %d", status)
	}
	expect("Ada, when it has ended", ada, callWhoami, "404 session not found")
	expect("without credentials, when it has ended", "", callWhoami, "404 session not found")
}

// TestR99SessionOfAUser uses without credentials, or as another user, what was opened with credentials, and ids that do not exist.
func TestR99SessionOfAUser(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	ada := f.tokensOf("usr_ada").next()
	id := f.open(t, ada)
	for _, c := range []struct {
		id, token, want string
	}{
		{id, "", "401"},
		{"unknown", "", "401"},
		{"mcpauth-public-unknown", "", "404"},
		{"mcpauth-public-unknown", ada, "404"},
		{"unknown", ada, "404"},
		{id, ada, "200"},
	} {
		if got := f.answer(t, c.token, c.id, callWhoami); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, token %t: %s, want %s", c.id, c.token != "", got, c.want)
		}
	}
	req := f.send(t, http.MethodPost, "", "", callWhoami, "Mcp-Session-Id", "")
	_ = req.Body.Close()
	if req.StatusCode != http.StatusUnauthorized {
		t.Errorf("an empty id: %d", req.StatusCode)
	}
}

// TestR99InnerID has a tool that tells the go-sdk's own id of an MCP session that was opened without credentials. The go-sdk
// would let every user in.
func TestR99InnerID(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	id := f.open(t, "")
	answer := f.answer(t, "", id, callOf("session"))
	_, inner, _ := strings.Cut(answer, `"text":"`)
	inner, _, _ = strings.Cut(inner, `"`)
	if inner == "" || strings.Contains(answer, id) {
		t.Fatalf("the tool says %s", answer)
	}
	for _, token := range []string{"", f.tokensOf("usr_eve").next()} {
		want := map[bool]string{true: "401", false: "404"}[token == ""]
		if got := f.answer(t, token, inner, callWhoami); !strings.HasPrefix(got, want) {
			t.Errorf("token %t: %s", token != "", got)
		}
	}
	resp := f.send(t, http.MethodPost, "", id, `{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`)
	_ = resp.Body.Close()
	if resp.Header.Get("Mcp-Session-Id") == inner {
		t.Error("a second initialize shows the go-sdk's id")
	}
}

// TestR99Races has many users sign in at once on one MCP session.
func TestR99Races(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	for range 5 {
		id := f.open(t, "")
		const users = 8
		answers := make(chan string, users)
		for i := range users {
			token := f.tokensOf(fmt.Sprintf("usr_%d", i)).next()
			go func() {
				numbered := func(n int) string { return strings.Replace(callWhoami, `"id":7`, fmt.Sprintf(`"id":%d`, n), 1) }
				if i%2 == 0 {
					f.answer(t, "", id, numbered(100+i))
				}
				answers <- f.answer(t, token, id, numbered(i))
			}()
		}
		ok := 0
		for range users {
			switch got := await(t, "an answer", answers); got[:3] {
			case "200":
				ok++
			case "403":
			default:
				t.Errorf("answer %s", got)
			}
		}
		if ok != 1 {
			t.Errorf("%d users have the session", ok)
		}
	}
}

// TestR99TooManySessions opens a thousand MCP sessions without credentials. One more client is asked to sign in at once.
func TestR99TooManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newRecorded(t)
		var ids []string
		for range 1000 {
			id, status := p.open("")
			if id == "" {
				t.Fatalf("after %d: %d", len(ids), status)
			}
			ids = append(ids, id)
		}
		if id, status := p.open(""); status != http.StatusUnauthorized || id != "" {
			t.Errorf("one more: %d", status)
		}
		if got := p.post("", ids[0], callWhoami); got.Code != http.StatusOK {
			t.Errorf("on one of them: %d", got.Code)
		}
		if got := p.post(p.token, ids[0], callWhoami); got.Code != http.StatusOK {
			t.Errorf("a user on one of them: %d", got.Code)
		}
		if id, status := p.open(""); id == "" {
			t.Errorf("when one has got its user: %d", status)
		}
		if id, status := p.open(p.token); status != http.StatusOK || id == "" {
			t.Errorf("with a token: %d", status)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		for i, want := range map[int]int{0: http.StatusOK, 1: http.StatusNotFound} {
			if got := p.post(p.token, ids[i], callWhoami); got.Code != want {
				t.Errorf("%d, when a minute has passed: %d, want %d", i, got.Code, want)
			}
		}
		for range 1000 {
			if id, status := p.open(""); id == "" {
				t.Fatalf("when all have ended: %d", status)
			}
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if left := p.sessions(); left != 1 { // the one that was opened with a token
			t.Errorf("the go-sdk has %d sessions left", left)
		}
	})
}

// A recorded server is one without sockets, for time that is not real.
type recorded struct {
	handler http.Handler
	token   string
	server  *mcp.Server
}

func newRecorded(t *testing.T) *recorded {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {Public: true}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := env.Config("https://mcp.example.com")
	cfg.Policy = policy
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &recorded{server: newServer(&mcp.ServerOptions{}), token: env.Token(map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})}
	mcpauthgosdk.Attach(p.server)
	p.handler = rs.Endpoint(mcpauthgosdk.Handler(rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return p.server }, nil)))
	if err := rs.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.Close()
	t.Cleanup(func() {
		for session := range p.server.Sessions() {
			_ = session.Close()
		}
	})
	return p
}

func (p *recorded) sessions() (n int) {
	for range p.server.Sessions() {
		n++
	}
	return n
}

func (p *recorded) post(token, id, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if id != "" {
		r.Header.Set("Mcp-Session-Id", id)
		r.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

func (p *recorded) open(token string) (id string, status int) {
	w := p.post(token, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`)
	id = w.Header().Get("Mcp-Session-Id")
	if id != "" {
		p.post(token, id, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	return id, w.Code
}
