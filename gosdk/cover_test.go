package mcpauthgosdk_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

func kindsAndNames(operations []mcpauth.Operation) string {
	var all []string
	for _, op := range operations {
		all = append(all, string(op.Kind)+" "+op.Name)
	}
	return strings.Join(all, ", ")
}

// TestUncovered lists what a server offers and no rule names, over several pages, with Hide and Attach on it.
func TestUncovered(t *testing.T) {
	t.Parallel()
	rules := shopRules
	rules.Strict = true // Hide would take out what is not listed
	rules.Check = func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return mcpauth.ErrHidden }
	policy := policyOf(t, rules)
	for _, hideFirst := range []bool{true, false} {
		server := newServer(&mcp.ServerOptions{PageSize: 1})
		inOrder(hideFirst, policy)(server)
		for range 2 {
			got, err := mcpauthgosdk.Uncovered(t.Context(), server, policy)
			if want := "tool help, prompt hello, resource about:shop, resource about:{page}"; err != nil || kindsAndNames(got) != want {
				t.Errorf("got %s, %v, want %s", kindsAndNames(got), err, want)
			}
		}
		mcp.AddTool(server, &mcp.Tool{Name: "new"}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return nil, nil, nil
		})
		if got, err := mcpauthgosdk.Uncovered(t.Context(), server, policy); err != nil || !strings.Contains(kindsAndNames(got), "tool new") {
			t.Errorf("a new tool: %s, %v", kindsAndNames(got), err)
		}
	}
}

// TestUncoveredWithoutAnything has a server that offers nothing, one whose middleware refuses, no policy, and a context
// that has ended.
func TestUncoveredWithoutAnything(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, shopRules)
	empty := mcp.NewServer(&mcp.Implementation{Name: "empty", Version: "1"}, nil)
	if got, err := mcpauthgosdk.Uncovered(t.Context(), empty, policy); err != nil || len(got) > 0 {
		t.Errorf("a server that offers nothing: %v, %v", got, err)
	}
	if rules, err := mcpauthgosdk.ToolRules(t.Context(), empty, nil); err != nil || len(rules) > 0 {
		t.Errorf("its rules: %v, %v", rules, err)
	}
	if _, err := mcpauthgosdk.Uncovered(t.Context(), empty, nil); err == nil || !strings.Contains(err.Error(), "NewPolicy") {
		t.Errorf("without a policy: %v", err)
	}
	if _, err := mcpauthgosdk.Uncovered(t.Context(), nil, policy); err == nil || !strings.Contains(err.Error(), "NewServer") {
		t.Errorf("without a server: %v", err)
	}
	if _, err := mcpauthgosdk.ToolRules(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "NewServer") {
		t.Errorf("rules without a server: %v", err)
	}
	for _, method := range []string{"initialize", "tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
		server := newServer(new(mcp.ServerOptions))
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, called string, req mcp.Request) (mcp.Result, error) {
				if called == method || method == "initialize" && called == "server/discover" {
					return nil, errors.New("no session")
				}
				return next(ctx, called, req)
			}
		})
		if got, err := mcpauthgosdk.Uncovered(t.Context(), server, policy); err == nil || got != nil {
			t.Errorf("%s is refused: %v, %v", method, got, err)
		}
		if rules, err := mcpauthgosdk.ToolRules(t.Context(), server, func(*mcp.Tool) mcpauth.Rule { return mcpauth.Rule{} }); method == "tools/list" && (err == nil || rules != nil) {
			t.Errorf("%s is refused: %v, %v", method, rules, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := mcpauthgosdk.Uncovered(ended, newServer(new(mcp.ServerOptions)), policy); err == nil {
		t.Errorf("with a context that has ended: %v", got)
	}
}

// TestToolRules derives rules from annotations, names and _meta, over several pages.
func TestToolRules(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1"}, &mcp.ServerOptions{PageSize: 2})
	for _, tool := range []*mcp.Tool{
		{Name: "read", Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true}},
		{Name: "write"},
		{Name: "annotated", Annotations: new(mcp.ToolAnnotations)},
		{Name: "admin_reset"},
		{Name: "tagged", Meta: mcp.Meta{"team": "billing"}},
	} {
		mcp.AddTool(server, tool, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return nil, nil, nil
		})
	}
	mcpauthgosdk.Attach(server)
	rules, err := mcpauthgosdk.ToolRules(t.Context(), server, func(tool *mcp.Tool) mcpauth.Rule {
		team, _ := tool.Meta["team"].(string)
		switch {
		case strings.HasPrefix(tool.Name, "admin_"):
			return mcpauth.Rule{Roles: []string{"admin"}}
		case team != "":
			return mcpauth.Rule{Permissions: []string{team}}
		case tool.Annotations != nil && tool.Annotations.ReadOnlyHint:
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
	if open, err := mcpauthgosdk.Uncovered(t.Context(), server, policy); err != nil || len(open) > 0 {
		t.Errorf("uncovered: %v, %v", open, err)
	}
}
