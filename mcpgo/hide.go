package mcpauthmcpgo

import (
	"context"
	"time"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Hide removes from the answers to tools/list, prompts/list, resources/list and resources/templates/list what policy does
// not allow to the session of that request. A request that did not come through [Handler], as over stdio, is shown what
// needs no scope.
//
// Hide works by hooks. hooks are those that the server was given by server.WithHooks, because that option replaces the hooks
// that a server has; nil if it was given none. Hide adds to them. It panics when mcp has other hooks, and when mcp or policy
// is nil. Call it once for a server, before or after Handler.
//
// Hiding does not protect: what is not shown can still be called. [mcpauth.ResourceServer.RequireOperations], in front of
// Handler, refuses such calls. A client never asks its user for scopes that only hidden tools need, because it never calls
// them. So list in Hide's policy only what callers without the scopes must not know of; that may be less than what is
// refused. mcp-go's own filters (server.WithToolFilter, server.WithPromptFilter) do not suit: they also refuse calls, with
// an error that does not name the scopes to ask for, and there are none for resources.
//
// The answers are marked "cacheScope": "private" (MCP 2026-07-28), so that no cache between server and client hands one
// caller's list to another. So are the contents of resources that need a scope. The ttlMs of what is marked is 0, unless an
// earlier hook has set it: mcp-go does not tell hooks what server.WithCacheHints says.
//
// A page can be shorter than server.WithPaginationLimit, or empty, and still have a next one. mcp-go's cursor is the name of
// the last entry of a page, which may be hidden. So callers get it sealed with [Config.Key]; it is good for a day, and for
// the same user.
//
// All callers see the server's instructions and capabilities, notifications of changed lists, and completions.
//
// A hook that is added later runs after Hide: items that it adds are not hidden.
func Hide(mcp *server.MCPServer, hooks *server.Hooks, policy *mcpauth.OperationPolicy) {
	switch {
	case policy == nil:
		panic("mcpauthmcpgo: nil *mcpauth.OperationPolicy; check the error of mcpauth.NewOperationPolicy")
	case mcp == nil:
		panic("mcpauthmcpgo: nil *server.MCPServer; give that of server.NewMCPServer")
	case hooks != nil && mcp.GetHooks() == nil:
		server.WithHooks(hooks)(mcp)
	case hooks != nil && mcp.GetHooks() != hooks:
		panic("mcpauthmcpgo: the server has other hooks; give Hide those that server.WithHooks was given")
	}
	(&hider{policy}).add(hooksOf(mcp))
}

type hider struct{ policy *mcpauth.OperationPolicy }

func (h *hider) add(hooks *server.Hooks) {
	hooks.AddBeforeListTools(func(ctx context.Context, _ any, req *protocol.ListToolsRequest) {
		h.open(ctx, protocol.MethodToolsList, &req.PaginatedRequest)
	})
	hooks.AddAfterListTools(func(ctx context.Context, _ any, _ *protocol.ListToolsRequest, result *protocol.ListToolsResult) {
		session := h.seal(ctx, protocol.MethodToolsList, &result.PaginatedResult)
		result.Tools = filtered(result.Tools, func(tool protocol.Tool) bool { return h.policy.AllowsTool(session, tool.Name) })
	})
	hooks.AddBeforeListPrompts(func(ctx context.Context, _ any, req *protocol.ListPromptsRequest) {
		h.open(ctx, protocol.MethodPromptsList, &req.PaginatedRequest)
	})
	hooks.AddAfterListPrompts(func(ctx context.Context, _ any, _ *protocol.ListPromptsRequest, result *protocol.ListPromptsResult) {
		session := h.seal(ctx, protocol.MethodPromptsList, &result.PaginatedResult)
		result.Prompts = filtered(result.Prompts, func(prompt protocol.Prompt) bool { return h.policy.AllowsPrompt(session, prompt.Name) })
	})
	hooks.AddBeforeListResources(func(ctx context.Context, _ any, req *protocol.ListResourcesRequest) {
		h.open(ctx, protocol.MethodResourcesList, &req.PaginatedRequest)
	})
	hooks.AddAfterListResources(func(ctx context.Context, _ any, _ *protocol.ListResourcesRequest, result *protocol.ListResourcesResult) {
		session := h.seal(ctx, protocol.MethodResourcesList, &result.PaginatedResult)
		result.Resources = filtered(result.Resources, func(resource protocol.Resource) bool { return h.policy.AllowsResource(session, resource.URI) })
	})
	hooks.AddBeforeListResourceTemplates(func(ctx context.Context, _ any, req *protocol.ListResourceTemplatesRequest) {
		h.open(ctx, protocol.MethodResourcesTemplatesList, &req.PaginatedRequest)
	})
	hooks.AddAfterListResourceTemplates(func(ctx context.Context, _ any, _ *protocol.ListResourceTemplatesRequest, result *protocol.ListResourceTemplatesResult) {
		session := h.seal(ctx, protocol.MethodResourcesTemplatesList, &result.PaginatedResult)
		result.ResourceTemplates = filtered(result.ResourceTemplates, func(template protocol.ResourceTemplate) bool {
			return template.URITemplate != nil && h.policy.AllowsResource(session, template.URITemplate.Raw())
		})
	})
	hooks.AddAfterReadResource(func(ctx context.Context, _ any, req *protocol.ReadResourceRequest, result *protocol.ReadResourceResult) {
		if !h.policy.AllowsResource(nil, req.Params.URI) { // it needs a scope
			keepPrivate(ctx, &result.CacheableResult)
		}
	})
}

const (
	cursorTTL     = 24 * time.Hour
	cursorPurpose = "mcpauthmcpgo cursor of "

	// invalidCursor is not base64. mcp-go answers to it that the parameters are invalid.
	invalidCursor = "!"
)

// open replaces the cursor that a client sends by mcp-go's own.
func (h *hider) open(ctx context.Context, method protocol.MCPMethod, req *protocol.PaginatedRequest) {
	c := callIn(ctx)
	if c == nil || req.Params.Cursor == "" {
		return
	}
	cursor, err := c.endpoint.sealer.Open(c.session, cursorPurpose+string(method), string(req.Params.Cursor))
	if err != nil {
		cursor = []byte(invalidCursor)
	}
	req.Params.Cursor = protocol.Cursor(cursor)
}

// seal makes a page the caller's own, and returns the caller's session, nil without one.
func (h *hider) seal(ctx context.Context, method protocol.MCPMethod, page *protocol.PaginatedResult) *mcpauth.Session {
	keepPrivate(ctx, &page.CacheableResult)
	c := callIn(ctx)
	if c == nil {
		return nil
	}
	if page.NextCursor != "" {
		cursor, err := c.endpoint.sealer.Seal(c.session, cursorPurpose+string(method), []byte(page.NextCursor), cursorTTL)
		if err != nil {
			cursor = "" // the name has more than 384 KiB: the list ends here
		}
		page.NextCursor = protocol.Cursor(cursor)
	}
	return c.session
}

// keepPrivate lets only the requesting user's client keep a result. Versions of MCP before 2026-07-28 have no word for it.
func keepPrivate(ctx context.Context, result *protocol.CacheableResult) {
	if info := server.RequestProtocolInfoFromContext(ctx); info == nil || !info.Modern {
		return
	}
	ttl, _ := result.TTL()
	result.SetCacheHints(ttl, protocol.CacheScopePrivate)
}

// filtered returns a new slice, never nil, which would be null on the wire. The old one may be shared with other calls.
func filtered[T any](all []T, allowed func(T) bool) []T {
	shown := make([]T, 0, len(all))
	for _, one := range all {
		if allowed(one) {
			shown = append(shown, one)
		}
	}
	return shown
}
