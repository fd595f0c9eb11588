package mcpauthmcpgo_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

func kindsAndNames(operations []mcpauth.Operation) string {
	var all []string
	for _, op := range operations {
		all = append(all, string(op.Kind)+" "+op.Name)
	}
	return strings.Join(all, ", ")
}

// TestUncovered lists what a server offers and no rule names, over several pages, with Hide and Handler on it.
func TestUncovered(t *testing.T) {
	t.Parallel()
	rules := shopRules
	rules.Strict = true // Hide would take out what is not listed
	rules.Check = func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return mcpauth.ErrHidden }
	policy := policyOf(t, rules)
	for _, options := range [][]server.ServerOption{{withTasks}, {withTasks, server.WithPaginationLimit(1)}} {
		f := newFixture(t, setup{server: options, prepare: hiding(policy)})
		for range 2 {
			got, err := mcpauthmcpgo.Uncovered(t.Context(), f.mcp, policy)
			if want := "tool help, prompt hello, prompt whoami, resource about:shop, resource about:{page}"; err != nil || kindsAndNames(got) != want {
				t.Errorf("got %s, %v, want %s", kindsAndNames(got), err, want)
			}
		}
		f.mcp.AddTool(mcp.NewTool("new"), nil)
		f.mcp.AddTaskTool(mcp.NewTool("new_task", mcp.WithTaskSupport(mcp.TaskSupportRequired)), nil)
		if got, err := mcpauthmcpgo.Uncovered(t.Context(), f.mcp, policy); err != nil || !strings.Contains(kindsAndNames(got), "tool new, tool new_task") {
			t.Errorf("new tools: %s, %v", kindsAndNames(got), err)
		}
		// Requests see what Hide leaves, before and after.
		if _, body := f.send(t, message{token: f.token(ada), session: f.initialize(t, f.token(ada)), method: "tools/list", id: 1}); !strings.Contains(body, `"tools":[]`) {
			t.Errorf("a client sees %s", body)
		}
	}
}

// TestUncoveredWithoutAnything has a server that offers nothing, one whose hook refuses, no server, no policy, and a context
// that has ended.
func TestUncoveredWithoutAnything(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, shopRules)
	none := func(mcp.Tool) mcpauth.Rule { return mcpauth.Rule{} }
	for name, s := range map[string]*server.MCPServer{
		"nothing":      server.NewMCPServer("empty", "1"),
		"capabilities": server.NewMCPServer("empty", "1", server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithResourceCapabilities(true, true)),
	} {
		if got, err := mcpauthmcpgo.Uncovered(t.Context(), s, policy); err != nil || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if rules, err := mcpauthmcpgo.ToolRules(t.Context(), s, none); err != nil || rules == nil || len(rules) > 0 {
			t.Errorf("%s: the rules are %v, %v", name, rules, err)
		}
	}
	hooks := new(server.Hooks)
	hooks.AddOnRequestInitialization(func(context.Context, any, any) error { return errors.New("not now") })
	refusing := newServer(server.WithHooks(hooks))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, c := range map[string]struct {
		ctx    context.Context
		mcp    *server.MCPServer
		policy *mcpauth.Policy
	}{
		"NewPolicy":    {t.Context(), newServer(), nil},
		"NewMCPServer": {t.Context(), nil, policy},
		"not now":      {t.Context(), refusing, policy},
		"canceled":     {ended, newServer(), policy},
	} {
		if got, err := mcpauthmcpgo.Uncovered(c.ctx, c.mcp, c.policy); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, got, err)
		}
		if rules, err := mcpauthmcpgo.ToolRules(c.ctx, c.mcp, none); c.policy != nil && (rules != nil || err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", want, rules, err)
		}
	}
}

// TestToolRules derives rules from annotations, names and _meta, over several pages.
func TestToolRules(t *testing.T) {
	t.Parallel()
	s := server.NewMCPServer("shop", "1", server.WithPaginationLimit(2))
	tagged := mcp.NewTool("tagged")
	tagged.Meta = &mcp.Meta{AdditionalFields: map[string]any{"team": "billing"}}
	for _, tool := range []mcp.Tool{
		mcp.NewTool("read", mcp.WithReadOnlyHintAnnotation(true)), mcp.NewTool("write"), {Name: "annotated"}, mcp.NewTool("admin_reset"), tagged,
	} {
		s.AddTool(tool, nil)
	}
	rules, err := mcpauthmcpgo.ToolRules(t.Context(), s, func(tool mcp.Tool) mcpauth.Rule {
		team := ""
		if tool.Meta != nil {
			team, _ = tool.Meta.AdditionalFields["team"].(string)
		}
		readOnly := tool.Annotations.ReadOnlyHint
		switch {
		case strings.HasPrefix(tool.Name, "admin_"):
			return mcpauth.Rule{Roles: []string{"admin"}}
		case team != "":
			return mcpauth.Rule{Permissions: []string{team}}
		case readOnly != nil && *readOnly:
			return mcpauth.Rule{}
		}
		return mcpauth.Rule{Scopes: []string{"write"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	policy := policyOf(t, mcpauth.Rules{Tools: rules})
	want := `tool admin_reset: a role of admin
tool annotated: scopes write
tool read: every authenticated caller
tool tagged: permissions billing
tool write: scopes write
others: every authenticated caller
`
	if got := policy.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if open, err := mcpauthmcpgo.Uncovered(t.Context(), s, policy); err != nil || len(open) > 0 {
		t.Errorf("uncovered: %v, %v", open, err)
	}
}
