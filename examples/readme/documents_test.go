// Package readme runs and checks what the documents of the repository say: their commands, their Go, the lines of the log,
// names, links, and the map of core in CONTRIBUTING.md.
package readme

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// A document is a Markdown file. Its path is relative to the root of the repository, with slashes.
type document struct {
	path   string
	text   string
	prose  string // without the blocks
	blocks []block
}

// A block is a fenced block of a document.
type block struct {
	language, text string
	document       *document
}

// documents returns all Markdown files of the repository.
func documents(t *testing.T) []*document {
	t.Helper()
	var all []*document
	for _, path := range files(t, ".md") {
		text := read(t, path)
		d := &document{path: path, text: text}
		d.split(t)
		all = append(all, d)
	}
	for _, path := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/troubleshooting.md", "gin/README.md"} {
		if !slices.ContainsFunc(all, func(d *document) bool { return d.path == path }) {
			t.Fatalf("%s was not found", path)
		}
	}
	return all
}

func find(t *testing.T, path string) *document {
	t.Helper()
	for _, d := range documents(t) {
		if d.path == path {
			return d
		}
	}
	t.Fatalf("there is no document %s", path)
	return nil
}

// split fills in prose and blocks. Blocks in lists are indented.
func (d *document) split(t *testing.T) {
	t.Helper()
	var prose strings.Builder
	var open *block
	indent := ""
	for line := range strings.Lines(d.text) {
		trimmed := strings.TrimLeft(line, " ")
		fence, isFence := strings.CutPrefix(strings.TrimSpace(trimmed), "```")
		switch {
		case isFence && open == nil:
			indent = line[:len(line)-len(trimmed)]
			open = &block{language: fence, document: d}
			if fence == "" {
				t.Errorf("%s: a block without a language, after %q", d.path, last(prose.String()))
			}
		case isFence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent)
		default:
			prose.WriteString(line)
		}
	}
	if open != nil {
		t.Errorf("%s: a block is not closed", d.path)
	}
	d.prose = prose.String()
}

func last(text string) string { return text[strings.LastIndexByte(strings.TrimSpace(text), '\n')+1:] }

// blocks returns the blocks of all documents in a language. If there are fewer than least, the search is broken.
func blocks(t *testing.T, language string, least int) []block {
	t.Helper()
	var found []block
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language == language {
				found = append(found, b)
			}
		}
	}
	if len(found) < least {
		t.Fatalf("found %d blocks of %s, expected at least %d", len(found), language, least)
	}
	return found
}

var inlineCode = regexp.MustCompile("`([^`]+)`")

// inline returns the texts between backquotes in a document.
func (d *document) inline() []string {
	var spans []string
	for _, m := range inlineCode.FindAllStringSubmatch(d.prose, -1) {
		spans = append(spans, strings.Join(strings.Fields(m[1]), " "))
	}
	return spans
}

// files returns the paths of all files of the repository whose name ends with one of suffixes, in order.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && path != root && (name == "node_modules" || name == "testdata" || name[0] == '.' && name != ".ci"):
			return fs.SkipDir
		case !entry.IsDir() && slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }):
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			found = append(found, filepath.ToSlash(relative))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(path string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(path)))
	return err == nil
}

// TestREADMEIsShort keeps the README short enough to read in one go. The rest belongs into docs.
func TestREADMEIsShort(t *testing.T) {
	t.Parallel()
	if lines := strings.Count(read(t, "README.md"), "\n"); lines > 180 {
		t.Errorf("README.md has %d lines; move something to docs, to have at most 180", lines)
	}
}
