package mcpauth

import (
	"strconv"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// TestR92ScopesAreAddedOnce asks again and again for what needs a thousand scopes, and counts what is allocated for them.
func TestR92ScopesAreAddedOnce(t *testing.T) {
	all := Rule{}
	resources := make(map[string]Rule)
	for i := range 1000 {
		scope := "s" + strconv.Itoa(i)
		resources["a://"+strconv.Itoa(i)] = Rule{Scopes: []string{scope}}
		all.Scopes = append(all.Scopes, scope)
	}
	resources["all://*"] = all
	policy, err := NewPolicy(Rules{Resources: resources, Tools: map[string]Rule{"t": {Scopes: []string{"s1", "other"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"all://x", "a://../x"} {
		if got := testing.AllocsPerRun(1, func() {
			in := inquiry{policy: policy, budget: operation.BudgetUnlimited}
			for range 100 {
				if err := in.add(operation.Operation{Kind: operation.KindResource, Name: uri}); err != nil {
					t.Error(err)
				}
			}
			if n := len(in.scopes(nil)); n != 1000 || len(in.rules) > policy.rules {
				t.Errorf("%s: %d scopes of %d rules", uri, n, len(in.rules))
			}
		}); got > 1000 {
			t.Errorf("%s: %v allocations", uri, got)
		}
	}
	in := inquiry{policy: policy, budget: operation.BudgetUnlimited}
	for _, op := range []operation.Operation{
		{Kind: operation.KindTool, Name: "t"},
		{Kind: operation.KindResource, Name: "a://5"},
		{Kind: operation.KindResource, Name: "all://x"},
		{Kind: operation.KindTool, Name: "t"},
		{Kind: operation.KindResource, Name: "a://../"},
	} {
		if err := in.add(op); err != nil {
			t.Error(err)
		}
	}
	scopes := in.scopes(nil)
	if got := strings.Join(scopes[:4], " "); len(scopes) != 1001 || got != "s1 other s5 s0" || !in.unlisted || len(in.rules) != policy.rules {
		t.Errorf("%d scopes, first %q, of %d rules, unlisted=%v", len(scopes), got, len(in.rules), in.unlisted)
	}
}
