package mcpauth

import "github.com/scalekit-mcp/mcpauth/core/internal/operation"

// A SecurityScheme is one way in which a tool may be called, as hosts read it in the tool's _meta["securitySchemes"] (OpenAI
// Apps SDK). Several schemes of a tool are alternatives.
type SecurityScheme struct {
	// Type is noauth, without credentials, or oauth2, with an access token.
	Type string `json:"type"`

	// Scopes are those that the host has to ask for. There are none with noauth.
	Scopes []string `json:"scopes,omitempty"`
}

const (
	schemeNoAuth = "noauth"
	schemeOAuth2 = "oauth2"
)

// SecuritySchemes returns how a tool may be called, as policy and [Config.RequiredScopes] say. It is for the modules for MCP
// SDKs, which show it in lists.
//
// A tool needs oauth2 with the scopes that rs requires of every request and those of the tool's rule. They are the scopes of the
// challenge that a caller without any scope would get: of [Rule.AnyScopes] the shortest list, the first of several. A tool
// that no rule names needs what rs requires.
//
// A tool whose rule is public is noauth, if policy is the [Config.Policy] of rs: elsewhere nothing is public. It is oauth2,
// too, if there are RequiredScopes, which its callers need as soon as they have a token. A scheme can't say what
// [Rules.Check] decides, nor that a role, a permission or an organization is needed.
//
// It panics when policy is nil.
func (rs *ResourceServer) SecuritySchemes(policy *Policy, tool string) []SecurityScheme {
	in := inquiry{policy: policy, budget: operation.BudgetUnlimited}
	_ = in.add(Operation{Kind: OperationTool, Name: tool}.internal()) // only patterns of resources have a budget
	oauth2 := SecurityScheme{Type: schemeOAuth2, Scopes: union(rs.required, in.scopes(nil))}
	if !rs.public || policy != rs.policy || in.unlisted || !in.isPublic() {
		return []SecurityScheme{oauth2}
	}
	schemes := []SecurityScheme{{Type: schemeNoAuth}}
	if len(oauth2.Scopes) > 0 {
		schemes = append(schemes, oauth2)
	}
	return schemes
}
