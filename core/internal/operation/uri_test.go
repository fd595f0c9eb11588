package operation_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// TestR92DotSegments compares the search for dot segments, which reads a URI once, with what a dot segment is by definition.
func TestR92DotSegments(t *testing.T) {
	t.Parallel()
	encoded := regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	decode := func(s string) string {
		return encoded.ReplaceAllStringFunc(s, func(digits string) string {
			b, _ := strconv.ParseUint(digits[1:], 16, 8) // they are hexadecimal
			return string([]byte{byte(b)})
		})
	}
	lineEnds := strings.NewReplacer("\t", "", "\n", "", "\r", "")
	isDots := func(segment string) bool {
		folded := lineEnds.Replace(strings.TrimFunc(segment, func(r rune) bool { return r <= ' ' }))
		return strings.Contains(segment, ".") && strings.Trim(folded, ". ") == ""
	}
	byDefinition := func(s string) bool {
		for range 3 {
			for segment := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(`/\?#;:`, r) }) {
				if isDots(segment) {
					return true
				}
			}
			s = decode(s)
		}
		return false
	}
	pieces := []string{"/", ".", " ", "\t", "\x01", "a", "%2e", "%25", "%", "2e", ";", `\`, "ſ", "\u00a0", "\xff"}
	none, budget := operation.Patterns{}, operation.BudgetUnlimited
	var try func(s string, more int)
	try = func(s string, more int) {
		coverage, err := none.Match(s, &budget, nil)
		if err != nil || (coverage == operation.CoverageAny) != byDefinition(s) {
			t.Errorf("%q: coverage %d, %v", s, coverage, err)
		}
		if more > 0 {
			for _, piece := range pieces {
				try(s+piece, more-1)
			}
		}
	}
	try("", 4)
	try("a:/.", 4)
	try("%252", 3)
}
