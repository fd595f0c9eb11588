package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// TestR99SessionGetsItsUser opens an MCP session without credentials. The first user who signs in on it gets it, and no
// other has it from then on.
func TestR99SessionGetsItsUser(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	id := f.initialize(t, "")
	on := func(token, tool string) message { return call(token, id, legacy, tool) }
	f.expect(t, "without credentials", on("", "whoami"), 200, mcpauth.ErrNoSession.Error())
	f.expect(t, "a protected tool", on("", "headers"), 401, "an access token is required")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		f.expect(t, method+" without credentials", message{http: method, session: id}, 405, "")
	}
	f.expect(t, "Ada", on(f.token(ada), "whoami"), 200, ada)
	f.expect(t, "without credentials, when it is Ada's", on("", "whoami"), 401, "an access token is required")
	f.expect(t, "a notification without credentials", message{session: id, method: "notifications/cancelled", params: `"requestId":7`}, 401, "")
	f.expect(t, "Grace", on(f.token(grace), "whoami"), 403, "session user mismatch")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		f.expect(t, method+" without credentials, when it is Ada's", message{http: method, session: id}, 401, "")
		f.expect(t, method+" of Grace", message{http: method, session: id, token: f.token(grace)}, 403, "session user mismatch")
	}
	if !strings.Contains(f.log.String(), "outcome=foreign_session") {
		t.Errorf("the log: %s", f.log)
	}
	f.expect(t, "Ada again", on(f.token(ada), "whoami"), 200, ada)
	f.expect(t, "GET of Ada", message{http: http.MethodGet, session: id, token: f.token(ada)}, 200, "")
	f.expect(t, "DELETE of Ada", message{http: http.MethodDelete, session: id, token: f.token(ada)}, 200, "")
	f.expect(t, "Ada, when it has ended", on(f.token(ada), "whoami"), 404, "session not found")
	f.expect(t, "without credentials, when it has ended", on("", "whoami"), 404, "session not found")
}

// TestR99SessionOfAUser uses without credentials, or as another user, what was opened with credentials, and ids that do not exist.
func TestR99SessionOfAUser(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	id := f.initialize(t, f.token(ada))
	for _, c := range []struct {
		id, token string
		want      int
	}{
		{id, "", 401},
		{"unknown", "", 401},
		{"mcpauth-public-unknown", "", 404},
		{"mcpauth-public-unknown", f.token(ada), 404},
		{"public-unknown", "", 401},
		{"public-unknown", f.token(ada), 404},
		{"public-unknown-guest", f.token(ada), 404},
		{"unknown", f.token(ada), 404},
		{id, f.token(ada), 200},
	} {
		f.expect(t, fmt.Sprintf("%s, token %t", c.id, c.token != ""), call(c.token, c.id, legacy, "whoami"), c.want, "")
	}
	f.expect(t, "no id", call("", "", legacy, "whoami"), 404, "")
	f.expect(t, "an empty id", message{method: "tools/list", id: 1, header: http.Header{"Mcp-Session-Id": {""}}}, 401, "")
	f.expect(t, "two ids", message{method: "tools/list", id: 1, header: http.Header{"Mcp-Session-Id": {"mcpauth-public-a", "mcpauth-public-a"}}}, 401, "")
	m := call("", "", modern, "whoami")
	m.session = id
	f.expect(t, "a user's, in a version without sessions", m, 401, "")
	f = newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	f.expect(t, "a stateless server", call("", "mcpauth-public-x", legacy, "whoami"), 404, "session not found")
}

// TestR99InnerIDs has a tool that tells the ids under which mcp-go keeps what belongs to calls. They let no caller in.
func TestR99InnerIDs(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	id := f.initialize(t, "")
	tell := func(token string) string {
		body := f.expect(t, "session", call(token, id, legacy, "session"), 200, `"text":"public-`)
		_, inner, _ := strings.Cut(body, `"text":"`)
		inner, _, _ = strings.Cut(inner, `"`)
		return inner
	}
	guest := tell("")
	owned := tell(f.token(ada))
	if guest == owned || strings.Contains(guest+owned, id) {
		t.Errorf("ids %s, %s and %s", id, guest, owned)
	}
	for _, inner := range []string{guest, owned} {
		f.expect(t, "without credentials", call("", inner, legacy, "whoami"), 401, "")
		f.expect(t, "Grace", call(f.token(grace), inner, legacy, "whoami"), 404, "session not found")
		f.expect(t, "Ada", call(f.token(ada), inner, legacy, "whoami"), 404, "session not found")
		f.expect(t, "DELETE of Grace", message{http: http.MethodDelete, session: inner, token: f.token(grace)}, 404, "")
	}
	f.expect(t, "Ada, on her session", call(f.token(ada), id, legacy, "whoami"), 200, ada)
	resp := f.open(t, message{session: id, token: f.token(ada), method: "initialize", id: 1, params: hello}) //nolint:bodyclose // the end of the test does
	if again := resp.Header.Get("Mcp-Session-Id"); strings.HasPrefix(again, "public-") {
		t.Errorf("a second initialize shows %s", again)
	}
}

// TestR99CallsBeforeTheUser has a call without credentials go on while a user signs in on its MCP session. It does not get what
// is sent to the user, and ends by itself.
func TestR99CallsBeforeTheUser(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	started, finish := make(chan struct{}), make(chan struct{})
	f.mcp.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		close(started)
		select {
		case <-finish:
		case <-ctx.Done():
		}
		return mcp.NewToolResultText("waited"), nil
	})
	f.mcp.AddTool(mcp.NewTool("notify"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for i := range 50 {
			if err := f.mcp.SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": fmt.Sprint("for ada ", i)}); err != nil {
				return nil, err
			}
		}
		return mcp.NewToolResultText("notified"), nil
	})
	id := f.initialize(t, "")
	waited := make(chan string, 1)
	go func() {
		_, body := f.send(t, call("", id, legacy, "wait"))
		waited <- body
	}()
	await(t, "the call without credentials", started)
	// mcp-go loses the notification that it has in hand when the tool returns.
	if body := f.expect(t, "Ada", call(f.token(ada), id, legacy, "notify"), 200, "notified"); strings.Count(body, "for ada") < 49 {
		t.Errorf("Ada gets %s", body)
	}
	close(finish)
	if body := await(t, "the end of the call without credentials", waited); !strings.Contains(body, "waited") || strings.Contains(body, "for ada") {
		t.Errorf("the call without credentials gets %s", body)
	}
}

// TestR99Races has many users sign in at once on one MCP session.
func TestR99Races(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	for range 5 {
		id := f.initialize(t, "")
		const users = 8
		answers := make(chan int, users)
		for i := range users {
			token := f.token(fmt.Sprint("usr_", i))
			go func() {
				if i%2 == 0 {
					f.send(t, call("", id, legacy, "whoami"))
				}
				status, _ := f.send(t, call(token, id, legacy, "whoami"))
				answers <- status
			}()
		}
		var all []int
		for range users {
			all = append(all, await(t, "an answer", answers))
		}
		slices.Sort(all)
		if all[0] != http.StatusOK || all[1] != http.StatusForbidden || all[users-1] != http.StatusForbidden {
			t.Errorf("the answers are %v", all)
		}
	}
}

// TestR99TooManySessions opens a thousand MCP sessions without credentials. One more client is asked to sign in at once. When all
// have ended, mcp-go has none left.
func TestR99TooManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var registered atomic.Int64
		hooks := new(server.Hooks)
		hooks.AddOnRegisterSession(func(context.Context, server.ClientSession) { registered.Add(1) })
		hooks.AddOnUnregisterSession(func(context.Context, server.ClientSession) { registered.Add(-1) })
		env := mcpauthtest.NewEnvironment()
		cfg := env.Config("https://mcp.example.com")
		cfg.Policy = policyOf(t, publicRules)
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		endpoint, err := mcpauthmcpgo.Handler(rs, newServer(server.WithHooks(hooks)), mcpauthmcpgo.Config{})
		if err != nil {
			t.Fatal(err)
		}
		env.Close()
		handler := rs.Endpoint(endpoint)
		const whoami = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami"}}`
		open := func(user string) (id string, status int) {
			w := record(t, handler, user, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{`+hello+`}}`)
			return w.Header().Get("Mcp-Session-Id"), w.Code
		}
		var ids []string
		for range 1000 {
			id, status := open("")
			if id == "" {
				t.Fatalf("after %d: %d", len(ids), status)
			}
			ids = append(ids, id)
		}
		if id, status := open(""); status != http.StatusUnauthorized || id != "" {
			t.Errorf("one more: %d", status)
		}
		if got := record(t, handler, "", ids[0], whoami); got.Code != http.StatusOK {
			t.Errorf("on one of them: %d", got.Code)
		}
		if got := record(t, handler, ada, ids[0], whoami); got.Code != http.StatusOK {
			t.Errorf("a user on one of them: %d", got.Code)
		}
		if id, status := open(""); id == "" {
			t.Errorf("when one has got its user: %d", status)
		}
		if id, status := open(ada); status != http.StatusOK || id == "" {
			t.Errorf("with a user: %d", status)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := registered.Load(); n != 2 {
			t.Errorf("mcp-go has %d sessions after a minute, want Ada's two", n)
		}
		for i, want := range map[int]int{0: http.StatusOK, 1: http.StatusNotFound} {
			if got := record(t, handler, ada, ids[i], whoami); got.Code != want {
				t.Errorf("%d, when a minute has passed: %d, want %d", i, got.Code, want)
			}
		}
		for range 1000 {
			if id, status := open(""); id == "" {
				t.Fatalf("when all have ended: %d", status)
			}
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := registered.Load(); n != 1 { // the one that was opened with a user
			t.Errorf("mcp-go has %d sessions left", n)
		}
		if err := endpoint.Shutdown(t.Context()); err != nil || registered.Load() != 0 {
			t.Errorf("after the shutdown: %d, %v", registered.Load(), err)
		}
	})
}

// TestR99IdleTTL has mcp-go end the MCP session of a user by its own setting, and all of them by Shutdown.
func TestR99IdleTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := mcpauthtest.NewEnvironment()
		cfg := env.Config("https://mcp.example.com")
		cfg.Policy = policyOf(t, publicRules)
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		endpoint, err := mcpauthmcpgo.Handler(rs, newServer(), mcpauthmcpgo.Config{}, server.WithSessionIdleTTL(20*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		env.Close()
		handler := rs.Endpoint(endpoint)
		const ping = `{"jsonrpc":"2.0","id":2,"method":"ping"}`
		open := func() string {
			id := record(t, handler, "", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{`+hello+`}}`).Header().Get("Mcp-Session-Id")
			if got := record(t, handler, ada, id, ping); got.Code != http.StatusOK {
				t.Fatalf("a user: %d", got.Code)
			}
			return id
		}
		id := open()
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if got := record(t, handler, ada, id, ping); got.Code != http.StatusNotFound {
			t.Errorf("after its time: %d", got.Code)
		}
		id = open()
		if err := endpoint.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := record(t, handler, ada, id, ping); got.Code != http.StatusNotFound {
			t.Errorf("after the shutdown: %d", got.Code)
		}
		time.Sleep(2 * time.Hour) // until no timer is left
	})
}

// TestR99OpenedInAStream has a server that sends something before the answer to initialize. mcp-go does not tell the id of the MCP
// session then, and would keep it for ever.
func TestR99OpenedInAStream(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 10)
	hooks := new(server.Hooks)
	hooks.AddAfterInitialize(func(ctx context.Context, _ any, _ *mcp.InitializeRequest, _ *mcp.InitializeResult) {
		_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": "hello"})
	})
	hooks.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) { ended <- session.SessionID() })
	f := newPublic(t, setup{server: []server.ServerOption{server.WithHooks(hooks)}})
	resp := f.open(t, message{method: "initialize", id: 1, params: hello}) //nolint:bodyclose // the end of the test does
	event(t, bufio.NewReader(resp.Body), `"result"`)
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		t.Skipf("mcp-go tells the id now: %s", id)
	}
	select {
	case id := <-ended:
		if !strings.HasPrefix(id, "public-") {
			t.Errorf("ended: %s", id)
		}
	case <-time.After(deadline):
		t.Error("the MCP session goes on")
	}
}
