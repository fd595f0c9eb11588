package readme

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks follows every link to a file of the repository, and to a heading in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := make(map[string]*document)
	for _, d := range documents(t) {
		all[d.path] = d
	}
	followed := 0
	for _, d := range all {
		for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			file, fragment, hasFragment := strings.Cut(m[1], "#")
			target := d.path
			if file != "" {
				target = path.Join(path.Dir(d.path), file)
			}
			switch to := all[target]; {
			case !exists(target):
				t.Errorf("%s: there is no %s", d.path, target)
			case hasFragment && to == nil:
				t.Errorf("%s: %s is not a document, and has no headings", d.path, target)
			case hasFragment && !to.hasHeading(fragment):
				t.Errorf("%s: %s has no heading #%s", d.path, target, fragment)
			}
		}
	}
	if followed < 20 {
		t.Errorf("followed %d links: the pattern is broken", followed)
	}
}

// hasHeading reports whether one of the headings has a name, as GitHub makes names of headings.
func (d *document) hasHeading(name string) bool {
	for _, m := range heading.FindAllStringSubmatch(d.prose, -1) {
		if strings.ReplaceAll(strings.ToLower(noSlug.ReplaceAllString(m[1], "")), " ", "-") == name {
			return true
		}
	}
	return false
}

// TestDocumentsAreLinked looks for a way from the README to each document of docs.
func TestDocumentsAreLinked(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	for _, d := range documents(t) {
		if strings.HasPrefix(d.path, "docs/") && !strings.Contains(readme, "("+d.path) {
			t.Errorf("README.md does not link to %s", d.path)
		}
	}
}
