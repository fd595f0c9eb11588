package mcpauthmcpgo

import (
	"context"
	"maps"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// metaSchemes is the member of a tool's _meta in which hosts look for security schemes (OpenAI Apps SDK).
const metaSchemes = "securitySchemes"

// AddSecuritySchemes adds to each tool in the answers to tools/list how it may be called, as ChatGPT and other hosts with the
// OpenAI Apps SDK read it in _meta["securitySchemes"]: without credentials, with an access token and which scopes, or both.
// [mcpauth.ResourceServer.SecuritySchemes] says what is shown. The other members of _meta stay, and a tool that has the member
// already keeps its own.
//
// rs is the resource server that [Handler] gets, and policy the one that is enforced. The schemes are the same for all callers:
// they say what a tool needs, and not what the caller may do. They protect nothing.
//
// It works by hooks, and hooks are as for [Hide]: those that the server was given by server.WithHooks, or nil. It panics when
// s has other hooks, and when s, rs or policy is nil.
func AddSecuritySchemes(s *server.MCPServer, hooks *server.Hooks, rs *mcpauth.ResourceServer, policy *mcpauth.Policy) {
	if rs == nil {
		panic("mcpauthmcpgo: nil *mcpauth.ResourceServer; check the error of mcpauth.New")
	}
	if policy == nil {
		panic("mcpauthmcpgo: nil *mcpauth.Policy; check the error of mcpauth.NewPolicy")
	}
	hooksFor(s, hooks).AddAfterListTools(func(_ context.Context, _ any, _ *mcp.ListToolsRequest, result *mcp.ListToolsResult) {
		// The slice and what its tools point to may be shared with other calls.
		shown := make([]mcp.Tool, len(result.Tools))
		for i := range result.Tools {
			shown[i] = withScheme(result.Tools[i], rs.SecuritySchemes(policy, result.Tools[i].Name))
		}
		result.Tools = shown
	})
}

func withScheme(tool mcp.Tool, schemes []mcpauth.SecurityScheme) mcp.Tool {
	meta := new(mcp.Meta)
	if tool.Meta != nil {
		*meta = *tool.Meta
	}
	if _, has := meta.AdditionalFields[metaSchemes]; has {
		return tool
	}
	fields := maps.Clone(meta.AdditionalFields)
	if fields == nil {
		fields = make(map[string]any)
	}
	fields[metaSchemes] = schemes
	meta.AdditionalFields, tool.Meta = fields, meta
	return tool
}
