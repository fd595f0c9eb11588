package mcpauthgosdk

import (
	"context"
	"errors"
	"iter"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Uncovered returns what server offers and no rule of policy names: its tools, prompts, resources and templates of resources,
// in this order and each kind as the server lists it. A test that wants none fails when a new tool has no rule:
//
//	open, err := mcpauthgosdk.Uncovered(ctx, server, policy)
//	if err != nil || len(open) > 0 {
//		t.Errorf("without a rule: %v, %v", open, err)
//	}
//
// That [mcpauth.Rules.Check] may refuse them does not count. [Hide] takes nothing out of these lists. An error is that of a
// receiving middleware of the server, which is asked without a session.
func Uncovered(ctx context.Context, server *mcp.Server, policy *mcpauth.Policy) ([]mcpauth.Operation, error) {
	if policy == nil {
		return nil, errors.New("mcpauthgosdk: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	}
	client, err := listing(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	u := uncovered{policy: policy}
	add(&u, mcpauth.OperationTool, client.Tools(ctx, nil), func(tool *mcp.Tool) string { return tool.Name })
	add(&u, mcpauth.OperationPrompt, client.Prompts(ctx, nil), func(prompt *mcp.Prompt) string { return prompt.Name })
	add(&u, mcpauth.OperationResource, client.Resources(ctx, nil), func(resource *mcp.Resource) string { return resource.URI })
	add(&u, mcpauth.OperationResource, client.ResourceTemplates(ctx, nil), func(template *mcp.ResourceTemplate) string { return template.URITemplate })
	return u.found, u.err
}

// ToolRules returns a rule for each tool that server has now, which is what rule returns for it: from its annotations, its
// name or its _meta. It is for the Tools of [mcpauth.Rules]. A tool that is added later has none, so that only a strict policy
// refuses it: see [Uncovered].
//
//	tools, err := mcpauthgosdk.ToolRules(ctx, server, func(tool *mcp.Tool) mcpauth.Rule {
//		if tool.Annotations != nil && tool.Annotations.ReadOnlyHint {
//			return mcpauth.Rule{Scopes: []string{"read"}}
//		}
//		return mcpauth.Rule{Scopes: []string{"read", "write"}}
//	})
//
// rule must not change the tool. An error is as with Uncovered; there are no rules then.
func ToolRules(ctx context.Context, server *mcp.Server, rule func(*mcp.Tool) mcpauth.Rule) (map[string]mcpauth.Rule, error) {
	client, err := listing(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	rules := make(map[string]mcpauth.Rule)
	for tool, err := range client.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		rules[tool.Name] = rule(tool)
	}
	return rules, nil
}

// uncovered are the operations without a rule so far, up to the first error.
type uncovered struct {
	policy *mcpauth.Policy
	found  []mcpauth.Operation
	err    error
}

func add[T any](u *uncovered, kind mcpauth.OperationKind, all iter.Seq2[T, error], name func(T) string) {
	for one, err := range all {
		if u.err != nil {
			return
		}
		if err != nil {
			u.found, u.err = nil, err
			return
		}
		if !u.policy.Covers(kind, name(one)) {
			u.found = append(u.found, mcpauth.Operation{Kind: kind, Name: name(one)})
		}
	}
}

// wholeKey is the key in the context of a connection whose lists Hide leaves as they are. Code in other packages can't set it.
type wholeKey struct{}

// listing connects a client to server that sees all of its lists.
func listing(ctx context.Context, server *mcp.Server) (*mcp.ClientSession, error) {
	if server == nil {
		return nil, errors.New("mcpauthgosdk: nil *mcp.Server; give that of mcp.NewServer")
	}
	here, there := mcp.NewInMemoryTransports()
	if _, err := server.Connect(context.WithValue(ctx, wholeKey{}, true), here, nil); err != nil {
		return nil, err
	}
	return mcp.NewClient(&mcp.Implementation{Name: "mcpauth", Version: "1"}, nil).Connect(ctx, there, nil)
}
