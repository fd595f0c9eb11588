package tools_test

import (
	"slices"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
)

// TestPolicy asks about each kind of rule: a public tool, a scope and a role.
func TestPolicy(t *testing.T) {
	t.Parallel()
	user := mcpauthtest.NewSession(map[string]any{"scope": "profile:read", "roles": []string{"member"}})
	admin := mcpauthtest.NewSession(map[string]any{"scope": "announce:send", "roles": []string{"admin"}})
	for _, c := range []struct {
		public  bool
		session *mcpauth.Session // nil for a caller who has not signed in
		tool    string
		allowed bool
		needed  []string
		listed  bool
	}{
		{false, user, "status", true, nil, true},
		{true, nil, "status", true, nil, true},
		{true, user, "status", true, nil, true},
		{false, user, "announce", false, []string{"announce:send"}, true},
		{true, nil, "announce", false, []string{"announce:send"}, true},
		{false, admin, "announce", true, nil, true},
		{false, user, "audit", false, nil, false},
		{true, nil, "audit", false, nil, false},
		{false, admin, "audit", true, nil, true},
		{false, user, "open_door", true, nil, true}, // the tool itself asks for more
	} {
		policy, err := tools.Policy(c.public)
		if err != nil {
			t.Fatal(err)
		}
		operation := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: c.tool}
		err = policy.Authorize(t.Context(), c.session, operation)
		if needed := mcpauth.NeededScopes(err); (err == nil) != c.allowed || !slices.Equal(needed, c.needed) {
			t.Errorf("%s for %v, public %v: %v", c.tool, c.session, c.public, err)
		}
		listed := policy.Visible(t.Context(), c.session, operation.Kind, []string{c.tool})
		if listed[0] != c.listed {
			t.Errorf("%s for %v, public %v: in the list %v", c.tool, c.session, c.public, listed)
		}
	}
	if _, public := tools.Rules.Tools["status"]; public {
		t.Error("Policy has changed Rules")
	}
}
