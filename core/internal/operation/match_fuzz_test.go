package operation_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// FuzzResourcePattern checks that no spelling of a URI which a pattern matches leads around it.
func FuzzResourcePattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"files:///secret/{+path}", "files:///secret/a"},
		{"db://*", "db://x/../y"},
		{"a://b/{c}/d", "a://b/%2e%2e/d"},
		{"*", ""},
		{"note://Mine%20/{x}", `note://mine /\..\z`},
		{"files:///secret", "files:///x/../secret?y"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, uri string) {
		if len(pattern) > 256 || len(uri) > 1024 {
			return
		}
		compiled, err := operation.Compile(pattern)
		if err != nil {
			return
		}
		matched, dots := matches(t, compiled, uri)
		if !matched {
			return
		}
		for name, alias := range map[string]string{
			"a query":       uri + "?x",
			"a fragment":    uri + "#x",
			"another case":  strings.ToUpper(uri),
			"encoded":       encodeAll(uri),
			"a dot segment": strings.Replace(uri, "://", "://./", 1),
			"back and away": strings.Replace(uri, ":///", ":///x/../", 1),
			"nowhere":       strings.Replace(uri, ":///", ":////../", 1),
		} {
			if strings.Contains(uri, "?") || strings.Contains(uri, "#") || strings.Contains(pattern, "?") || strings.Contains(pattern, "#") {
				continue // there a query is part of the name
			}
			if (name == "encoded" || name == "another case") && (strings.Contains(uri, "%") || !isASCII(uri)) {
				continue // decoded once, and Unicode has letters without a way back
			}
			if (name == "a dot segment" || name == "back and away" || name == "nowhere") && dots {
				continue // which leads elsewhere from there
			}
			if matched, _ := matches(t, compiled, alias); !matched {
				t.Errorf("%s: pattern %q matches %q, but not %q", name, pattern, uri, alias)
			}
		}
	})
}

// matches reports whether a pattern counts as matching, and whether that is because of dot segments.
func matches(t *testing.T, pattern operation.Pattern, uri string) (matched, dots bool) {
	t.Helper()
	budget := operation.BudgetUnlimited
	coverage, err := operation.Patterns{pattern}.Match(uri, &budget, func(int) { matched = true })
	dots = coverage == operation.CoverageAny
	if err != nil || dots && matched || coverage == operation.CoverageFull && !matched {
		t.Fatalf("%q: matched=%v, coverage %d, %v", uri, matched, coverage, err)
	}
	return matched || dots, dots
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func encodeAll(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == ':' || c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}
