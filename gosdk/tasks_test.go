package mcpauthgosdk_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

var taskMethods = []string{"tasks/get", "tasks/update", "tasks/cancel", "tasks/list", "tasks/result"}

// TestTasksAreUnknown sends what SEP-2663 and MCP 2025-11-25 have for tasks to a server of the go-sdk, which has none: each method
// is unknown, under a strict policy too, and never public.
func TestTasksAreUnknown(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
		policy := policyOf(t, mcpauth.Rules{Strict: true, Tools: map[string]mcpauth.Rule{"whoami": {Public: true}}})
		f := newFixture(t, setup{
			stateless: stateless, http: mcp.StreamableHTTPOptions{JSONResponse: asJSON}, mount: true,
			config: func(cfg *mcpauth.Config) { cfg.Policy = policy },
		})
		token, id := f.env.Token(nil), ""
		if !stateless {
			id = f.open(t, token)
		}
		for _, method := range taskMethods {
			got := f.ask(t, version, token, id, method, `{"taskId":"task_1"}`)
			if !strings.Contains(got.body, `-32601`) && !strings.Contains(got.body, "unsupported") || strings.Contains(got.body, `"result"`) {
				t.Errorf("%s: %+v", method, got)
			}
			if got := f.ask(t, version, "", "", method, `{"taskId":"task_1"}`); got.status != http.StatusUnauthorized {
				t.Errorf("%s without credentials: %+v", method, got)
			}
		}
		if got := f.ask(t, version, token, id, "tools/call", `{"name":"whoami","arguments":{}}`); got.status != http.StatusOK {
			t.Errorf("another call afterwards: %+v", got)
		}
	})
}

type (
	taskParams struct {
		mcp.ParamsBase
		TaskID string `json:"taskId"`
	}
	taskResult struct {
		mcp.ResultBase
		Status string `json:"status"`
	}
)

// addTasks gives a server tasks of its own, whose handles are sealed for their users. Every method opens the handle first.
func addTasks(t *testing.T, server *mcp.Server, sealer *mcpauth.Sealer, ran *atomic.Int64) {
	t.Helper()
	mcp.AddTool(server, &mcp.Tool{Name: "start"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return nil, nil, err
		}
		handle, err := sealer.Seal(session, "task", []byte("task_1"), time.Hour)
		return text("handle " + handle + " end"), nil, err
	})
	for _, method := range taskMethods {
		err := mcp.AddReceivingCustomMethod(server, method, func(ctx context.Context, _ *mcp.ServerSession, params *taskParams) (*taskResult, error) {
			session, err := mcpauth.SessionFromContext(ctx)
			if err != nil {
				return nil, err
			}
			id, err := sealer.Open(session, "task", params.TaskID)
			if err != nil {
				return nil, errors.New("no such task")
			}
			ran.Add(1)
			return &taskResult{Status: session.UserID() + " has " + string(id)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mcpauthgosdk.Attach(server)
}

// TestR101TaskHandles has a server with tasks of its own. A handle works for its user, with a later token and on another MCP
// session, and for no other user, whatever is asked about the task.
func TestR101TaskHandles(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
		var ran atomic.Int64
		sealer := sealerOf(t, "k")
		f := newFixture(t, setup{
			stateless: stateless, http: mcp.StreamableHTTPOptions{JSONResponse: asJSON},
			attach: func(server *mcp.Server) { addTasks(t, server, sealer, &ran) },
		})
		user := func(sub string) (token, mcpSession string) {
			token = f.env.Token(map[string]any{"sub": sub})
			if !stateless {
				mcpSession = f.open(t, token)
			}
			return token, mcpSession
		}
		ada, adaSession := user("usr_ada")
		later, laterSession := user("usr_ada")
		eve, eveSession := user("usr_eve")
		_, handle, _ := strings.Cut(f.ask(t, version, ada, adaSession, "tools/call", `{"name":"start","arguments":{}}`).body, "handle ")
		handle, _, found := strings.Cut(handle, " end")
		if !found || strings.Contains(handle, "task_1") {
			t.Fatalf("the handle is %q", handle)
		}
		for _, method := range taskMethods {
			params := `{"taskId":"` + handle + `"}`
			for _, own := range [][2]string{{ada, adaSession}, {later, laterSession}} {
				if got := f.ask(t, version, own[0], own[1], method, params); got.status != http.StatusOK || !strings.Contains(got.body, "usr_ada has task_1") {
					t.Errorf("%s by its user: %+v", method, got)
				}
			}
			before := ran.Load()
			for name, c := range map[string][3]string{
				"another user":      {eve, eveSession, params},
				"a changed handle":  {ada, adaSession, `{"taskId":"` + flip(handle) + `"}`},
				"the task's own id": {ada, adaSession, `{"taskId":"task_1"}`},
				"no handle":         {ada, adaSession, `{"x":1}`},
				"another user on the owner's MCP session": {eve, adaSession, params},
			} {
				got := f.ask(t, version, c[0], c[1], method, c[2])
				if foreign := name == "another user on the owner's MCP session" && !stateless; foreign != (got.status == http.StatusForbidden) ||
					!foreign && !strings.Contains(got.body, "no such task") || strings.Contains(got.body, "has task_1") {
					t.Errorf("%s by %s: %+v", method, name, got)
				}
			}
			if ran.Load() != before {
				t.Errorf("%s ran for somebody else", method)
			}
		}
	})
}
