package readme

import (
	"regexp"
	"strings"
	"testing"
)

var (
	joined  = regexp.MustCompile(`" \+\n\s*"`) // a string of several lines
	quoted  = regexp.MustCompile(`"([^"]+)"`)
	outcome = regexp.MustCompile(`outcome=(\w+)`)
)

// sources returns the Go code of all modules but the tests, with long strings in one piece.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range files(t, ".go") {
		if !strings.HasSuffix(path, "_test.go") {
			all.WriteString(read(t, path))
		}
	}
	return joined.ReplaceAllString(all.String(), "")
}

// TestLogLines looks for every log line of the documents in the sources, so that a reader can search for it.
func TestLogLines(t *testing.T) {
	t.Parallel()
	said := sources(t)
	for _, b := range blocks(t, "log", 5) {
		for line := range strings.Lines(b.text) {
			phrases := quoted.FindAllStringSubmatch(line, -1)
			if len(phrases) == 0 {
				phrases = [][]string{{"", strings.TrimSpace(line)}}
			}
			phrases = append(phrases, outcome.FindAllStringSubmatch(line, -1)...)
			for _, phrase := range phrases {
				if !strings.Contains(said, `"`+phrase[1]+`"`) {
					t.Errorf("%s: no program says %q", b.document.path, phrase[1])
				}
			}
		}
	}
}

// TestREADMELinksLogLines checks that the log lines that the README links to are in docs/troubleshooting.md, where readers
// search for them.
func TestREADMELinksLogLines(t *testing.T) {
	t.Parallel()
	lines := find(t, "docs/troubleshooting.md").text
	linked := regexp.MustCompile("\\[`([^`]+)`\\]\\(docs/troubleshooting.md").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(linked) < 5 {
		t.Errorf("found %d links", len(linked))
	}
	for _, m := range linked {
		if !strings.Contains(lines, m[1]) {
			t.Errorf("docs/troubleshooting.md does not have %q", m[1])
		}
	}
}
