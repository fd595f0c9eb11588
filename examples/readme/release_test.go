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

// The steps of a release, as CONTRIBUTING.md has them.
const (
	requireCore = `export VERSION=v0.2.0
for dir in nethttp gin echo fiber gosdk devenv; do
  (cd "$dir" && go mod edit -require="github.com/scalekit-mcp/mcpauth/core@$VERSION")
done`
	tagModules = `for dir in core nethttp gin echo fiber gosdk devenv; do
  git tag -a "$dir/$VERSION" -m "$dir $VERSION"
done
git push origin "core/$VERSION"
git push origin --tags`
)

// unreleased are the modules that users don't import.
var unreleased = []string{"bench", "core/differential", "core/differential/operations", "examples", "examples/mcpgo", "fiber/sdktest"}

func modules(t *testing.T) (dirs []string) {
	t.Helper()
	for _, file := range files(t, "go.mod") {
		if path.Base(file) == "go.mod" {
			dirs = append(dirs, path.Dir(file))
		}
	}
	return dirs
}

// released returns the modules of a script's loop, which have to be all that users import.
func released(t *testing.T, script string) []string {
	t.Helper()
	named := strings.Fields(regexp.MustCompile(`for dir in ([^;]+);`).FindStringSubmatch(script)[1])
	for _, dir := range modules(t) {
		requiresCore := strings.Contains(read(t, dir+"/go.mod"), "mcpauth/core v")
		if want := !slices.Contains(unreleased, dir) && (script == tagModules || requiresCore); slices.Contains(named, dir) != want {
			t.Errorf("%s: named by the release: %v, wanted: %v", dir, !want, want)
		}
	}
	return named
}

func requireVersion(t *testing.T, script string) {
	dir := t.TempDir()
	dirs := released(t, script)
	for _, module := range dirs {
		if err := os.MkdirAll(filepath.Join(dir, module), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, module, "go.mod"), []byte(read(t, module+"/go.mod")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, dir, nil, script)
	for _, module := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, module, "go.mod"))
		if err != nil || !strings.Contains(string(text), "github.com/scalekit-mcp/mcpauth/core v0.2.0\n") {
			t.Errorf("%s/go.mod: %v\n%s", module, err, text)
		}
	}
}

func tagVersion(t *testing.T, script string) {
	dir := t.TempDir()
	shell(t, dir, nil, "git init -q --bare origin && git init -q clone && cd clone && git remote add origin ../origin && git commit -q --allow-empty -m first")
	shell(t, filepath.Join(dir, "clone"), []string{"VERSION=v0.2.0"}, script)
	var want []string
	for _, module := range released(t, script) {
		want = append(want, module+"/v0.2.0")
	}
	slices.Sort(want)
	if tags := strings.Fields(shell(t, filepath.Join(dir, "origin"), nil, "git tag")); !slices.Equal(tags, want) {
		t.Errorf("tagged %q, expected %q", tags, want)
	}
}
