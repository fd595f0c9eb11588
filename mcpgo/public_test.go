package mcpauthmcpgo_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
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
		answers := make(chan string, 2)
		for token, session := range map[string]string{"": f.publicSession(t, stateless, version), f.token(ada): f.sessionOf(t, ada, stateless, version)} {
			m := call(token, session, version, "wait")
			m.id = 5
			go func() {
				_, body := f.send(t, m)
				answers <- body
			}()
			await(t, "the start of a call", started)
		}
		f.expect(t, "the cancellation", message{session: other, version: version, method: "notifications/cancelled", params: `"requestId":5`}, 202, "")
		close(finish)
		for range 2 {
			if got := await(t, "an answer", answers); !strings.Contains(got, "finished") {
				t.Errorf("after a stranger's cancellation: %s", got)
			}
		}
	})
}

// TestR99OwnNotifications has a server with a handler for a notification that MCP does not have. It runs for users alone, and a
// strict policy refuses it to them, too, because no rule can name it.
func TestR99OwnNotifications(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		for _, strict := range []bool{false, true} {
			var ran atomic.Int32
			rules := publicRules
			rules.Strict = strict
			f := newPublic(t, setup{
				sessions: mcpauthmcpgo.Config{Stateless: stateless},
				config:   func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, rules) },
				prepare: func(m *server.MCPServer) {
					m.AddNotificationHandler("notifications/orders/drop", func(context.Context, mcp.JSONRPCNotification) { ran.Add(1) })
				},
			})
			drop := message{session: f.publicSession(t, stateless, version), version: version, method: "notifications/orders/drop"}
			f.expect(t, "without credentials", drop, http.StatusUnauthorized, "")
			want, times := http.StatusAccepted, int32(1)
			if strict {
				want, times = http.StatusForbidden, 0
			}
			drop.token = f.token(ada)
			f.expect(t, "a user", drop, want, "")
			if n := ran.Load(); n != times {
				t.Errorf("strict: %t, the handler ran %d times", strict, n)
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
		await(t, "the task", ran)
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
