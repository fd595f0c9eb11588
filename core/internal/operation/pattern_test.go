package operation_test

import (
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// compile returns patterns that have no mistake.
func compile(t testing.TB, texts ...string) (patterns operation.Patterns) {
	t.Helper()
	for _, text := range texts {
		pattern, err := operation.Compile(text)
		if err != nil {
			t.Fatalf("%q %v", text, err)
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

func TestCompile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"orders://{id}", "orders://{+path}", "orders://{id}/{?page,size}", "orders://*", "*", "{x}", "{scheme}://x", "files*", "a-b.c+d*", "a_b{x}",
		"urn:isbn:{n}", "docs:x", "a://%41%2f", "a://x?y={z}#w", "a://x...y/.z/..w", "a://ſ", "a:*", "a://{x}{y}", "a://\u00e9",
	} {
		if _, err := operation.Compile(text); err != nil {
			t.Errorf("%q %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":               "holds an empty pattern",
		"a://b c":        "holds a space",
		"a://b\tc":       "holds a space",
		"a://b\x7f":      "holds a space",
		"a://b\u0085":    "holds a space",
		"a://b\xff":      "holds a space",
		"a://{b":         "has an unclosed",
		"a://{}":         "has an unclosed",
		"a://{{b}}":      "has an unclosed",
		"a://{b{c}":      "has an unclosed",
		"{":              "has an unclosed",
		"a://b}":         "has a } without",
		"a://{b}}":       "has a } without",
		"}":              "has a } without",
		"orders":         "is not an absolute URI",
		"orders/{id}":    "is not an absolute URI",
		"/orders/*":      "is not an absolute URI",
		"//host/*":       "is not an absolute URI",
		"://b":           "is not an absolute URI",
		"ſ*":             "is not an absolute URI",
		"a://b/../c":     "has a dot segment",
		"a://./b":        "has a dot segment",
		"a:..":           "has a dot segment",
		"a://b/%2E%2e/c": "has a dot segment",
		"a://b/%252e/c":  "has a dot segment",
		`a://b\..\c`:     "has a dot segment",
		"a://{b}/../c":   "has a dot segment",
		"a://50%":        "has a % without",
		"a://%4":         "has a % without",
		"a://%zz/%41":    "has a % without",
		"a://{b}%":       "has a % without",
	} {
		_, err := operation.Compile(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%q: %v, want an error that begins with %q, and with a cure", text, err, want)
		}
	}
}
