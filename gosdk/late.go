package mcpauthgosdk

import (
	"maps"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// late returns what the go-sdk gets as the outcome of a call. If that is an error of [mcpauth.NeedScopes], the client gets a
// challenge instead, or an error that names the scopes. A client that reads challenges in results gets one there, which works
// whatever was sent before. A caller who holds the scopes gets the error as it is: to ask for what is held would never end.
func (c *callContext) late(req mcp.Request, result mcp.Result, err error) (mcp.Result, error) {
	failed := err
	tool, isTool := result.(*mcp.CallToolResult)
	if isTool && tool != nil && failed == nil {
		failed = tool.GetError()
	}
	if c.request == nil || failed == nil {
		return result, err
	}
	op := operationOf(req)
	if refused := mcpauth.LateResult(c.request.Context, op, failed); refused != nil {
		return &mcp.CallToolResult{
			IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: refused.Text}}, Meta: maps.Clone(refused.Meta),
		}, nil
	}
	tooLate := mcpauth.LateStepUp(c.request.Context, op, failed)
	switch {
	case tooLate == nil:
		return result, err // which may not be sent
	case op.Kind != mcpauth.OperationTool:
		return nil, tooLate
	}
	shown := new(mcp.CallToolResult)
	shown.SetError(tooLate)
	return shown, nil
}

// operationOf returns the operation that a request asks for, and the zero Operation if it is not known here.
func operationOf(req mcp.Request) mcpauth.Operation {
	switch p := req.GetParams().(type) {
	case *mcp.CallToolParamsRaw:
		return mcpauth.Operation{Kind: mcpauth.OperationTool, Name: p.Name}
	case *mcp.GetPromptParams:
		return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: p.Name}
	case *mcp.ReadResourceParams:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.URI}
	case *mcp.CompleteParams:
		if p.Ref != nil && p.Ref.Type == "ref/prompt" {
			return mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: p.Ref.Name}
		}
		if p.Ref != nil {
			return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.Ref.URI}
		}
	case *mcp.SubscribeParams:
		return mcpauth.Operation{Kind: mcpauth.OperationResource, Name: p.URI}
	}
	return mcpauth.Operation{}
}
