package readme

import (
	"regexp"
	"testing"
)

// TestClientVersions compares the versions in docs/clients.md with those that are tested.
func TestClientVersions(t *testing.T) {
	t.Parallel()
	tested := read(t, "examples/clients/package.json") + read(t, "examples/e2e-typescript/package.json") + read(t, "examples/go.mod")
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([\d.]+) \|`).FindAllStringSubmatch(read(t, "docs/clients.md"), -1)
	if len(rows) < 7 {
		t.Errorf("found %d clients", len(rows))
	}
	for _, m := range rows {
		if !regexp.MustCompile(`[v@"]` + regexp.QuoteMeta(m[2]) + `["\n]`).MatchString(tested) {
			t.Errorf("%s is not tested in version %s", m[1], m[2])
		}
	}
}
