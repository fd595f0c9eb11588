package keys_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestJWXIsImportedByOneFile reads the imports of all files of core. Authentication depends on this library, so one file has
// to show all that mcpauth uses of it.
func TestJWXIsImportedByOneFile(t *testing.T) {
	t.Parallel()
	core := filepath.Join("..", "..")
	var importers []string
	err := filepath.WalkDir(core, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != core {
				return filepath.SkipDir // another module
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if strings.HasPrefix(spec.Path.Value, `"github.com/lestrrat-go/jwx/`) && !slices.Contains(importers, path) {
				importers = append(importers, path)
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(importers, []string{filepath.Join(core, "internal", "keys", "jwx.go")}) {
		t.Errorf("jwx is imported by %q (%v)", importers, err)
	}
}
