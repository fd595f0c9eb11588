package readme

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unreleased are the modules that users don't import.
var unreleased = []string{"bench", "core/differential", "core/differential/operations", "examples", "examples/mcpgo", "examples/revocation", "fasthttp/sdktest"}

func modules(t *testing.T) (dirs []string) {
	t.Helper()
	for _, file := range files(t, "go.mod") {
		if path.Base(file) == "go.mod" {
			dirs = append(dirs, path.Dir(file))
		}
	}
	return dirs
}

// requireVersion runs the script on the go.mod files of the tree, after which no other version may be required.
func requireVersion(t *testing.T, script string) {
	dir := t.TempDir()
	for _, file := range files(t, ".mod") {
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(read(t, file)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, dir, nil, "git init -q && git add .\n"+script)
	required := regexp.MustCompile(`scalekit-mcp/mcpauth/\S+ v(\S+)`)
	found := 0
	for _, file := range files(t, ".mod") {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range required.FindAllStringSubmatch(string(text), -1) {
			found++
			if m[1] != "0.2.0" {
				t.Errorf("%s requires %s", file, m[0])
			}
		}
		if strings.Contains(string(text), "=> ../") != strings.Contains(read(t, file), "=> ../") {
			t.Errorf("%s lost its replace lines", file)
		}
	}
	if found < 15 {
		t.Errorf("found %d versions: the pattern is broken", found)
	}
}

// tagVersion runs the script in a repository of its own. The tags have to be those of all modules that users import.
func tagVersion(t *testing.T, script string) {
	dir := t.TempDir()
	shell(t, dir, nil, "git init -q --bare origin && git init -q clone && cd clone && git remote add origin ../origin && git commit -q --allow-empty -m first")
	shell(t, filepath.Join(dir, "clone"), []string{"VERSION=v0.2.0"}, script)
	var want []string
	for _, module := range modules(t) {
		if !slices.Contains(unreleased, module) {
			want = append(want, module+"/v0.2.0")
		}
	}
	slices.Sort(want)
	if tags := strings.Fields(shell(t, filepath.Join(dir, "origin"), nil, "git tag")); !slices.Equal(tags, want) {
		t.Errorf("CONTRIBUTING.md tags %q, and there are %q", tags, want)
	}
}
