package mcpauthmcpgo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Uncovered returns what s offers and no rule of policy names: its tools, prompts, resources and templates of resources, in
// this order and each kind as s lists it. A test that wants none fails when a new tool has no rule:
//
//	open, err := mcpauthmcpgo.Uncovered(ctx, s, policy)
//	if err != nil || len(open) > 0 {
//		t.Errorf("without a rule: %v, %v", open, err)
//	}
//
// That [mcpauth.Rules.Check] may refuse them does not count. [Hide] takes nothing out of these lists; server.WithToolFilter and
// server.WithPromptFilter do, and are asked with ctx. What single MCP sessions have of their own (server.SessionWithTools) is not
// in them. An error is that of a hook of the server.
func Uncovered(ctx context.Context, s *server.MCPServer, policy *mcpauth.Policy) ([]mcpauth.Operation, error) {
	switch {
	case policy == nil:
		return nil, errors.New("mcpauthmcpgo: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	case s == nil:
		return nil, errors.New("mcpauthmcpgo: nil *server.MCPServer; give that of server.NewMCPServer")
	}
	tools, err1 := list[mcp.ListToolsResult](ctx, s, mcp.MethodToolsList)
	prompts, err2 := list[mcp.ListPromptsResult](ctx, s, mcp.MethodPromptsList)
	resources, err3 := list[mcp.ListResourcesResult](ctx, s, mcp.MethodResourcesList)
	templates, err4 := list[mcp.ListResourceTemplatesResult](ctx, s, mcp.MethodResourcesTemplatesList)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	var open []mcpauth.Operation
	add := func(kind mcpauth.OperationKind, name string) {
		if !policy.Covers(kind, name) {
			open = append(open, mcpauth.Operation{Kind: kind, Name: name})
		}
	}
	for _, page := range tools {
		for _, tool := range page.Tools {
			add(mcpauth.OperationTool, tool.Name)
		}
	}
	for _, page := range prompts {
		for _, prompt := range page.Prompts {
			add(mcpauth.OperationPrompt, prompt.Name)
		}
	}
	for _, page := range resources {
		for _, resource := range page.Resources {
			add(mcpauth.OperationResource, resource.URI)
		}
	}
	for _, page := range templates {
		for _, template := range page.ResourceTemplates {
			add(mcpauth.OperationResource, templateURI(template))
		}
	}
	return open, nil
}

// ToolRules returns a rule for each tool that s has now, which is what rule returns for it: from its annotations, its name or
// its _meta. It is for the Tools of [mcpauth.Rules]. A tool that is added later has none, so that only a strict policy refuses
// it: see [Uncovered].
//
//	tools, err := mcpauthmcpgo.ToolRules(ctx, s, func(tool mcp.Tool) mcpauth.Rule {
//		if readOnly := tool.Annotations.ReadOnlyHint; readOnly != nil && *readOnly {
//			return mcpauth.Rule{Scopes: []string{"read"}}
//		}
//		return mcpauth.Rule{Scopes: []string{"read", "write"}}
//	})
//
// An error is as with Uncovered; there are no rules then.
func ToolRules(ctx context.Context, s *server.MCPServer, rule func(mcp.Tool) mcpauth.Rule) (map[string]mcpauth.Rule, error) {
	if s == nil {
		return nil, errors.New("mcpauthmcpgo: nil *server.MCPServer; give that of server.NewMCPServer")
	}
	pages, err := list[mcp.ListToolsResult](ctx, s, mcp.MethodToolsList)
	if err != nil {
		return nil, err
	}
	rules := make(map[string]mcpauth.Rule)
	for _, page := range pages {
		for _, tool := range page.Tools {
			rules[tool.Name] = rule(tool)
		}
	}
	return rules, nil
}

// wholeKey is the key in the context of a message whose lists Hide leaves as they are. Code in other packages can't set it.
type wholeKey struct{}

// list returns all pages of a list of s, none if s has nothing of the kind.
func list[Page any](ctx context.Context, s *server.MCPServer, method mcp.MCPMethod) (pages []Page, err error) {
	ctx = context.WithValue(ctx, wholeKey{}, true)
	for cursor := mcp.Cursor(""); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		message, err := json.Marshal(map[string]any{
			"jsonrpc": mcp.JSONRPC_VERSION, "id": 1, "method": method, "params": map[string]any{"cursor": cursor},
		})
		if err != nil {
			return nil, err
		}
		switch answer := s.HandleMessage(ctx, message).(type) {
		case mcp.JSONRPCError:
			if answer.Error.Code == mcp.METHOD_NOT_FOUND {
				return nil, nil
			}
			return nil, fmt.Errorf("mcpauthmcpgo: %s: %s", method, answer.Error.Message)
		case mcp.JSONRPCResponse:
			page, ok := answer.Result.(Page)
			if !ok {
				return nil, fmt.Errorf("mcpauthmcpgo: the answer to %s has the type %T; use the version of mcp-go in mcpauthmcpgo's go.mod", method, answer.Result)
			}
			pages = append(pages, page)
			if cursor = nextCursor(page); cursor == "" {
				return pages, nil
			}
		default:
			return nil, fmt.Errorf("mcpauthmcpgo: no answer to %s", method)
		}
	}
}

func nextCursor(page any) mcp.Cursor {
	switch page := page.(type) {
	case mcp.ListToolsResult:
		return page.NextCursor
	case mcp.ListPromptsResult:
		return page.NextCursor
	case mcp.ListResourcesResult:
		return page.NextCursor
	case mcp.ListResourceTemplatesResult:
		return page.NextCursor
	}
	return ""
}
