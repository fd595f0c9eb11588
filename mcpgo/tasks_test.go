package mcpauthmcpgo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// TestR69CallsAreCancelledByTheirUser: in mcp-go all messages without a session share one, and so the ids of their calls.
func TestR69CallsAreCancelledByTheirUser(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}})
		started, finish := make(chan struct{}, 1), make(chan struct{}, 1)
		f.mcp.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			started <- struct{}{}
			select {
			case <-ctx.Done():
				return mcp.NewToolResultText("cancelled"), nil
			case <-finish:
				return mcp.NewToolResultText("finished"), nil
			}
		})
		hers, theirs := f.sessionOf(t, ada, stateless, version), f.sessionOf(t, grace, stateless, version)
		answers := make(chan string, 1)
		wait := func() {
			m := call(f.token(ada), hers, version, "wait")
			m.id = 5
			go func() {
				_, body := f.send(t, m)
				answers <- body
			}()
			await(t, "the start of the call", started)
		}
		cancel := message{version: version, method: "notifications/cancelled", params: `"requestId":5`}

		wait()
		cancel.token, cancel.session = f.token(grace), theirs
		if status, body := f.send(t, cancel); status != http.StatusAccepted {
			t.Errorf("another user cancels: status %d: %s", status, body)
		}
		finish <- struct{}{}
		if got := await(t, "an answer", answers); !strings.Contains(got, "finished") {
			t.Errorf("after another user's cancellation: %s", got)
		}

		wait()
		cancel.token, cancel.session = f.token(ada), hers
		if status, body := f.send(t, cancel); status != http.StatusAccepted {
			t.Errorf("its own user cancels: status %d: %s", status, body)
		}
		if got := await(t, "an answer", answers); strings.Contains(got, "finished") {
			t.Errorf("after its own user's cancellation: %s", got)
		}
	})
}

var withTasks = server.WithTaskCapabilities(true, true, true)

// createTask has ada call a tool as a task, and returns the task's id.
func createTask(t *testing.T, f *fixture, session, version, tool string) string {
	t.Helper()
	return createTaskAs(t, f, f.token(ada), session, version, tool)
}

func createTaskAs(t *testing.T, f *fixture, token, session, version, tool string) string {
	t.Helper()
	m := call(token, session, version, tool)
	m.params += `,"task":{}`
	_, body := f.send(t, m)
	if _, data, ok := strings.Cut(body, "data: "); ok {
		body = data
	}
	var created struct {
		Result struct{ Task struct{ TaskID string } }
	}
	if err := json.Unmarshal([]byte(body), &created); err != nil || created.Result.Task.TaskID == "" {
		t.Fatalf("no task: %s, %v", body, err)
	}
	return created.Result.Task.TaskID
}

// TestR69TasksAreTheirUsers asks for a task, its result and its end as another user.
func TestR69TasksAreTheirUsers(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: []server.ServerOption{withTasks}})
		f.mcp.AddTool(mcp.NewTool("secret", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("the secret of " + caller(ctx)), nil
		})
		hers, theirs := f.sessionOf(t, ada, stateless, version), f.sessionOf(t, grace, stateless, version)
		id := createTask(t, f, hers, version, "secret")
		tried := 0
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/list", "tasks/cancel"} {
			m := message{token: f.token(grace), session: theirs, version: version, method: method, id: 9, params: `"taskId":"` + id + `"`, name: id}
			if method == "tasks/list" {
				m.params, m.name = `"cursor":""`, ""
			}
			_, body := f.send(t, m)
			if strings.Contains(body, "secret") || strings.Contains(body, `"taskId"`) {
				t.Errorf("%s: another user is told %s", method, body)
			}
			m.token, m.session = f.token(ada), hers
			if _, body = f.send(t, m); !strings.Contains(body, `"error"`) && strings.Contains(body, id) {
				tried++
			}
			if method == "tasks/result" && !strings.Contains(body, "the secret of "+ada) && version == legacy {
				t.Errorf("its own user is told %s", body)
			}
		}
		if tried == 0 {
			t.Error("its own user has no task")
		}
	})
}

// TestR69RunningTasks has a task that runs until it is cancelled, with a policy and without one, by tools of both kinds. Other users,
// and callers without credentials, neither learn of it nor end it, whatever they send.
func TestR69RunningTasks(t *testing.T) {
	t.Parallel()
	strict := mcpauth.Rules{Strict: true, Tools: map[string]mcpauth.Rule{"regular": {Scopes: []string{"run"}}, "task": {Scopes: []string{"run"}}, "whoami": {Public: true}}}
	for name, config := range map[string]func(*mcpauth.Config){
		"no policy": nil,
		"a policy":  func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, strict) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, stateless bool, version string) {
				f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: []server.ServerOption{withTasks}, config: config, mount: true})
				end := make(chan struct{})
				t.Cleanup(func() { close(end) })
				f.mcp.AddTool(mcp.NewTool("regular", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					<-end
					return mcp.NewToolResultText("done"), nil
				})
				f.mcp.AddTaskTool(mcp.NewTool("task", mcp.WithTaskSupport(mcp.TaskSupportRequired)), func(context.Context, mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
					<-end
					return &mcp.CreateTaskResult{}, nil
				})
				hers, theirs := f.sessionOf(t, ada, stateless, version), f.sessionOf(t, grace, stateless, version)
				owner := f.env.Token(map[string]any{"sub": ada, "scope": "run"})
				another := f.env.Token(map[string]any{"sub": grace, "scope": "run"})
				for _, tool := range []string{"regular", "task"} {
					id := createTaskAs(t, f, owner, hers, version, tool)
					about := func(token, session, method string) (int, string) {
						m := message{token: token, session: session, version: version, method: method, id: lastID.Add(1), params: `"taskId":"` + id + `"`, name: id}
						return f.send(t, m)
					}
					for _, method := range []string{"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update", "tasks/delete"} {
						if _, body := about(another, theirs, method); strings.Contains(body, "working") || strings.Contains(body, "cancelled") || strings.Contains(body, `"result":{"taskId"`) {
							t.Errorf("%s %s: another user is told %s", tool, method, body)
						}
						if hers != "" {
							if status, body := about(another, hers, method); status != http.StatusForbidden {
								t.Errorf("%s %s: another user on her MCP session: %d %s", tool, method, status, body)
							}
						}
						for _, session := range []string{"", hers} {
							if status, body := about("", session, method); status != http.StatusUnauthorized || strings.Contains(body, id) {
								t.Errorf("%s %s: without credentials: %d %s", tool, method, status, body)
							}
						}
					}
					if _, body := about(owner, hers, "tasks/get"); !strings.Contains(body, "working") {
						t.Errorf("%s: its owner is told %s", tool, body)
					}
					if _, body := about(owner, hers, "tasks/cancel"); !strings.Contains(body, `"cancelled"`) {
						t.Errorf("%s: its owner cancels: %s", tool, body)
					}
				}
			})
		})
	}
}

// TestR69TaskStatusIsDropped listens as two users while tasks of one end well and badly. mcp-go tells both.
func TestR69TaskStatusIsDropped(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]server.StreamableHTTPOption{"plain": nil, "kept events": {server.WithEventStore(server.NewInMemoryEventStore())}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{server: []server.ServerOption{withTasks}, options: options})
			hers, theirs := f.initialize(t, f.token(ada)), f.initialize(t, f.token(grace))
			streams := []*bufio.Reader{
				bufio.NewReader(f.open(t, message{http: http.MethodGet, token: f.token(ada), session: hers}).Body),     //nolint:bodyclose // the end of the test does
				bufio.NewReader(f.open(t, message{http: http.MethodGet, token: f.token(grace), session: theirs}).Body), //nolint:bodyclose // as above
			}
			ended := make(chan struct{}, 1)
			f.mcp.AddTool(mcp.NewTool("fail", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				defer func() { ended <- struct{}{} }()
				return nil, errors.New("ada's account is overdrawn")
			})
			id := createTask(t, f, hers, legacy, "fail")
			await(t, "the end of the task", ended)
			waitFor(t, "the task has failed", func() bool {
				_, body := f.send(t, message{token: f.token(ada), session: hers, method: "tasks/get", id: 9, params: `"taskId":"` + id + `"`})
				return strings.Contains(body, "overdrawn")
			})
			// What comes after it on a stream tells that it did not come.
			f.mcp.SendNotificationToAllClients("notifications/message", map[string]any{
				"level": "info", "data": map[string]any{"method": "notifications/tasks/status", "mark": true},
			})
			for i, stream := range streams {
				for {
					line, err := stream.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(line, "overdrawn") || strings.Contains(line, id) {
						t.Errorf("stream %d: %s", i, line)
					}
					if strings.Contains(line, `"mark":true`) {
						break
					}
				}
			}
		})
	}
}

// TestR96ContextOfATask looks at the context in which a task goes on after its call: it has the session of that call, for
// tools of both kinds, and mcp-go has cancelled it.
func TestR96ContextOfATask(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, stateless bool, version string) {
		f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: []server.ServerOption{withTasks}})
		said := make(chan string, 1)
		wait := func(ctx context.Context) {
			select {
			case <-ctx.Done():
				said <- caller(ctx)
			case <-time.After(deadline):
				said <- "it is not cancelled"
			}
		}
		f.mcp.AddTool(mcp.NewTool("regular", mcp.WithTaskSupport(mcp.TaskSupportOptional)), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			wait(ctx)
			return mcp.NewToolResultText("done"), nil
		})
		f.mcp.AddTaskTool(mcp.NewTool("task", mcp.WithTaskSupport(mcp.TaskSupportRequired)), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
			wait(ctx)
			return &mcp.CreateTaskResult{}, nil
		})
		session := f.sessionOf(t, ada, stateless, version)
		for _, tool := range []string{"regular", "task"} {
			createTask(t, f, session, version, tool)
			if got := await(t, "the end of the call's context", said); got != ada+" " {
				t.Errorf("%s: %s", tool, got)
			}
		}
	})
}
