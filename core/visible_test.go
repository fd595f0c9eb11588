package mcpauth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestListsAgreeWithCalls has random rules, callers and lists: what is shown is what Authorize allows or asks scopes for,
// unless the rule hides it then.
func TestListsAgreeWithCalls(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	some := func(words ...string) (chosen []string) {
		for _, word := range words {
			if random.IntN(3) == 0 {
				chosen = append(chosen, word)
			}
		}
		return chosen
	}
	claims := func() m {
		return m{"scopes": some("read", "write", "admin", "late"), "roles": some("support", "owner"), "permissions": some("p1", "p2"), "oid": []string{"org_1", "org_2", ""}[random.IntN(3)]}
	}
	shown := make(map[bool]int)
	for range 200 {
		rules := make(map[string]mcpauth.Rule)
		for i := range 20 {
			rule := mcpauth.Rule{Scopes: some("read", "write"), Roles: some("support", "owner"), Permissions: some("p1", "p2"), Organizations: some("org_1", "org_2"), Hide: random.IntN(2) == 0}
			if set := some("admin", "write"); set != nil {
				rule.AnyScopes = [][]string{set, {"read"}}
			}
			rules[fmt.Sprint("tool_", i)] = rule
		}
		needing, refused := fmt.Sprint("tool_", random.IntN(25)), fmt.Sprint("tool_", random.IntN(25))
		check := func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
			switch {
			case op.Name == refused:
				return mcpauth.ErrHidden
			case op.Name == needing && (s == nil || !s.HasScopes("late")):
				return mcpauth.NeedScopes("late")
			}
			return nil
		}
		if random.IntN(4) == 0 {
			check = nil
		}
		policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: rules, Strict: random.IntN(2) == 0, Check: check})
		if err != nil {
			t.Fatal(err)
		}
		session := mcpauthtest.NewSession(claims())
		if random.IntN(4) == 0 {
			session = nil
		}
		var names []string
		for range 30 {
			names = append(names, fmt.Sprint("tool_", random.IntN(25))) // some are not listed
		}
		for i, got := range policy.Visible(context.Background(), session, mcpauth.OperationTool, names) {
			err := policy.Authorize(context.Background(), session, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: names[i]})
			want := err == nil || mcpauth.NeededScopes(err) != nil && !rules[names[i]].Hide
			if check != nil && names[i] == refused { // a call is asked for the rule's scopes first
				want = false
			}
			if got != want {
				t.Fatalf("%s of %v: shown %t, and a call gets %v", names[i], policy, got, err)
			}
			shown[got]++
		}
	}
	if shown[true] < 500 || shown[false] < 500 {
		t.Errorf("shown or not: %v", shown)
	}
}
