// Package readme runs the commands, and compiles the snippets, of the README.
package readme

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// A block is a fenced block of the README.
type block struct{ language, text string }

func blocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, block{m[1], m[2]})
	}
	if len(all) < 8 {
		t.Fatalf("found %d blocks: the pattern is broken", len(all))
	}
	return all
}

// imports are the packages that a snippet may use without importing them.
var imports = map[string]string{
	"context.": `"context"`, "errors.": `"errors"`, "log.": `"log"`, "http.": `"net/http"`,
	"gin.": `"github.com/gin-gonic/gin"`, "mcpauthgin.": `mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"`,
	"echo.": `"github.com/labstack/echo/v4"`, "mcpauthecho.": `mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"`,
	"time.": `"time"`, "fiber.": `"github.com/gofiber/fiber/v2"`, "mcpauthfiber.": `mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"`,
	"mcpauthgosdk.": `mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"`,
	"mcpauth.":      `mcpauth "github.com/scalekit-mcp/mcpauth/core"`,
	"mcpauthtest.":  `"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"`,
	"scalekit.":     `"github.com/scalekit-inc/scalekit-sdk-go"`,
}

// program completes a snippet to a whole program.
func program(snippet string) string {
	if strings.Contains(snippet, "package main") {
		return snippet
	}
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for use, path := range imports {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(use)).MatchString(snippet + " context. http. mcpauth.") {
			fmt.Fprintf(&b, "\t%s\n", path)
		}
	}
	b.WriteString(")\n\nfunc main() {}\n\nvar _ = context.Background\n\nfunc snippet(ctx context.Context, rs *mcpauth.ResourceServer, handler http.Handler) error {\n\t{\n")
	for line := range strings.Lines(snippet) {
		b.WriteString("\t" + line)
	}
	for _, name := range regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? := `).FindAllStringSubmatch(snippet, -1) {
		for _, n := range name[1:] {
			if n != "" {
				fmt.Fprintf(&b, "\t_ = %s\n", n)
			}
		}
	}
	return b.String() + "\t}\n\treturn nil\n}\n"
}

func TestGoSnippetsCompile(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range blocks(t) {
		if b.language != "go" {
			continue
		}
		n++
		source := program(b.text)
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, out, source)
		}
	}
	if n < 4 {
		t.Errorf("only %d snippets", n)
	}
}

// TestLogLines looks for every log line of the README in the sources, so that a reader can search for it.
func TestLogLines(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, pattern := range []string{"*.go", "internal/*/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, "core", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	said := strings.ReplaceAll(sources.String(), "\" +\n\t\"", "")
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for _, b := range blocks(t) {
		if b.language != "log" {
			continue
		}
		for line := range strings.Lines(b.text) {
			phrases := quoted.FindAllStringSubmatch(line, -1)
			if len(phrases) == 0 {
				phrases = [][]string{{"", strings.TrimSpace(line)}}
			}
			for _, phrase := range phrases {
				if !strings.Contains(said, phrase[1]) {
					t.Errorf("the library never says %q", phrase[1])
				}
			}
		}
	}
}

// commands are the README's commands, and how to test each of them. make test runs this test, so it can't run here.
var commands = map[string]func(*testing.T){
	"make demo": func(t *testing.T) { run(t, nil, "All of it worked.", "make", "demo") },
	"make test": func(t *testing.T) { run(t, nil, "go test", "make", "-n", "test") },
	"go run ./devenv/cmd/devenv": func(t *testing.T) {
		stop := start(t, nil, "SCALEKIT_ENVIRONMENT_URL", "go", "run", "./devenv/cmd/devenv", "-addr", "127.0.0.1:0")
		stop()
	},
	"go run ./examples/gin": func(t *testing.T) {
		stop := start(t, []string{"PORT=0"}, "MCP server: ", "go", "run", "./examples/gin")
		stop()
	},
	"go run ./examples/client -auto -tool whoami": func(t *testing.T) {
		line := make(chan string, 1)
		stop := startWith(t, []string{"PORT=0"}, func(text string) bool {
			url, found := strings.CutPrefix(text, "MCP server: ")
			if found {
				line <- strings.Fields(url)[0]
			}
			return found
		}, "go", "run", "./examples/gin")
		defer stop()
		run(t, nil, "usr_ada", "go", "run", "./examples/client", "-auto", "-tool", "whoami", "-url", <-line)
	},
}

func TestCommands(t *testing.T) {
	seen := make(map[string]bool)
	for _, b := range blocks(t) {
		if b.language != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			command := strings.TrimSpace(line)
			do, ok := commands[command]
			if !ok {
				t.Errorf("no test runs the command %q", command)
				continue
			}
			seen[command] = true
			t.Run(command, do)
		}
	}
	for command := range commands {
		if !seen[command] {
			t.Errorf("%q is no longer in the README", command)
		}
	}
}

// environment returns our environment without the variables that configure an example, or the go and make that run this
// test.
func environment(more []string) []string {
	env := []string{"CI=true", "PORT=" + freePort, "DEVENV_PORT=" + freeDevenvPort}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "SCALEKIT_") && !slices.Contains([]string{"BASE_URL", "CI", "FRAMEWORK", "GOWORK", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}, name) {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// The demo's own ports may be in use on a developer's machine.
const freePort, freeDevenvPort = "0", "0"

func run(t *testing.T, env []string, want, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = root, environment(env)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%s: %v, without %q\n%s", name, err, want, out)
	}
}

func start(t *testing.T, env []string, want, name string, args ...string) (stop func()) {
	t.Helper()
	return startWith(t, env, func(line string) bool { return strings.Contains(line, want) }, name, args...)
}

// startWith starts a program and returns when it has printed the line that ready accepts. The program has a process group of
// its own, since go run does not pass signals on.
func startWith(t *testing.T, env []string, ready func(line string) bool, name string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = root, environment(env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if ready(lines.Text()) {
			go func() {
				for lines.Scan() {
				}
			}()
			return func() {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
				_ = cmd.Wait()
			}
		}
	}
	t.Fatalf("%s ended: %v", name, cmd.Wait())
	return nil
}
