package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// errNeedsLate is what operations return that learn late that a scope is missing. errSilent does not say so in its text.
var (
	errNeedsLate = fmt.Errorf("the backend says: %w", mcpauth.NeedScopes("late"))
	errSilent    = silentError{mcpauth.NeedScopes("late")}
)

type silentError struct{ error }

func (silentError) Error() string   { return "the backend says no" }
func (e silentError) Unwrap() error { return e.error }

// addLate adds operations that learn while they run that the scope "late" is missing. Those that are called progress wait until
// a value comes from sent before they return.
func addLate(s *server.MCPServer, sent <-chan struct{}) {
	failing := func(err error, before func(context.Context)) server.ToolHandlerFunc {
		return func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if before != nil {
				before(ctx)
			}
			return nil, err
		}
	}
	progress := func(ctx context.Context) {
		// The calls of an MCP session share a queue in mcp-go. The goroutine of a call that has just ended may take a notification
		// of the next one out of it, and drop it: so there is another one until the client has seen one.
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			_ = s.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": 1})
			select {
			case <-sent:
				return
			case <-ctx.Done(): // the test is over
				return
			case <-again.C:
			}
		}
	}
	s.AddTool(mcp.NewTool("late", mcp.WithTaskSupport(mcp.TaskSupportOptional)), failing(errNeedsLate, nil))
	s.AddTool(mcp.NewTool("silent", mcp.WithTaskSupport(mcp.TaskSupportOptional)), failing(errSilent, nil))
	s.AddTool(mcp.NewTool("typed"), mcp.NewTypedToolHandler(func(context.Context, mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, error) {
		return nil, errNeedsLate
	}))
	s.AddTool(mcp.NewTool("structured"), mcpauthmcpgo.StructuredToolHandler(func(context.Context, mcp.CallToolRequest, struct{}) (string, error) {
		return "", errNeedsLate
	}))
	s.AddTool(mcp.NewTool("progress"), failing(errNeedsLate, progress))
	s.AddTool(mcp.NewTool("silent_progress"), failing(errSilent, progress))
	s.AddTool(mcp.NewTool("other"), failing(errors.New("another error"), nil))
	s.AddPrompt(mcp.NewPrompt("late"), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) { return nil, errNeedsLate })
	s.AddPrompt(mcp.NewPrompt("silent_progress"), func(ctx context.Context, _ mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		progress(ctx)
		return nil, errSilent
	})
	read := func(before func(context.Context), err error) func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return func(ctx context.Context, _ mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			if before != nil {
				before(ctx)
			}
			return nil, err
		}
	}
	s.AddResource(mcp.NewResource("late://r", "r"), read(nil, errNeedsLate))
	s.AddResource(mcp.NewResource("late://progress", "r"), read(progress, errSilent))
	s.AddResourceTemplate(mcp.NewResourceTemplate("latest://{id}", "r"), read(nil, errNeedsLate))
}

type lateCompletion struct{}

func (lateCompletion) CompletePromptArgument(context.Context, string, mcp.CompleteArgument, mcp.CompleteContext) (*mcp.Completion, error) {
	return nil, errNeedsLate
}

// lateOperations are those that get a challenge, with the scopes that it names.
var lateOperations = []struct{ method, name, params, scopes string }{
	{"tools/call", "late", `"name":"late"`, "base of:rule late"},
	{"tools/call", "silent", `"name":"silent"`, "base late"},
	{"tools/call", "typed", `"name":"typed"`, "base other late"},
	{"tools/call", "structured", `"name":"structured"`, "base late"},
	{"prompts/get", "late", `"name":"late"`, "base late"},
	{"resources/read", "late://r", `"uri":"late://r"`, "base late"},
	{"resources/read", "latest://7", `"uri":"latest://7"`, "base late"},
	{"completion/complete", "", `"ref":{"type":"ref/prompt","name":"late"},"argument":{"name":"a","value":"b"}`, "base late"},
}

var lateRules = mcpauth.Rules{Tools: map[string]mcpauth.Rule{
	"late": {Scopes: []string{"of:rule"}}, "typed": {AnyScopes: [][]string{{"other"}, {"far", "away"}}},
}}

const lateScopes = "base of:rule other"

func newLate(t testing.TB, s setup) (f *fixture, sent chan struct{}) {
	t.Helper()
	sent = make(chan struct{}, 1)
	config := s.config
	s.config = func(cfg *mcpauth.Config) {
		cfg.RequiredScopes = []string{"base"}
		if config != nil {
			config(cfg)
		}
	}
	s.server = append(s.server, withTasks, server.WithPromptCompletionProvider(lateCompletion{}))
	s.prepare = func(m *server.MCPServer) { addLate(m, sent) }
	if s.policy == nil && config == nil {
		s.policy = policyOf(t, lateRules)
	}
	return newFixture(t, s), sent
}

func (f *fixture) withScopes(scopes string) string {
	return f.env.Token(map[string]any{"sub": ada, "scope": scopes})
}

// lateSession opens an MCP session with these scopes where there are any.
func (f *fixture) lateSession(t testing.TB, token string, stateless bool, version string) string {
	t.Helper()
	if stateless || version == modern {
		return ""
	}
	return f.initialize(t, token)
}

// TestLate has operations that learn late that a scope is missing: the client gets the challenge, and nothing else, and the
// MCP session goes on. So it is with events that are kept, and with answers that are streams.
func TestLate(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]server.StreamableHTTPOption{"plain": nil, "kept events": {server.WithEventStore(server.NewInMemoryEventStore())}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, stateless bool, version string) {
				f, _ := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, options: options})
				token := f.withScopes(lateScopes)
				id := f.lateSession(t, token, stateless, version)
				for range 2 {
					for _, c := range lateOperations {
						m := message{token: token, session: id, version: version, method: c.method, params: c.params, name: c.name, id: 7}
						got := f.ask(t, m)
						want := `Bearer error="insufficient_scope", scope="` + c.scopes + `"`
						if got.status != http.StatusForbidden || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), want) || strings.Contains(got.body, "jsonrpc") ||
							strings.Contains(got.body, "backend") || !json.Valid([]byte(got.body)) || got.header.Get("Mcp-Session-Id") != "" {
							t.Errorf("%s %s: %+v, want %s", c.method, c.params, got, want)
						}
						m.token = f.withScopes(lateScopes + " late")
						if got := f.ask(t, m); got.status != http.StatusOK || got.header.Get("WWW-Authenticate") != "" || !strings.Contains(got.body, "the backend says") {
							t.Errorf("%s %s, with the scope: %+v", c.method, c.params, got)
						}
					}
					if got := f.ask(t, call(token, id, version, "other")); got.status != http.StatusOK || !strings.Contains(got.body, "another error") {
						t.Errorf("another error: %+v", got)
					}
					if got := f.ask(t, call(token, id, version, "whoami")); got.status != http.StatusOK || !strings.Contains(got.body, ada) {
						t.Errorf("another call afterwards: %+v", got)
					}
					if id == "" {
						break
					}
					f.mcp.SendNotificationToAllClients("notifications/x", nil) // from now on, the answers on the MCP session are streams
					for !strings.Contains(f.ask(t, call(token, id, version, "whoami")).body, "notifications/x") {
						t.Log("the notification waits for the next answer") // which it would begin
					}
				}
				if log := f.log.String(); !strings.Contains(log, "outcome=insufficient_scope") || !strings.Contains(log, "while it ran") {
					t.Errorf("the log: %s", log)
				}
			})
		})
	}
}

// TestLateAfterProgress has operations that send something first: the client gets an error that names the scopes.
func TestLateAfterProgress(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]server.StreamableHTTPOption{"plain": nil, "kept events": {server.WithEventStore(server.NewInMemoryEventStore())}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, stateless bool, version string) {
				f, sent := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, options: options})
				token := f.withScopes(lateScopes)
				id := f.lateSession(t, token, stateless, version)
				for _, c := range []struct{ method, name, params string }{
					{"tools/call", "progress", `"name":"progress"`},
					{"tools/call", "silent_progress", `"name":"silent_progress"`},
					{"prompts/get", "silent_progress", `"name":"silent_progress"`},
					{"resources/read", "late://progress", `"uri":"late://progress"`},
				} {
					resp := f.open(t, message{token: token, session: id, version: version, method: c.method, name: c.name, params: c.params, id: 7}) //nolint:bodyclose // the end of the test does
					stream := bufio.NewReader(resp.Body)
					event(t, stream, "notifications/progress")
					sent <- struct{}{}
					rest, err := io.ReadAll(stream)
					body := string(rest)
					isTool := strings.Contains(body, `"isError":true`)
					if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(body, "needs the scopes late") || !strings.Contains(body, "the backend says") ||
						isTool != (c.method == "tools/call") {
						t.Errorf("%s %s: status %d, %v, %s", c.method, c.params, resp.StatusCode, err, body)
					}
				}
			})
		})
	}
}

// TestLateTasks has tasks that learn late: they fail with an error that names the scopes.
func TestLateTasks(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f, _ := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		token := f.withScopes(lateScopes)
		id := f.lateSession(t, token, stateless, version)
		for range 5 {
			m := call(token, id, version, "late")
			m.params += `,"task":{}`
			got := f.ask(t, m)
			_, rest, created := strings.Cut(got.body, `"taskId":"`)
			if got.status != http.StatusOK || !created {
				t.Fatalf("no task: %+v", got)
			}
			task, _, _ := strings.Cut(rest, `"`)
			waitFor(t, "the task fails", func() bool {
				_, body := f.send(t, message{token: token, session: id, version: version, method: "tasks/get", name: task, id: 9, params: `"taskId":"` + task + `"`})
				return strings.Contains(body, `"failed"`) && strings.Contains(body, "needs the scopes late")
			})
		}
	})
}

// TestLateInMiddlewares has errors that come from middlewares of the application, inside and outside of those of Handler.
func TestLateInMiddlewares(t *testing.T) {
	t.Parallel()
	refuse := func(server.ToolHandlerFunc) server.ToolHandlerFunc {
		return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return nil, errNeedsLate }
	}
	for name, s := range map[string]setup{"outside": {server: []server.ServerOption{server.WithToolHandlerMiddleware(refuse)}}, "inside": {}} {
		s.sessions.Stateless = true
		f, _ := newLate(t, s)
		if name == "inside" {
			f.mcp.Use(refuse)
		}
		if got := f.ask(t, call(f.withScopes(lateScopes), "", legacy, "whoami")); got.status != http.StatusForbidden || !strings.Contains(got.header.Get("WWW-Authenticate"), `scope="base late"`) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestLateOfSeveralEndpoints has two endpoints of one server, which add their middlewares twice.
func TestLateOfSeveralEndpoints(t *testing.T) {
	t.Parallel()
	f, sent := newLate(t, setup{})
	again := f.replica(t, f.mcp, mcpauthmcpgo.Config{Stateless: true})
	for _, one := range []*fixture{f, again} {
		id := ""
		if one == f {
			id = f.initialize(t, f.withScopes(lateScopes))
		}
		if got := one.ask(t, call(f.withScopes(lateScopes), id, legacy, "silent")); got.status != http.StatusForbidden {
			t.Errorf("got %+v", got)
		}
		resp := one.open(t, call(f.withScopes(lateScopes), id, legacy, "silent_progress")) //nolint:bodyclose // the end of the test does
		stream := bufio.NewReader(resp.Body)
		event(t, stream, "notifications/progress")
		sent <- struct{}{}
		if body, err := io.ReadAll(stream); err != nil || strings.Count(string(body), "needs the scopes late") != 1 {
			t.Errorf("after progress: %s, %v", body, err)
		}
	}
}

// TestLateUnderLoad mixes calls that end in a challenge with others, of several users at a time. Each gets its own answer.
func TestLateUnderLoad(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f, _ := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		var wg sync.WaitGroup
		for user := range 4 {
			wg.Go(func() {
				name := fmt.Sprint("usr_load", user)
				token := f.env.Token(map[string]any{"sub": name, "scope": lateScopes})
				id := f.lateSession(t, token, stateless, version)
				for i := range 20 {
					got := f.ask(t, call(token, id, version, []string{"late", "whoami"}[i%2]))
					if late := i%2 == 0; late != (got.status == http.StatusForbidden) || late != (got.header.Get("WWW-Authenticate") != "") || late == strings.Contains(got.body, name) {
						t.Errorf("%s, call %d: %+v", name, i, got)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestLateOfAPublicTool has a tool that works without credentials, and learns late that this caller has to sign in.
func TestLateOfAPublicTool(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f, _ := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, mount: true, config: func(cfg *mcpauth.Config) {
			cfg.Policy = policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"late": {Public: true}}})
		}})
		id := f.lateSession(t, "", stateless, version)
		for _, c := range []struct {
			token  string
			status int
			want   string
		}{
			{"", http.StatusUnauthorized, `Bearer scope="base late"`},
			{f.withScopes("base"), http.StatusForbidden, `Bearer error="insufficient_scope", scope="base late"`},
		} {
			got := f.ask(t, call(c.token, id, version, "late"))
			if got.status != c.status || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), c.want) || strings.Contains(got.body, "jsonrpc") {
				t.Errorf("%+v, want %s", got, c.want)
			}
		}
	})
}

// TestLateInTheSameProcess has no HTTP request whose answer could be a challenge.
func TestLateInTheSameProcess(t *testing.T) {
	t.Parallel()
	f, _ := newLate(t, setup{})
	c, err := client.NewInProcessClient(f.mcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	start(t, c, legacy)
	if _, err := callTool(t.Context(), c, "late"); err == nil || !strings.Contains(err.Error(), "needs the scopes late") {
		t.Errorf("got %v", err)
	}
}

// TestLateWithAClient calls with mcp-go's client, which sees the 403.
func TestLateWithAClient(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f, _ := newLate(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		c := f.connect(t, version, func() string { return f.withScopes(lateScopes) })
		if _, err := callTool(t.Context(), c, "late"); err == nil || strings.Contains(err.Error(), "backend") {
			t.Errorf("without the scope: %v", err)
		}
	})
}

// TestStructuredToolHandler compares other outcomes with those of mcp-go's own handler.
func TestStructuredToolHandler(t *testing.T) {
	t.Parallel()
	type arguments struct{ Fail string }
	handle := func(_ context.Context, _ mcp.CallToolRequest, a arguments) (map[string]int, error) {
		if a.Fail != "" {
			return nil, errors.New(a.Fail)
		}
		return map[string]int{"n": 1}, nil
	}
	for _, given := range []any{map[string]any{}, map[string]any{"Fail": "no"}, "no object"} {
		var call mcp.CallToolRequest
		call.Params.Arguments = given
		got, err := mcpauthmcpgo.StructuredToolHandler(handle)(t.Context(), call)
		want, _ := mcp.NewStructuredToolHandler(handle)(t.Context(), call)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || err != nil {
			t.Errorf("%v: %+v, %v, want %+v", given, got, err, want)
		}
	}
}
