package readme

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEntryPointsHaveExamples reads the packages that users import, which are those of all modules but the examples and
// the measurements. Each exported function has an example of its name with output, and some example calls each exported
// method, unless only the standard library calls it.
func TestEntryPointsHaveExamples(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	if err != nil || len(dirs) < 8 {
		t.Fatalf("found %d modules (%v)", len(dirs), err)
	}
	for _, dir := range append(dirs, filepath.Join(root, "core/mcpauthtest/go.mod")) {
		dir = filepath.Dir(dir)
		if name := filepath.Base(dir); name == "examples" || name == "bench" {
			continue
		}
		pkg, called := readPackage(t, dir)
		functions := pkg.Funcs
		for _, typ := range pkg.Types {
			functions = append(functions, typ.Funcs...)
			for _, method := range typ.Methods {
				if !slices.Contains(called, method.Name) {
					t.Errorf("%s: no example calls %s.%s", dir, typ.Name, method.Name)
				}
			}
		}
		for _, function := range functions {
			if len(function.Examples) == 0 || function.Examples[0].Output == "" {
				t.Errorf("%s: %s has no example with output", dir, function.Name)
			}
		}
	}
}

// readPackage returns the documentation of a package, and the names of the methods that its examples or the standard library call.
func readPackage(t *testing.T, dir string) (pkg *doc.Package, called []string) {
	t.Helper()
	called = []string{"Error", "Format", "LogValue", "MarshalJSON", "MarshalText", "ServeHTTP", "String", "UnmarshalText"}
	files := token.NewFileSet()
	var parsed []*ast.File
	names, _ := filepath.Glob(filepath.Join(dir, "*.go")) // its only error is about the pattern
	for _, name := range names {
		isExample := strings.HasPrefix(filepath.Base(name), "example_")
		if strings.HasSuffix(name, "_test.go") && !isExample {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
		for node := range ast.Preorder(file) {
			if selector, ok := node.(*ast.SelectorExpr); ok && isExample {
				called = append(called, selector.Sel.Name)
			}
		}
	}
	pkg, err := doc.NewFromFiles(files, parsed, dir)
	if err != nil {
		t.Fatal(err)
	}
	return pkg, called
}
