package mcpauthmcpgo

import (
	"context"
	"crypto/rand"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Hide takes from the answers to tools/list, prompts/list, resources/list and resources/templates/list what policy does
// not allow to the session of that very request. A request that did not come through [Handler], as over stdio, is shown
// what needs no scope.
//
// It works by hooks. server.WithHooks replaces the hooks that a server has, so hooks are those that it was given, to which
// Hide adds: nil when it was given none. Hide panics when mcp has other hooks, and when mcp or policy is nil. Call it once
// for a server, in any order with Handler.
//
// Hiding protects nothing: what is not shown can still be called. [mcpauth.ResourceServer.RequireOperations], in
// front of Handler, is what refuses. mcp-go's own filters (server.WithToolFilter, server.WithPromptFilter) block calls
// too, with an error from which a client does not learn which scopes to ask for; for resources there is none. Nor does a
// client ask its user for scopes that only hidden tools need, because it never calls them: list in policy what callers
// without the scopes should not know of, which may be less than what is refused.
//
// The answers are marked "cacheScope": "private" (MCP 2026-07-28), so that no cache between server and client hands one
// caller's list to another. So are the contents of resources that need a scope. The ttlMs of a list is 0 then, whatever
// server.WithCacheHints says, which mcp-go applies only to answers without a scope; one that a hook has set before stays.
//
// A page can be shorter than server.WithPaginationLimit, or empty, and still have a next one. Cursors are sealed with
// [Config.Key]: those of mcp-go are names of entries.
//
// All callers are shown the server's instructions and capabilities, that a list has changed, and what the server completes.
//
// A hook that is added to the server later sees the answers after Hide: what it adds is not hidden.
func Hide(mcp *server.MCPServer, hooks *server.Hooks, policy *mcpauth.OperationPolicy) {
	switch {
	case policy == nil:
		panic("mcpauthmcpgo: nil *mcpauth.OperationPolicy; did mcpauth.NewOperationPolicy return an error?")
	case mcp == nil:
		panic("mcpauthmcpgo: nil *server.MCPServer")
	case hooks != nil && mcp.GetHooks() == nil:
		server.WithHooks(hooks)(mcp)
	case hooks != nil && mcp.GetHooks() != hooks:
		panic("mcpauthmcpgo: the server has other hooks; give Hide those that server.WithHooks was given")
	}
	key := make([]byte, minKeyBytes)
	_, _ = rand.Read(key) // never fails
	h := &hider{policy: policy, cursors: newCursors(key)}
	h.add(hooksOf(mcp))
}

type hider struct {
	policy  *mcpauth.OperationPolicy
	cursors *cursors // of requests that did not come through Handler
}

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

// open undoes what seal did to the cursor that a client sends.
func (h *hider) open(ctx context.Context, method protocol.MCPMethod, req *protocol.PaginatedRequest) {
	req.Params.Cursor = cursorsOf(ctx, h.cursors).open(method, req.Params.Cursor)
}

// seal makes a page the caller's own, and returns the caller's session, nil without one.
func (h *hider) seal(ctx context.Context, method protocol.MCPMethod, page *protocol.PaginatedResult) *mcpauth.Session {
	page.NextCursor = cursorsOf(ctx, h.cursors).seal(method, page.NextCursor)
	keepPrivate(ctx, &page.CacheableResult)
	if c := callIn(ctx); c != nil {
		return c.session
	}
	return nil
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
