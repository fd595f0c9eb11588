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

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

var publicRules = mcpauth.Rules{Tools: map[string]mcpauth.Rule{
	"whoami": {Public: true}, "session": {Public: true}, "wait": {Public: true}, "task": {Public: true}, "headers": {Scopes: []string{"headers:read"}},
	"hidden": {Scopes: []string{"x"}, Hide: true},
}}

// newPublic returns a fixture whose tool whoami is public, and whose tool headers needs a scope. Lists are filtered. It is
// served as Mount does.
func newPublic(t testing.TB, s setup) *fixture {
	t.Helper()
	policy := policyOf(t, publicRules)
	config, prepare := s.config, s.prepare
	s.config = func(cfg *mcpauth.Config) {
		cfg.Policy = policy
		if config != nil {
			config(cfg)
		}
	}
	s.prepare = func(m *server.MCPServer) {
		m.AddTool(mcp.NewTool("session"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(server.ClientSessionFromContext(ctx).SessionID()), nil
		})
		m.AddTool(mcp.NewTool("hidden"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("hidden"), nil
		})
		mcpauthmcpgo.Hide(m, m.GetHooks(), policy)
		if prepare != nil {
			prepare(m)
		}
	}
	s.mount = true
	return newFixture(t, s)
}

// publicSession opens an MCP session without credentials where there are any.
func (f *fixture) publicSession(t testing.TB, stateless bool, version string) string {
	t.Helper()
	if stateless || version == modern {
		return ""
	}
	return f.initialize(t, "")
}

// expect sends m, and compares the status and a part of the answer.
func (f *fixture) expect(t testing.TB, who string, m message, status int, part string) string {
	t.Helper()
	got, body := f.send(t, m)
	if got != status || !strings.Contains(body, part) {
		t.Errorf("%s: status %d, %s; want %d, %s", who, got, body, status, part)
	}
	return body
}

// TestR99PublicCalls has mcp-go's client without a token.
func TestR99PublicCalls(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		to, err := transport.NewStreamableHTTP(f.url)
		if err != nil {
			t.Fatal(err)
		}
		c := client.NewClient(to, client.WithProtocolVersion(version))
		t.Cleanup(func() { _ = c.Close() })
		start(t, c, version)
		if got, err := callTool(t.Context(), c, "whoami"); err != nil || got != mcpauth.ErrNoSession.Error() {
			t.Errorf("whoami: %q, %v", got, err)
		}
		tools, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := names(tools.Tools, func(tool mcp.Tool) string { return tool.Name }); got != "headers session whoami" {
			t.Errorf("the list shows %s", got)
		}
		if got, err := callTool(t.Context(), c, "headers"); err == nil {
			t.Errorf("headers: %q", got)
		}
	})
}

// TestR99ContextFunc looks at what the function for the context sees of a request without credentials.
func TestR99ContextFunc(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless, ContextFunc: func(ctx context.Context, r *http.Request) context.Context {
			if session, err := mcpauthmcpgo.Session(r); err == nil {
				t.Errorf("a session of %s", session.UserID())
			}
			return ctx
		}}})
		f.expect(t, "whoami", call("", f.publicSession(t, stateless, version), version, "whoami"), http.StatusOK, mcpauth.ErrNoSession.Error())
	})
}

// TestR99WithoutOneOfTheParts leaves out Mount, hands over a wrapped handler, and one that embeds the handler.
func TestR99WithoutOneOfTheParts(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}})
	endpoint, err := mcpauthmcpgo.Handler(f.rs, f.mcp, mcpauthmcpgo.Config{Stateless: true})
	if err != nil {
		t.Fatal(err)
	}
	type embedding struct{ *mcpauthmcpgo.Endpoint }
	for name, c := range map[string]struct {
		handler http.Handler
		want    int
	}{
		"as it should be":  {f.rs.Endpoint(endpoint), http.StatusOK},
		"Handler alone":    {endpoint, http.StatusUnauthorized},
		"wrapped":          {f.rs.Endpoint(http.HandlerFunc(endpoint.ServeHTTP)), http.StatusUnauthorized},
		"embedded":         {f.rs.Endpoint(embedding{endpoint}), http.StatusUnauthorized},
		"a pointer to one": {f.rs.Endpoint(&embedding{endpoint}), http.StatusUnauthorized},
		"other scopes":     {f.rs.WithRequiredScopes("x").Endpoint(endpoint), http.StatusUnauthorized},
	} {
		f.url = serve(t, c.handler)
		f.expect(t, name, call("", "", legacy, "whoami"), c.want, "")
	}
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "check the error of mcpauthmcpgo.Handler") {
			t.Errorf("a nil Endpoint: %s", said)
		}
	}()
	f.rs.Endpoint((*mcpauthmcpgo.Endpoint)(nil))
}

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
	waited := make(chan string)
	go func() {
		_, body := f.send(t, call("", id, legacy, "wait"))
		waited <- body
	}()
	<-started
	if body := f.expect(t, "Ada", call(f.token(ada), id, legacy, "notify"), 200, "notified"); strings.Count(body, "for ada") != 50 {
		t.Errorf("Ada gets %s", body)
	}
	close(finish)
	if body := <-waited; !strings.Contains(body, "waited") || strings.Contains(body, "for ada") {
		t.Errorf("the call without credentials gets %s", body)
	}
}

// TestR99Cancellations has callers without credentials cancel calls of each other, and of a user, by their number.
func TestR99Cancellations(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		started, finish := make(chan struct{}), make(chan struct{})
		f.mcp.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			started <- struct{}{}
			select {
			case <-finish:
				return mcp.NewToolResultText("finished"), nil
			case <-ctx.Done():
				return mcp.NewToolResultText("cancelled"), nil
			}
		})
		other := f.publicSession(t, stateless, version)
		answers := make(chan string)
		for token, session := range map[string]string{"": f.publicSession(t, stateless, version), f.token(ada): f.sessionOf(t, ada, stateless, version)} {
			m := call(token, session, version, "wait")
			m.id = 5
			go func() {
				_, body := f.send(t, m)
				answers <- body
			}()
			<-started
		}
		f.expect(t, "the cancellation", message{session: other, version: version, method: "notifications/cancelled", params: `"requestId":5`}, 202, "")
		close(finish)
		for range 2 {
			if got := <-answers; !strings.Contains(got, "finished") {
				t.Errorf("after a stranger's cancellation: %s", got)
			}
		}
	})
}

// TestR99NoTasks has callers without credentials ask for tasks, which belong to a user.
func TestR99NoTasks(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: []server.ServerOption{withTasks}})
		ran := make(chan struct{}, 10)
		f.mcp.AddTool(mcp.NewTool("task", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			ran <- struct{}{}
			return mcp.NewToolResultText("done"), nil
		})
		id, user := f.publicSession(t, stateless, version), f.sessionOf(t, ada, stateless, version)
		task := createTask(t, f, user, version, "task")
		<-ran
		for _, member := range []string{`"task":{}`, `"TASK":{"ttl":1}`, `"ta\u0073k":{}`, `"tasK":{}`} {
			m := call("", id, version, "task")
			m.params += "," + member
			f.expect(t, member, m, 401, "an access token is required")
		}
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"} {
			m := message{session: id, version: version, method: method, id: 9, params: `"taskId":"` + task + `"`, name: task}
			f.expect(t, method, m, 401, "an access token is required")
		}
		if n := len(ran); n > 0 {
			t.Errorf("%d ran", n)
		}
		f.expect(t, "without a task", call("", id, version, "task"), 200, "done")
		if id == "" {
			return
		}
		// Grace gets the public MCP session, and not Ada's task.
		f.expect(t, "Grace", message{token: f.token(grace), session: id, method: "tasks/get", id: 9, params: `"taskId":"` + task + `"`}, 200, "task not found")
		f.expect(t, "Grace", message{token: f.token(grace), session: id, method: "tasks/list", id: 9}, 200, `"tasks":[]`)
	})
}

// TestR99Pages reads a list in pages without credentials. Cursors do not tell the names of what is hidden, and are not good for a
// user.
func TestR99Pages(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}, server: []server.ServerOption{server.WithPaginationLimit(1)}})
	cursor, seen := "", 0
	for range 10 {
		body := f.expect(t, "a page", message{method: "tools/list", id: 1, params: `"cursor":"` + cursor + `"`}, 200, "tools")
		seen += strings.Count(body, `"name":`)
		_, rest, more := strings.Cut(body, `"nextCursor":"`)
		if !more {
			break
		}
		cursor, _, _ = strings.Cut(rest, `"`)
		f.expect(t, "a user", message{token: f.token(ada), method: "tools/list", id: 1, params: `"cursor":"` + cursor + `"`}, 200, "-32602")
	}
	if seen != 3 {
		t.Errorf("%d tools", seen)
	}
}

// A purging store of events notes for which ids mcp-go is asked to forget everything.
type purging struct {
	*server.InMemoryEventStore
	ids chan string
}

func (p purging) PurgeSession(ctx context.Context, id string) error {
	p.ids <- id
	return p.InMemoryEventStore.PurgeSession(ctx, id)
}

// TestR99NothingIsKept sets a log level without credentials and without an MCP session, which mcp-go would keep for ever under the
// id of that call.
func TestR99NothingIsKept(t *testing.T) {
	t.Parallel()
	store := purging{server.NewInMemoryEventStore(), make(chan string, 10)}
	f := newPublic(t, setup{
		sessions: mcpauthmcpgo.Config{Stateless: true}, server: []server.ServerOption{server.WithLogging()},
		options: []server.StreamableHTTPOption{server.WithEventStore(store)},
	})
	var ids []string
	for range 2 {
		f.expect(t, "the log level", message{method: "logging/setLevel", id: 1, params: `"level":"info"`}, 200, "{}")
		select {
		case id := <-store.ids:
			ids = append(ids, id)
		case <-time.After(deadline):
			t.Fatal("mcp-go is not asked to forget it")
		}
	}
	if !strings.HasPrefix(ids[0], "public-") || ids[0] == ids[1] {
		t.Errorf("the ids are %q", ids)
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
			all = append(all, <-answers)
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
