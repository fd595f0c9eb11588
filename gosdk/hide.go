package mcpauthgosdk

import (
	"context"
	"maps"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Hide removes from the answers to tools/list, prompts/list, resources/list and resources/templates/list what policy does
// not allow to the session of that request. A request without a session, as over stdio, is shown what needs no scope. The
// server's HTTP handler has to be wrapped by [Handler]. Hide may come before [Attach] or after it.
//
// Hiding does not protect: what is not shown can still be called. [mcpauth.ResourceServer.RequireOperations], in front of
// Handler, refuses such calls. A client never asks its user for scopes that only hidden tools need, because it never calls
// them. So list in Hide's policy only what callers without the scopes must not know of; that may be less than what is
// refused.
//
// The answers are marked "cacheScope": "private" (MCP 2026-07-28), so that no cache between server and client hands one
// caller's list to another. So are the contents of resources that need a scope, which the go-sdk would mark "public". ttlMs
// stays as the server sets it: a client may use its list for that long, whatever its next token allows.
//
// A page can be shorter than ServerOptions.PageSize, or empty, and still have a next one.
//
// All callers see the server's instructions and capabilities, notifications of changed lists, and completions.
//
// A receiving middleware that is added to server later runs around Hide: items that it adds are not hidden, and an answer
// that it caches was made for one caller.
func Hide(server *mcp.Server, policy *mcpauth.OperationPolicy) {
	if policy == nil {
		panic("mcpauthgosdk: nil *mcpauth.OperationPolicy; check the error of mcpauth.NewOperationPolicy")
	}
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			result, err := next(ctx, method, req)
			if err != nil {
				return nil, err
			}
			return visible(policy, req, result), nil
		}
	})
}

// private is the cache scope of answers that only the requesting user's client may keep.
const private = "private"

// visible returns what the caller of req may see of result. It changes only copies, because a handler or another middleware
// may share results between calls.
func visible(policy *mcpauth.OperationPolicy, req mcp.Request, result mcp.Result) mcp.Result {
	session := sessionOf(infoOf(req))
	switch whole := result.(type) {
	case *mcp.ListToolsResult:
		shown := *whole
		shown.Meta = maps.Clone(whole.Meta)
		shown.CacheScope = private
		shown.Tools = filtered(whole.Tools, func(tool *mcp.Tool) bool { return policy.AllowsTool(session, tool.Name) })
		return &shown
	case *mcp.ListPromptsResult:
		shown := *whole
		shown.Meta = maps.Clone(whole.Meta)
		shown.CacheScope = private
		shown.Prompts = filtered(whole.Prompts, func(prompt *mcp.Prompt) bool { return policy.AllowsPrompt(session, prompt.Name) })
		return &shown
	case *mcp.ListResourcesResult:
		shown := *whole
		shown.Meta = maps.Clone(whole.Meta)
		shown.CacheScope = private
		shown.Resources = filtered(whole.Resources, func(resource *mcp.Resource) bool { return policy.AllowsResource(session, resource.URI) })
		return &shown
	case *mcp.ListResourceTemplatesResult:
		shown := *whole
		shown.Meta = maps.Clone(whole.Meta)
		shown.CacheScope = private
		shown.ResourceTemplates = filtered(whole.ResourceTemplates, func(template *mcp.ResourceTemplate) bool {
			return policy.AllowsResource(session, template.URITemplate)
		})
		return &shown
	case *mcp.ReadResourceResult:
		params, ok := req.GetParams().(*mcp.ReadResourceParams)
		if ok && policy.AllowsResource(nil, params.URI) {
			return result // it needs no scope
		}
		shown := *whole
		shown.Meta = maps.Clone(whole.Meta)
		shown.CacheScope = private
		return &shown
	}
	return result
}

// filtered returns a new slice. It is never nil, because that would be null on the wire.
func filtered[T any](all []T, allowed func(T) bool) []T {
	shown := make([]T, 0, len(all))
	for _, one := range all {
		if allowed(one) {
			shown = append(shown, one)
		}
	}
	return shown
}
