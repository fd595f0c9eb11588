package readme

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// exported returns the names that a package exports, those of methods and of the fields of structs included. A field is
// also there as Type.Field.
func exported(t *testing.T, dir string) (pkg string, names map[string]bool) {
	t.Helper()
	names = make(map[string]bool)
	for _, file := range files(t, ".go") {
		if path.Dir(file) != dir || strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), 0)
		if err != nil {
			t.Fatal(err)
		}
		pkg = parsed.Name.Name
		for _, declaration := range parsed.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addNames(names, spec)
				}
			}
		}
	}
	return pkg, names
}

func addNames(names map[string]bool, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		fields, ok := s.Type.(*ast.StructType)
		if !ok {
			return
		}
		for _, field := range fields.Fields.List {
			for _, name := range field.Names {
				names[s.Name.Name+"."+name.Name] = true
			}
		}
	}
}

var (
	qualified  = regexp.MustCompile(`\b(mcpauth[a-z0-9]*)\.([A-Z]\w*)`)
	ofVariable = regexp.MustCompile(`\b(?:rs|session)\.([A-Z]\w*)`)
	ofConfig   = regexp.MustCompile(`(?:^|[^\w.]|mcpauth\.)(Config\.[A-Z]\w*)`)
	importPath = regexp.MustCompile(`(mcpauth\w*) "github\.com/scalekit-mcp/mcpauth/([\w/]+)"`)
)

// TestNames checks that the library's names in the documents are exported by its packages.
func TestNames(t *testing.T) {
	t.Parallel()
	packages := make(map[string]map[string]bool)
	for _, dir := range append(modules(t), "core/mcpauthtest", "core/adaptertest") {
		if pkg, names := exported(t, dir); strings.HasPrefix(pkg, "mcpauth") {
			packages[pkg] = names
		}
	}
	checked := 0
	check := func(d *document, pkg, name string) {
		checked++
		if !packages[pkg][name] {
			t.Errorf("%s: there is no %s in package %s", d.path, name, pkg)
		}
	}
	for _, d := range documents(t) {
		for _, m := range qualified.FindAllStringSubmatch(d.text, -1) {
			check(d, m[1], m[2])
		}
		for _, m := range ofVariable.FindAllStringSubmatch(d.text, -1) {
			check(d, "mcpauth", m[1])
		}
		for _, m := range ofConfig.FindAllStringSubmatch(d.text, -1) {
			check(d, "mcpauth", m[1])
		}
		for _, m := range importPath.FindAllStringSubmatch(d.text, -1) {
			if pkg, _ := exported(t, m[2]); pkg != m[1] {
				t.Errorf("%s: %s is package %q, not %q", d.path, m[2], pkg, m[1])
			}
		}
	}
	if checked < 50 {
		t.Errorf("checked %d names: the patterns are broken", checked)
	}
}
