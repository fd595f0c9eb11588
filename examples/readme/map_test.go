package readme

import (
	"regexp"
	"strings"
	"testing"
)

// TestMapOfCore compares the list of core's files in CONTRIBUTING.md with the tree, in both directions.
func TestMapOfCore(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(find(t, "CONTRIBUTING.md").text, "\n## The files of core\n")
	if !found {
		t.Fatal("CONTRIBUTING.md has no heading \"The files of core\"")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^- `([^`]+\\.go)`: \\S").FindAllStringSubmatch(section, -1) {
		if listed[m[1]] {
			t.Errorf("CONTRIBUTING.md lists core/%s twice", m[1])
		}
		listed[m[1]] = true
		if !exists("core/" + m[1]) {
			t.Errorf("CONTRIBUTING.md lists core/%s, which does not exist", m[1])
		}
	}
	for _, path := range files(t, ".go") {
		name, inCore := strings.CutPrefix(path, "core/")
		ofCore := inCore && (!strings.Contains(name, "/") || strings.HasPrefix(name, "internal/"))
		if ofCore && !strings.HasSuffix(name, "_test.go") && !listed[name] {
			t.Errorf("core/%s is not in CONTRIBUTING.md, under \"The files of core\"; say there what belongs into it", name)
		}
	}
}
