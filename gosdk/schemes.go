package mcpauthgosdk

import (
	"context"
	"maps"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// metaSchemes is the member of a tool's _meta in which hosts look for security schemes (OpenAI Apps SDK).
const metaSchemes = "securitySchemes"

// AddSecuritySchemes adds to each tool in the answers to tools/list how it may be called, as ChatGPT and other hosts with the
// OpenAI Apps SDK read it in _meta["securitySchemes"]: without credentials, with an access token and which scopes, or both.
// [mcpauth.ResourceServer.SecuritySchemes] says what is shown. The other members of _meta stay, and a tool that has the member
// already keeps its own.
//
//	mcpauthgosdk.Hide(server, policy)
//	mcpauthgosdk.AddSecuritySchemes(server, rs, policy)
//	mcpauthgosdk.Attach(server)
//
// rs is the resource server that [Handler] gets, and policy the one that is enforced. The schemes are the same for all callers:
// they say what a tool needs, and not what the caller may do. They protect nothing.
//
// It panics when rs or policy is nil. The order of the calls of AddSecuritySchemes, [Hide] and [Attach] does not count.
func AddSecuritySchemes(server *mcp.Server, rs *mcpauth.ResourceServer, policy *mcpauth.Policy) {
	if rs == nil {
		panic("mcpauthgosdk: nil *mcpauth.ResourceServer; check the error of mcpauth.New")
	}
	if policy == nil {
		panic("mcpauthgosdk: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	}
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			result, err := next(ctx, method, req)
			if list, ok := result.(*mcp.ListToolsResult); ok && list != nil && err == nil {
				return withSchemes(rs, policy, list), nil
			}
			return result, err
		}
	})
}

// withSchemes returns a copy of list whose tools have security schemes. The go-sdk shares its tools among all requests.
func withSchemes(rs *mcpauth.ResourceServer, policy *mcpauth.Policy, list *mcp.ListToolsResult) *mcp.ListToolsResult {
	shown := *list
	shown.Meta = maps.Clone(list.Meta) // the go-sdk adds to it
	shown.Tools = make([]*mcp.Tool, len(list.Tools))
	for i, tool := range list.Tools {
		shown.Tools[i] = withScheme(tool, rs.SecuritySchemes(policy, tool.Name))
	}
	return &shown
}

func withScheme(tool *mcp.Tool, schemes []mcpauth.SecurityScheme) *mcp.Tool {
	if _, has := tool.Meta[metaSchemes]; has {
		return tool
	}
	shown := *tool
	shown.Meta = maps.Clone(tool.Meta)
	if shown.Meta == nil {
		shown.Meta = mcp.Meta{}
	}
	shown.Meta[metaSchemes] = schemes
	return &shown
}
