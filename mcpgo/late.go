package mcpauthmcpgo

import (
	"context"
	"maps"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// StructuredToolHandler is mcp.NewStructuredToolHandler for tools that may return [mcpauth.NeedScopes]. mcp-go's own makes a text
// of every error, in which nothing finds the scopes. Other errors become the same text.
func StructuredToolHandler[A, R any](handler mcp.StructuredToolHandlerFunc[A, R]) server.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var failed error
		remembering := func(ctx context.Context, req mcp.CallToolRequest, arguments A) (result R, err error) {
			result, err = handler(ctx, req, arguments)
			failed = err
			return result, err
		}
		result, err := mcp.NewStructuredToolHandler(remembering)(ctx, req)
		if mcpauth.NeededScopes(failed) != nil {
			return nil, failed
		}
		return result, err
	}
}

// addMiddlewares adds the middlewares that see the errors of tools, prompts and resources before mcp-go makes text of them. If
// several endpoints have the same server, they do the same more than once.
func addMiddlewares(s *server.MCPServer) {
	s.Use(lateTool)
	server.WithPromptHandlerMiddleware(func(next server.PromptHandlerFunc) server.PromptHandlerFunc {
		return func(ctx context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			result, err := next(ctx, req)
			return result, late(ctx, &req, err)
		}
	})(s)
	server.WithResourceHandlerMiddleware(func(next server.ResourceHandlerFunc) server.ResourceHandlerFunc {
		return func(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			result, err := next(ctx, req)
			return result, late(ctx, &req, err)
		}
	})(s)
}

func lateTool(next server.ToolHandlerFunc) server.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		result, err := next(ctx, req)
		if err == nil || req.Params.Task != nil {
			return result, err // a task fails with the error; its call may have been answered or not
		}
		op := operationOf(&req)
		if refused := mcpauth.LateResult(ctx, op, err); refused != nil {
			shown := mcp.NewToolResultError(refused.Text)
			shown.Meta = &mcp.Meta{AdditionalFields: maps.Clone(refused.Meta)}
			return shown, nil
		}
		tooLate := mcpauth.LateStepUp(ctx, op, err)
		if tooLate == nil {
			return result, err // which may not be sent
		}
		return mcp.NewToolResultError(tooLate.Error()), nil
	}
}

// late returns the error of a prompt or a resource that mcp-go gets. If it is one of [mcpauth.NeedScopes], the client gets a
// challenge instead, or an error that names the scopes.
func late(ctx context.Context, req any, err error) error {
	if tooLate := mcpauth.LateStepUp(ctx, operationOf(req), err); tooLate != nil {
		return tooLate
	}
	return err // which may not be sent
}

// stepUpLate is a hook for the errors that come from elsewhere: completions, and middlewares around those of addMiddlewares.
// mcp-go makes the text that is sent when it is too late for a challenge.
func stepUpLate(ctx context.Context, _ any, _ mcp.MCPMethod, req any, err error) {
	if call, ok := req.(*mcp.CallToolRequest); ok && call.Params.Task != nil {
		return
	}
	_ = mcpauth.LateStepUp(ctx, operationOf(req), err)
}

// operationOf returns the operation that a request asks for, and the zero Operation if it is not known here.
func operationOf(req any) mcpauth.Operation {
	switch r := req.(type) {
	case *mcp.CallToolRequest:
		return mcpauth.Operation{Kind: mcpauth.OperationTool, Name: r.Params.Name}
	case *mcp.GetPromptRequest:
		return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: r.Params.Name}
	case *mcp.ReadResourceRequest:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: r.Params.URI}
	case *mcp.SubscribeRequest:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: r.Params.URI}
	case *mcp.CompleteRequest:
		switch ref := r.Params.Ref.(type) {
		case mcp.PromptReference:
			return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: ref.Name}
		case mcp.ResourceReference:
			return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: ref.URI}
		}
	}
	return mcpauth.Operation{}
}
