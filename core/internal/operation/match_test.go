package operation_test

import (
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// match returns the texts of the patterns that match a URI, joined by spaces, and the coverage.
func match(t testing.TB, uri string, texts ...string) (matched string, coverage operation.Coverage) {
	t.Helper()
	var all []string
	budget := operation.BudgetBody
	coverage, err := compile(t, texts...).Match(uri, &budget, func(i int) { all = append(all, texts[i]) })
	if err != nil {
		t.Errorf("%q: %v", uri, err)
	}
	return strings.Join(all, " "), coverage
}

// TestR64Match has spellings of URIs with which a client could try to get around a pattern.
func TestR64Match(t *testing.T) {
	t.Parallel()
	const anything, part, full = operation.CoverageAny, operation.CoveragePart, operation.CoverageFull
	patterns := []string{
		"files:///secret/{+path}", "files:///secret/top", "db://*", "note://Mine%20/x", "docs:secret/{+path}", "tree:///a/", "tree:///b/{x}/", "mid://a*xa*a", "ends://a*a",
	}
	for _, c := range []struct {
		uri, matched string
		coverage     operation.Coverage
	}{
		{"files:///secret/a", "files:///secret/{+path}", full},
		{"files:///secret/a/b", "files:///secret/{+path}", full},
		{"files:///secret/", "files:///secret/{+path}", full},
		{"files:///secret/top", "files:///secret/{+path} files:///secret/top", full},
		{"files:///secrets", "", part},
		{"db://", "db://*", full},
		{"db://x?y=z", "db://*", full},
		{"adb://x", "", part},
		{"note://Mine%20/x", "note://Mine%20/x", full},
		{"note://Mine%20/y", "", part},
		{"files:///public/../secret/a", "", anything},
		{"files:///./secret/a", "", anything},
		{"files:////secret//a", "files:///secret/{+path}", part},
		{"files:///%73ecret/a", "files:///secret/{+path}", part},
		{"files:///secret%2fa", "files:///secret/{+path}", part},
		{"files:///%2e%2E/secret/a", "", anything},
		{"files:///public/%2e./secret/a", "", anything},
		{"files:///../../secret/a", "", anything},
		{"FILES:///Secret/a", "files:///secret/{+path}", part},
		{`files:///public\..\secret\a`, "", anything},
		{"files:///secret/a?x", "files:///secret/{+path}", full},
		{"files:///secret/top#y", "files:///secret/{+path} files:///secret/top", full},
		{"files:///x/../secret/.", "", anything},
		{"files:///secret//../a", "", anything},
		{"files:///secret/b//../top", "", anything},
		{"files:///secret//../top", "", anything},
		{"files:///ſecret/a", "files:///secret/{+path}", part},
		{"files:///%C5%BFecret/a", "files:///secret/{+path}", part},
		{" files:///sec\tret/a\n", "files:///secret/{+path}", part},
		{"files:///SECRET/K", "files:///secret/{+path}", part},
		{"files://host/../secret/a", "", anything},
		{"note://mine /x", "note://Mine%20/x", part},
		{"files:///secret/top/", "files:///secret/{+path} files:///secret/top", full},
		{"files:///secret//top//?x", "files:///secret/{+path} files:///secret/top", full},
		{`files:///secret/top\`, "files:///secret/{+path} files:///secret/top", full},
		{"tree:///a", "tree:///a/", part},
		{"tree:///b/c", "tree:///b/{x}/", part},
		{"tree:///bc", "", part},
		{"ends://a", "", part},
		{"ends://aa", "ends://a*a", full},
		{"mid://axa", "", part},
		{"mid://axaa", "mid://a*xa*a", full},
		{"docs:secret/a", "docs:secret/{+path}", full},
		{"docs:./secret/a", "", anything},
		{"docs:../docs/secret/a", "", anything},
		{"docs:%2e/secret/a", "", anything},
		{"docs:/secret/a", "docs:secret/{+path}", part},
		{"docs:///Secret/a", "docs:secret/{+path}", part},
		{"docs:public/secret/a", "", part},
		{"files:///public/..secret/a", "", part},
		{"files:///public/%", "", part},
	} {
		if matched, coverage := match(t, c.uri, patterns...); matched != c.matched || coverage != c.coverage {
			t.Errorf("%q: %q with coverage %d, want %q with %d", c.uri, matched, coverage, c.matched, c.coverage)
		}
	}
}

// TestR64MatchCoverage has URIs that a server could take for a resource that no pattern matches.
func TestR64MatchCoverage(t *testing.T) {
	t.Parallel()
	const anything, part, full = operation.CoverageAny, operation.CoveragePart, operation.CoverageFull
	patterns := []string{
		"files:///public/{+path}", "repo://host/secret", "search://all?q={q}", "note://*", "box://{id}/open",
	}
	for _, c := range []struct {
		uri, matched string
		coverage     operation.Coverage
	}{
		{"files:///public/a", "files:///public/{+path}", full},
		{"files:///public/", "files:///public/{+path}", full},
		{"files:///public/a//b?d", "files:///public/{+path}", full},
		{"files:///public/a/../b", "", anything},
		{"files:///public/%61", "files:///public/{+path}", full},
		{"files:///public/../secret/a", "", anything},
		{"files:///public/%2e%2e/secret/a", "", anything},
		{"files:///public/%252e%252e/secret/a", "", anything},
		{"files:///x%2Fy/../secret/a", "", anything},
		{`files:///public\x/../secret/a`, "", anything},
		{"files:///public/..;x/secret/a", "", anything},
		{"files:///public/x/.. /secret", "", anything},
		{`files:///public/..\secret`, "", anything},
		{"FILES:///public/a", "files:///public/{+path}", part},
		{"repo://host/secret", "repo://host/secret", full},
		{"repo://host/../secret", "", anything},
		{"repo://host/x/../../secret", "", anything},
		{"repo://host/secret?x", "repo://host/secret", part},
		{"repo://secret", "", part},
		{"search://all?q=x", "search://all?q={q}", full},
		{"search://all", "", part},
		{"note://Mine/x...y", "note://*", full},
		{"note://Mine/.hidden/..x/y..", "note://*", full},
		{"other://x", "", part},
		{"box://a/open", "box://{id}/open", full},
		{"box://secret?/open", "box://{id}/open", part},
	} {
		if matched, coverage := match(t, c.uri, patterns...); matched != c.matched || coverage != c.coverage {
			t.Errorf("%q: %q with coverage %d, want %q with %d", c.uri, matched, coverage, c.matched, c.coverage)
		}
	}
}
