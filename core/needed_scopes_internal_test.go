package mcpauth

import (
	"strconv"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// TestR92ScopesAreAddedOnce asks again and again for what needs a thousand scopes, and counts what is allocated for them.
func TestR92ScopesAreAddedOnce(t *testing.T) {
	resources := map[string][]string{"all://*": nil}
	for i := range 1000 {
		resources["a://"+strconv.Itoa(i)] = []string{"s" + strconv.Itoa(i)}
		resources["all://*"] = append(resources["all://*"], "s"+strconv.Itoa(i))
	}
	policy, err := NewOperationPolicy(OperationScopes{Resources: resources, Tools: map[string][]string{"t": {"s1", "other"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"all://x", "a://../x"} {
		if got := testing.AllocsPerRun(1, func() {
			n := neededScopes{policy: policy, budget: operation.BudgetUnlimited}
			for range 100 {
				if err := n.add(operation.Operation{Kind: operation.KindResource, Name: uri}); err != nil {
					t.Error(err)
				}
			}
			if len(n.scopes) != 1000 || n.added != nil {
				t.Errorf("%s: %d scopes, compared=%v", uri, len(n.scopes), n.added != nil)
			}
		}); got > 1000 {
			t.Errorf("%s: %v allocations", uri, got)
		}
	}
	n := neededScopes{policy: policy, budget: operation.BudgetUnlimited}
	for _, op := range []operation.Operation{
		{Kind: operation.KindTool, Name: "t"},
		{Kind: operation.KindResource, Name: "a://5"},
		{Kind: operation.KindResource, Name: "all://x"},
		{Kind: operation.KindTool, Name: "t"},
		{Kind: operation.KindResource, Name: "a://../"},
	} {
		if err := n.add(op); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(n.scopes[:4], " "); len(n.scopes) != 1001 || got != "s1 other s5 s0" || !n.unlisted {
		t.Errorf("%d scopes, first %q, unlisted=%v", len(n.scopes), got, n.unlisted)
	}
}
