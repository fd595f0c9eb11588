package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Words that made first readers stop, each with what to write instead.
var words = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b([Nn]obody|[Ww]hoever)\b`), "name who it is, or who it is not"},
	{regexp.MustCompile(`\bsees to it\b`), "say what it does"},
	{regexp.MustCompile(`\b[Bb]eside\b`), `"in addition to", "next to" or "in the background"`},
	{regexp.MustCompile(`\b(is|are|was|were) no (\w+)`), `"is not a"`},
}

// there matches the uses of "is no" that are plain, as in "there is no user" and "is no longer".
var there = regexp.MustCompile(`([Tt]here (is|are|was|were) no\b.*|\b(is|are|was|were) no (longer|more|larger)\b)`)

// names are strings that can't change: hosts in golden files, and tests that core/REQUIREMENTS.md names.
var names = regexp.MustCompile(`whoever\.example|name: "R\d+ [^"]*"|` + "`Test[^`]*`")

// TestWords checks that no Go or Markdown file of the repository has such words.
func TestWords(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "*.go", "*.md").Output()
	if err != nil {
		t.Skipf("git does not list the files: %v", err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) || strings.HasSuffix(file, "words_test.go") {
			continue
		}
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			line = there.ReplaceAllString(names.ReplaceAllString(line, ""), "")
			for _, word := range words {
				if found := word.pattern.FindString(line); found != "" {
					t.Errorf("%s:%d: %q; write %s", file, number, found, word.instead)
				}
			}
		}
	}
}
