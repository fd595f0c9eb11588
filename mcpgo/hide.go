package mcpauthmcpgo

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Hide removes from the answers to tools/list, prompts/list, resources/list and resources/templates/list what the caller of
// that request must not see, as [mcpauth.Policy.Visible] says. What only scopes are missing for stays in the list, unless its
// rule says Hide, so that clients call it and ask their users for the scopes. A request that did not come through [Handler],
// as over stdio, is that of a caller without scopes and claims.
//
// Hide works by hooks. hooks are those that the server was given by server.WithHooks, because that option replaces the hooks
// that a server has; nil if it was given none. Hide adds to them. It panics when s has other hooks, and when s or policy
// is nil. Call it once for a server, before or after Handler.
//
// Hiding does not protect: what is not shown can still be called. [mcpauth.Config].Policy, or
// [mcpauth.ResourceServer.RequireOperations] in front of Handler, refuses such calls; give them the same policy. mcp-go's
// own filters (server.WithToolFilter, server.WithPromptFilter) do not suit: they also refuse calls, with an error that does
// not name the scopes to ask for, and there are none for resources.
//
// The answers are marked "cacheScope": "private" (MCP 2026-07-28), so that no cache between server and client hands one
// caller's list to another. So are the contents of resources that a rule or Check is about. The ttlMs of what is marked is
// 0, unless an earlier hook has set it: mcp-go does not tell hooks what server.WithCacheHints says.
//
// A page can be shorter than server.WithPaginationLimit, or empty, and still have a next one. mcp-go's cursor is the name of
// the last entry of a page, which may be hidden. So callers get it sealed with [Config.Key]; it is good for a day, and for
// the same user.
//
// All callers see the server's instructions and capabilities, notifications of changed lists, and completions.
//
// A hook that is added later runs after Hide: items that it adds are not hidden.
func Hide(s *server.MCPServer, hooks *server.Hooks, policy *mcpauth.Policy) {
	if policy == nil {
		panic("mcpauthmcpgo: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	}
	hide(hooksFor(s, hooks), policy)
}

// hooksFor returns the hooks of a server, which are hooks unless that is nil.
func hooksFor(s *server.MCPServer, hooks *server.Hooks) *server.Hooks {
	switch {
	case s == nil:
		panic("mcpauthmcpgo: nil *server.MCPServer; give that of server.NewMCPServer")
	case hooks != nil && s.GetHooks() == nil:
		server.WithHooks(hooks)(s)
	case hooks != nil && s.GetHooks() != hooks:
		panic("mcpauthmcpgo: the server has other hooks; give those that server.WithHooks was given")
	}
	return hooksOf(s)
}

// hide adds the hooks of Hide.
func hide(hooks *server.Hooks, policy *mcpauth.Policy) {
	hooks.AddBeforeListTools(func(ctx context.Context, _ any, req *mcp.ListToolsRequest) {
		openCursor(ctx, mcp.MethodToolsList, &req.PaginatedRequest)
	})
	hooks.AddAfterListTools(func(ctx context.Context, _ any, _ *mcp.ListToolsRequest, result *mcp.ListToolsResult) {
		sealPage(ctx, mcp.MethodToolsList, &result.PaginatedResult)
		result.Tools = filtered(ctx, policy, mcpauth.OperationTool, result.Tools, func(tool mcp.Tool) string { return tool.Name })
	})
	hooks.AddBeforeListPrompts(func(ctx context.Context, _ any, req *mcp.ListPromptsRequest) {
		openCursor(ctx, mcp.MethodPromptsList, &req.PaginatedRequest)
	})
	hooks.AddAfterListPrompts(func(ctx context.Context, _ any, _ *mcp.ListPromptsRequest, result *mcp.ListPromptsResult) {
		sealPage(ctx, mcp.MethodPromptsList, &result.PaginatedResult)
		result.Prompts = filtered(ctx, policy, mcpauth.OperationPrompt, result.Prompts, func(prompt mcp.Prompt) string { return prompt.Name })
	})
	hooks.AddBeforeListResources(func(ctx context.Context, _ any, req *mcp.ListResourcesRequest) {
		openCursor(ctx, mcp.MethodResourcesList, &req.PaginatedRequest)
	})
	hooks.AddAfterListResources(func(ctx context.Context, _ any, _ *mcp.ListResourcesRequest, result *mcp.ListResourcesResult) {
		sealPage(ctx, mcp.MethodResourcesList, &result.PaginatedResult)
		result.Resources = filtered(ctx, policy, mcpauth.OperationResource, result.Resources, func(resource mcp.Resource) string { return resource.URI })
	})
	hooks.AddBeforeListResourceTemplates(func(ctx context.Context, _ any, req *mcp.ListResourceTemplatesRequest) {
		openCursor(ctx, mcp.MethodResourcesTemplatesList, &req.PaginatedRequest)
	})
	hooks.AddAfterListResourceTemplates(func(ctx context.Context, _ any, _ *mcp.ListResourceTemplatesRequest, result *mcp.ListResourceTemplatesResult) {
		sealPage(ctx, mcp.MethodResourcesTemplatesList, &result.PaginatedResult)
		result.ResourceTemplates = filtered(ctx, policy, mcpauth.OperationResource, result.ResourceTemplates, templateURI)
	})
	hooks.AddAfterReadResource(func(ctx context.Context, _ any, req *mcp.ReadResourceRequest, result *mcp.ReadResourceResult) {
		if !policy.IsOpen(mcpauth.OperationResource, req.Params.URI) {
			keepPrivate(ctx, &result.CacheableResult)
		}
	})
}

func templateURI(template mcp.ResourceTemplate) string {
	if template.URITemplate == nil {
		return ""
	}
	return template.URITemplate.Raw()
}

const (
	cursorTTL     = 24 * time.Hour
	cursorPurpose = "mcpauthmcpgo cursor of "

	// invalidCursor is not base64. mcp-go answers to it that the parameters are invalid.
	invalidCursor = "!"
)

// openCursor replaces the cursor that a client sends by mcp-go's own.
func openCursor(ctx context.Context, method mcp.MCPMethod, req *mcp.PaginatedRequest) {
	c := callIn(ctx)
	if c == nil || req.Params.Cursor == "" {
		return
	}
	cursor, err := c.handler.sealer.Open(c.reader(), cursorPurpose+string(method), string(req.Params.Cursor))
	if err != nil {
		cursor = []byte(invalidCursor)
	}
	req.Params.Cursor = mcp.Cursor(cursor)
}

// sealPage makes a page the caller's own.
func sealPage(ctx context.Context, method mcp.MCPMethod, page *mcp.PaginatedResult) {
	keepPrivate(ctx, &page.CacheableResult)
	c := callIn(ctx)
	if c == nil || page.NextCursor == "" {
		return
	}
	cursor, err := c.handler.sealer.Seal(c.reader(), cursorPurpose+string(method), []byte(page.NextCursor), cursorTTL)
	if err != nil {
		cursor = "" // the name has more than 384 KiB: the list ends here
	}
	page.NextCursor = mcp.Cursor(cursor)
}

// reader returns for whom cursors are sealed: the caller, or all callers without credentials together, as a session without a
// user.
func (c *call) reader() *mcpauth.Session {
	if c.session == nil {
		return new(mcpauth.Session)
	}
	return c.session
}

// keepPrivate lets only the requesting user's client keep a result. Versions of MCP before 2026-07-28 have no word for it.
func keepPrivate(ctx context.Context, result *mcp.CacheableResult) {
	if info := server.RequestProtocolInfoFromContext(ctx); info == nil || !info.Modern {
		return
	}
	ttl, _ := result.TTL()
	result.SetCacheHints(ttl, mcp.CacheScopePrivate)
}

// filtered returns what the caller sees of all. It is a new slice, because the old one may be shared with other calls, and
// never nil, which would be null in JSON.
func filtered[T any](ctx context.Context, policy *mcpauth.Policy, kind mcpauth.OperationKind, all []T, name func(T) string) []T {
	if ctx.Value(wholeKey{}) != nil {
		return all
	}
	var session *mcpauth.Session
	if c := callIn(ctx); c != nil {
		session = c.session
	}
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = name(one)
	}
	shown := make([]T, 0, len(all))
	for i, visible := range policy.Visible(ctx, session, kind, names) {
		if visible {
			shown = append(shown, all[i])
		}
	}
	return shown
}
