package readme

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	target     = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	assignment = regexp.MustCompile(`^([A-Z_]+)=`)
	treePath   = regexp.MustCompile(`^\.?[\w.-]+(/[\w.-]+)+/?$`)
	version    = regexp.MustCompile(`/v\d`)
	inTest     = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz|Example)\w*)\(`)
)

// TestInlineCommands checks that the commands and paths in running text name things that exist: verbs of make, directories,
// variables, tests and benchmarks.
func TestInlineCommands(t *testing.T) {
	t.Parallel()
	var verbs []string
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		verbs = append(verbs, m[1])
	}
	programs := sources(t) + read(t, "Makefile")
	for _, file := range files(t, "_test.go") {
		programs += read(t, file)
	}
	checked := 0
	for _, d := range documents(t) {
		for _, span := range d.inline() {
			words := strings.Fields(span)
			for len(words) > 1 && assignment.MatchString(words[0]) {
				if name := assignment.FindStringSubmatch(words[0])[1]; name != "GOWORK" && !strings.Contains(programs, name) {
					t.Errorf("%s: nothing reads %s, of %q", d.path, name, span)
				}
				words = words[1:]
			}
			switch {
			case words[0] == "make":
				checked++
				for _, verb := range words[1:] {
					if !strings.Contains(verb, "=") && !slices.Contains(verbs, verb) {
						t.Errorf("%s: the Makefile has no verb %s, of %q", d.path, verb, span)
					}
				}
			case words[0] == "go" && len(words) > 2 && (words[1] == "run" || words[1] == "test"):
				checked++
				checkGo(t, d, words)
			case len(words) == 1 && treePath.MatchString(span) && exists(strings.Split(span, "/")[0]) && !version.MatchString(span):
				checked++
				if !exists(span) {
					t.Errorf("%s: there is no %s", d.path, span)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("checked %d commands and paths: the patterns are broken", checked)
	}
}

// checkGo checks the directories of go run and go test, and that -run and -bench match something there. "./x" stands for
// any adapter.
func checkGo(t *testing.T, d *document, words []string) {
	t.Helper()
	tests := ""
	for _, word := range words {
		if !strings.HasPrefix(word, "./") || word == "./x" {
			continue
		}
		dir := strings.TrimPrefix(strings.TrimSuffix(word, "/..."), "./")
		if !exists(dir) {
			t.Errorf("%s: there is no %s", d.path, word)
		}
		for _, file := range files(t, "_test.go") {
			if path.Dir(file) == dir {
				tests += read(t, file)
			}
		}
	}
	for i, word := range words[1 : len(words)-1] {
		pattern := strings.Trim(words[i+2], `"'`)
		if (word == "-run" || word == "-bench") && pattern != "-" {
			for alternative := range strings.SplitSeq(pattern, "|") {
				matches := func(m []string) bool { return strings.Contains(m[1], alternative) }
				if !slices.ContainsFunc(inTest.FindAllStringSubmatch(tests, -1), matches) {
					t.Errorf("%s: %s matches nothing, of %q", d.path, alternative, words)
				}
			}
		}
	}
}
