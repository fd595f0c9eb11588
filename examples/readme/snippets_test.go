package readme

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// imports are the packages that a snippet may use without importing them, by name. What a document imports itself, in any of
// its snippets, comes before them: fiber is another package in fiberv3/README.md.
var imports = map[string]string{
	"context": "context", "errors": "errors", "log": "log", "http": "net/http", "time": "time",
	"gin": "github.com/gin-gonic/gin", "echo": "github.com/labstack/echo/v4", "fiber": "github.com/gofiber/fiber/v2",
	"gorillamux": "github.com/gorilla/mux", "mcp": "github.com/modelcontextprotocol/go-sdk/mcp",
	"scalekit": "github.com/scalekit-inc/scalekit-sdk-go",

	"mcpauth": "github.com/scalekit-mcp/mcpauth/core", "mcpauthtest": "github.com/scalekit-mcp/mcpauth/core/mcpauthtest",
	"mcpauthhttp": "github.com/scalekit-mcp/mcpauth/nethttp", "mcpauthgosdk": "github.com/scalekit-mcp/mcpauth/gosdk",
	"mcpauthgin": "github.com/scalekit-mcp/mcpauth/gin", "mcpauthecho": "github.com/scalekit-mcp/mcpauth/echo",
	"mcpauthfiber": "github.com/scalekit-mcp/mcpauth/fiber",
}

// variables are the variables that a snippet may use without declaring them. A snippet that declares one of them hides it.
var variables = map[string]string{
	"ctx": "context.Context", "rs": "*mcpauth.ResourceServer", "policy": "*mcpauth.Policy",
	"handler": "http.Handler", "server": "*mcp.Server", "streamable": "*mcp.StreamableHTTPHandler",
	"mux": "*http.ServeMux", "gorilla": "*gorillamux.Router", "router": "*gin.Engine", "e": "*echo.Echo", "app": "*fiber.App",
	"others": "func(*fasthttp.RequestCtx)",
}

func TestGoSnippetsCompile(t *testing.T) {
	t.Parallel()
	for i, b := range blocks(t, "go", 10) {
		t.Run(fmt.Sprintf("%s/%d", b.document.path, i), func(t *testing.T) {
			t.Parallel()
			if strings.Contains(b.text, "nolint") {
				t.Error("a reader has another linter, or none: a snippet needs no nolint")
			}
			source := program(b)
			file := filepath.Join(t.TempDir(), "snippet.go")
			if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file)
			cmd.Env = environment(nil) // in the workspace also where this module is tested alone
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\n%s", err, out, source)
			}
		})
	}
}

var (
	importBlock = regexp.MustCompile(`(?ms)^import \(\n(.*?)^\)\n`)
	importLine  = regexp.MustCompile(`(?m)^(?:import|\t)\s*(\w+)? ?"([^"]+)"\n`)
	declared    = regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? := `)
	comment     = regexp.MustCompile(`(?m)//.*$`)
	majorSuffix = regexp.MustCompile(`/v\d+$`)
)

// program completes a snippet to a package. Compiling a package that is not main links nothing.
func program(b block) string {
	if strings.Contains(b.text, "package main") {
		return b.text
	}
	available := maps.Clone(imports)
	for _, other := range b.document.blocks {
		if other.language == "go" && !strings.Contains(other.text, "package main") {
			maps.Copy(available, importsOf(other.text))
		}
	}
	own := importsOf(b.text)
	body := importLine.ReplaceAllString(importBlock.ReplaceAllString(b.text, ""), "")

	code := comment.ReplaceAllString(body, "")
	var parameters []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if available[name] != "" {
			continue // the document imports a package of that name
		}
		if regexp.MustCompile(`(^|[^\w.])` + name + `\b`).MatchString(code) {
			parameters = append(parameters, name+" "+variables[name])
		}
	}
	signature := strings.Join(parameters, ", ")

	var source strings.Builder
	source.WriteString("package snippet\n\nimport (\n")
	for _, name := range slices.Sorted(maps.Keys(available)) {
		switch {
		case strings.TrimSpace(code) == "" && own[name] != "":
			fmt.Fprintf(&source, "\t_ %q\n", own[name]) // the snippet shows the import and no more
		case regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(signature + " " + code):
			fmt.Fprintf(&source, "\t%s %q\n", name, available[name])
		}
	}
	fmt.Fprintf(&source, ")\n\nfunc snippet(%s) error {\n\t{\n%s", signature, body)
	for _, m := range declared.FindAllStringSubmatch(body, -1) {
		for _, name := range m[1:] {
			if name != "" {
				fmt.Fprintf(&source, "\t_ = %s\n", name)
			}
		}
	}
	source.WriteString("\t}\n\treturn nil\n}\n")
	return source.String()
}

// importsOf returns the imports in a snippet, by name.
func importsOf(text string) map[string]string {
	found := make(map[string]string)
	if !strings.Contains(text, "import") {
		return found
	}
	for _, m := range importLine.FindAllStringSubmatch(text, -1) {
		found[cmp.Or(m[1], filepath.Base(majorSuffix.ReplaceAllString(m[2], "")))] = m[2]
	}
	return found
}
