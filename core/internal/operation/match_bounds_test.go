package operation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// TestR92ComparisonsAreBounded compares URIs with 1,000 patterns until the budget of a body is used up.
func TestR92ComparisonsAreBounded(t *testing.T) {
	t.Parallel()
	const forms = 4 // in which a URI is compared, as Rules.MaxBodyBytes says
	for _, format := range []string{"files:///n%d/x", "files:///n%d/{x}", "files:///{x}/n%d", "files:///{x}/needle%d/{y}", "files:///{a}b{b}c{c}d{d}/%d"} {
		var texts []string
		for i := range 1000 {
			texts = append(texts, fmt.Sprintf(format, i))
		}
		patterns := compile(t, texts...)
		for _, c := range []struct {
			uri  string
			pass int // so many of them at least
		}{
			{"files:///n1/x", 125},
			{"files:///n1/x?y", 60},
			{"files:///" + strings.Repeat("x", 1000), 1},
			{"files:///" + strings.Repeat("needl/", 1360) + "?", 0},
			{"files:///" + strings.Repeat("b", 8000), 0},
		} {
			budget := operation.BudgetBody
			passed := 0
			var err error
			for err == nil && passed <= 1000 {
				if _, err = patterns.Match(c.uri, &budget, func(int) {}); err == nil {
					passed++
				}
			}
			if err != operation.ErrBudget { //nolint:errorlint // it is never wrapped
				t.Errorf("%s with %.20s...: %v, want %v", format, c.uri, err, operation.ErrBudget)
			}
			// What the last pattern costs is known only when it was compared.
			if most := operation.Budget(2 * forms * (2 + len(c.uri))); budget < -most || budget >= 0 {
				t.Errorf("%s with %.20s...: %d comparisons are left, want less than 0 by no more than the %d of one pattern", format, c.uri, budget, most)
			}
			if searched := strings.Contains(format, "needle"); searched && len(c.uri) > 8000 && passed > 0 {
				t.Errorf("%s with %.20s...: %d pass, each of which is searched 8,000 times", format, c.uri, passed)
			}
			if passed < c.pass || passed > int(operation.BudgetBody)/(forms*1000) {
				t.Errorf("%s with %.20s...: %d pass, want at least %d", format, c.uri, passed, c.pass)
			}
		}
	}
}

// TestR92BudgetUnlimited has no bound, and counts none.
func TestR92BudgetUnlimited(t *testing.T) {
	t.Parallel()
	patterns, budget := compile(t, "a://{x}needle{y}"), operation.BudgetUnlimited
	coverage, err := patterns.Match("a://"+strings.Repeat("needl", 1<<20), &budget, func(int) {})
	if err != nil || coverage != operation.CoveragePart {
		t.Errorf("coverage %d, %v", coverage, err)
	}
}

// TestR92DotSegmentsCostNothing looks for no pattern that matches a URI with dot segments: a body may ask for a thousand.
func TestR92DotSegmentsCostNothing(t *testing.T) {
	t.Parallel()
	patterns, budget := compile(t, "a://{x}"), operation.Budget(0)
	coverage, err := patterns.Match("a://../x", &budget, func(int) { t.Error("a pattern was visited") })
	if err != nil || coverage != operation.CoverageAny || budget != 0 {
		t.Errorf("coverage %d, %v, budget %d", coverage, err, budget)
	}
}
