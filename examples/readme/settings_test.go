package readme

import (
	"regexp"
	"strings"
	"testing"
)

// TestSettings looks for each field of Config, and for each variable that the library and the examples read, in the tables
// of README.md and docs/configuration.md, and the other way around.
func TestSettings(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	_, names := exported(t, "core")
	for name := range names {
		if field, ok := strings.CutPrefix(name, "Config."); ok {
			known[field] = true
		}
	}
	for _, file := range []string{"core/config.go", "examples/app/settings.go"} {
		for _, m := range regexp.MustCompile(`\benv\("(\w+)"\)`).FindAllStringSubmatch(read(t, file), -1) {
			known[m[1]] = true
		}
	}
	if len(known) < 25 {
		t.Fatalf("found %d settings: the pattern is broken", len(known))
	}

	documented := make(map[string]bool)
	row := regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \|`)
	for _, section := range []string{
		section(t, "README.md", "Configuration"), section(t, "docs/configuration.md", "Fields that are set in code"),
		section(t, "docs/configuration.md", "Variables of the examples"),
	} {
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			cells := m[1]
			if strings.Contains(m[1], "SCALEKIT") || strings.HasPrefix(m[2], "`BaseURL") {
				cells += m[2] // the field of a variable
			}
			for _, name := range inlineCode.FindAllStringSubmatch(cells, -1) {
				documented[name[1]] = true
				if !known[name[1]] {
					t.Errorf("there is no setting %s", name[1])
				}
			}
		}
	}
	for name := range known {
		if !documented[name] {
			t.Errorf("%s is in no table of README.md and docs/configuration.md", name)
		}
	}
}

// section returns the part of a document from one heading of the second level to the next.
func section(t *testing.T, path, title string) string {
	t.Helper()
	_, text, found := strings.Cut(find(t, path).text, "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", path, title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}
