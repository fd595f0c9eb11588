package mcpauthgosdk

import (
	"context"
	"crypto/rand"
	"maps"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Hide removes from the answers to tools/list, prompts/list, resources/list and resources/templates/list what the caller of
// that request must not see, as [mcpauth.Policy.Visible] says. What only scopes are missing for stays in the list, unless its
// rule says Hide, so that clients call it and ask their users for the scopes. A request without a session, as over stdio, is
// that of a caller without scopes and claims. The server's HTTP handler has to be wrapped by [Handler]. Hide may come before
// [Attach] or after it.
//
// Hiding does not protect: what is not shown can still be called. [mcpauth.ResourceServer.RequireOperations], in front of
// Handler, refuses such calls; give it the same policy.
//
// The answers are marked "cacheScope": "private" (MCP 2026-07-28), so that no cache between server and client hands one
// caller's list to another. So are the contents of resources that a rule or Check is about, which the go-sdk would mark
// "public". ttlMs stays as the server sets it: a client may use its list for that long, whatever its next token allows.
//
// A page can be shorter than ServerOptions.PageSize, or empty, and still have a next one. The go-sdk's cursor holds the name of
// the last entry of a page, which may be hidden. So callers get it sealed; it is good for a day, for the same user and in this
// process. [HideWithSealer] is for replicas that answer for each other.
//
// All callers see the server's instructions and capabilities, notifications of changed lists, and completions.
//
// A receiving middleware that is added to server later runs around Hide: items that it adds are not hidden, and an answer
// that it caches was made for one caller.
func Hide(server *mcp.Server, policy *mcpauth.Policy) {
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(rand.Text() + rand.Text()))
	if err != nil {
		panic("mcpauthgosdk: " + err.Error()) // unreachable: the key is long enough
	}
	HideWithSealer(server, policy, sealer)
}

// HideWithSealer is [Hide] with a sealer for the cursors of pages. If the replicas behind one address have sealers with the
// same keys, each accepts the cursors of the others. With another key, or after a day, a cursor gets the go-sdk's error for
// one that it can't read, and the client begins anew. It panics when policy or sealer is nil.
func HideWithSealer(server *mcp.Server, policy *mcpauth.Policy, sealer *mcpauth.Sealer) {
	if policy == nil {
		panic("mcpauthgosdk: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	}
	if sealer == nil {
		panic("mcpauthgosdk: nil *mcpauth.Sealer; check the error of mcpauth.NewSealer, or use mcpauthgosdk.Hide")
	}
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if ctx.Value(wholeKey{}) != nil {
				return next(ctx, method, req)
			}
			cursors := cursorsOf(sealer, method, req)
			result, err := next(ctx, method, cursors.opened(req))
			if err != nil {
				return nil, err
			}
			return cursors.sealed(visible(ctx, policy, req, result))
		}
	})
}

// private is the cache scope of answers that only the requesting user's client may keep.
const private = "private"

// visible returns what the caller of req may see of result. Results may be shared with other calls, by a handler or
// another middleware: it changes copies.
func visible(ctx context.Context, policy *mcpauth.Policy, req mcp.Request, result mcp.Result) mcp.Result {
	f := filter{ctx, policy, sessionOf(infoOf(req))}
	switch whole := result.(type) {
	case *mcp.ListToolsResult:
		shown := *whole
		shown.Meta, shown.CacheScope = maps.Clone(whole.Meta), private
		shown.Tools = filtered(f, mcpauth.OperationTool, whole.Tools, func(tool *mcp.Tool) string { return tool.Name })
		return &shown
	case *mcp.ListPromptsResult:
		shown := *whole
		shown.Meta, shown.CacheScope = maps.Clone(whole.Meta), private
		shown.Prompts = filtered(f, mcpauth.OperationPrompt, whole.Prompts, func(prompt *mcp.Prompt) string { return prompt.Name })
		return &shown
	case *mcp.ListResourcesResult:
		shown := *whole
		shown.Meta, shown.CacheScope = maps.Clone(whole.Meta), private
		shown.Resources = filtered(f, mcpauth.OperationResource, whole.Resources, func(resource *mcp.Resource) string { return resource.URI })
		return &shown
	case *mcp.ListResourceTemplatesResult:
		shown := *whole
		shown.Meta, shown.CacheScope = maps.Clone(whole.Meta), private
		shown.ResourceTemplates = filtered(f, mcpauth.OperationResource, whole.ResourceTemplates, func(template *mcp.ResourceTemplate) string { return template.URITemplate })
		return &shown
	case *mcp.ReadResourceResult:
		params, ok := req.GetParams().(*mcp.ReadResourceParams)
		if ok && policy.IsOpen(mcpauth.OperationResource, params.URI) {
			return result
		}
		shown := *whole
		shown.Meta, shown.CacheScope = maps.Clone(whole.Meta), private
		return &shown
	}
	return result
}

// A filter asks a policy what one caller sees.
type filter struct {
	ctx     context.Context
	policy  *mcpauth.Policy
	session *mcpauth.Session
}

// filtered returns a new slice, never nil, which would be null on the wire.
func filtered[T any](f filter, kind mcpauth.OperationKind, all []T, name func(T) string) []T {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = name(one)
	}
	shown := make([]T, 0, len(all))
	for i, visible := range f.policy.Visible(f.ctx, f.session, kind, names) {
		if visible {
			shown = append(shown, all[i])
		}
	}
	return shown
}
