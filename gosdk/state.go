package mcpauthgosdk

import (
	"context"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// SealState returns data as the RequestState of a result that asks for input (MCP 2026-07-28), sealed. [OpenState] opens it for
// the user of this call alone, in a call of the same tool, prompt or resource, until ttl has passed. The client can neither read
// it nor change it. req is the request of the call, and ctx its context, in which [Attach] has put the session.
//
//	state, err := mcpauthgosdk.SealState(ctx, sealer, req, []byte(order), 10*time.Minute)
//	if err != nil {
//		return nil, nil, err
//	}
//	return &mcp.CallToolResult{InputRequests: questions, RequestState: state}, nil, nil
//
// The client sends the arguments again, and could send others: put into data what the user is asked about. It could also
// bring the same state twice within ttl: what must happen once needs a record on the server.
//
// An error is [mcpauth.ErrNoSession], or that of [mcpauth.Sealer.Seal].
func SealState(ctx context.Context, sealer *mcpauth.Sealer, req mcp.Request, data []byte, ttl time.Duration) (string, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return "", err
	}
	return sealer.Seal(session, purposeOf(req), data, ttl)
}

// OpenState returns the data that [SealState] sealed into the RequestState of req, if the same user calls the same tool, prompt
// or resource. Otherwise the error is [mcpauth.ErrNotSealed]: for a state that was changed, is another user's, has expired or is
// missing. Without a session in ctx it is [mcpauth.ErrNoSession]. A call whose RequestState is empty is the first one.
func OpenState(ctx context.Context, sealer *mcpauth.Sealer, req mcp.Request) ([]byte, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, err
	}
	return sealer.Open(session, purposeOf(req), stateOf(req))
}

// purposeOf returns the purpose of the state of a call: states of one tool are of no use with another.
func purposeOf(req mcp.Request) string {
	op := operationOf(req)
	return "requestState of " + string(op.Kind) + " " + op.Name
}

func stateOf(req mcp.Request) string {
	switch p := req.GetParams().(type) {
	case *mcp.CallToolParamsRaw:
		return p.RequestState
	case *mcp.GetPromptParams:
		return p.RequestState
	case *mcp.ReadResourceParams:
		return p.RequestState
	}
	return ""
}
