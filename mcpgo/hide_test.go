package mcpauthmcpgo_test

import (
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

var shopScopes = mcpauth.OperationScopes{Tools: map[string][]string{"refund": {"refunds"}}}

func policyOf(t testing.TB, scopes mcpauth.OperationScopes) *mcpauth.OperationPolicy {
	t.Helper()
	policy, err := mcpauth.NewOperationPolicy(scopes)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}
