package mcpauth

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestWildcards(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string][]string{
		"": nil, "/mcp": nil, "POST example.com/{tenant}/mcp": {"tenant"}, "/{a}/{b...}": {"a", "b"}, "/{$}": nil, "/a/{$}": nil,
		"/{id:[0-9]{3}}/{x}": {"id", "x"}, "/{": nil, "/}{a}": {"a"}, "/{}": nil, "/*": nil, "/:tenant/{a": nil,
	} {
		if got := slices.Collect(wildcards(pattern)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

// FuzzWildcards compares the names with those that an http.ServeMux sets for the same pattern.
func FuzzWildcards(f *testing.F) {
	for _, seed := range []string{"/{tenant}/mcp", "/{a}/{b...}", "/{$}", "GET /x/{y}", "/{a}{b}", "/{a:b}", "/{ä}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		names := slices.Collect(wildcards(pattern)) // must not panic
		mux := http.NewServeMux()
		if !accepts(mux, pattern) {
			return
		}
		_, path, _ := strings.Cut(pattern, "/")
		var want []string
		for segment := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(segment, "{"); ok && segment != "{$}" {
				want = append(want, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%q: %q, want %q", pattern, names, want)
		}
	})
}

func accepts(mux *http.ServeMux, pattern string) (ok bool) {
	defer func() { ok = recover() == nil }()
	mux.Handle(pattern, http.NotFoundHandler())
	return
}
