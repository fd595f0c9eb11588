// Command consumer proves that the modules are separate. It packs each module of HEAD as a module proxy would serve it, and
// builds a program that imports one adapter, outside of the workspace and without replace lines. Then it checks which
// modules the program depends on.
//
//	go run .ci/consumer/main.go
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

const root = "github.com/scalekit-mcp/mcpauth/"

// strangers are the dependencies that an adapter may have only if they are its own.
var strangers = []string{
	"github.com/gin-gonic/gin", "github.com/labstack/echo/v4", "github.com/labstack/echo/v5", "github.com/gofiber/fiber", "github.com/valyala/fasthttp",
	"github.com/scalekit-inc/scalekit-sdk-go", "github.com/modelcontextprotocol/go-sdk", "github.com/mark3labs/mcp-go", "github.com/luikyv/go-oidc",
	"github.com/redis/go-redis",
}

var adapters = []struct {
	dir, use string
	own      []string // the strangers that it may have
}{
	{"nethttp", "Middleware", nil},
	{"gin", "Middleware", []string{"github.com/gin-gonic/gin"}},
	{"echo", "Middleware", []string{"github.com/labstack/echo/v4"}},
	{"echov5", "Middleware", []string{"github.com/labstack/echo/v5"}},
	{"fasthttp", "Middleware", []string{"github.com/valyala/fasthttp"}},
	{"fiber", "Middleware", []string{"github.com/gofiber/fiber", "github.com/valyala/fasthttp"}},
	{"fiberv3", "Middleware", []string{"github.com/gofiber/fiber", "github.com/valyala/fasthttp"}},
	{"gosdk", "Handler", []string{"github.com/modelcontextprotocol/go-sdk"}},
	{"mcpgo", "Handler", []string{"github.com/mark3labs/mcp-go"}},
	{"revocation", "New", nil},
	{"revocation/file", "New", nil},
	{"revocation/redis", "New", []string{"github.com/redis/go-redis"}},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "mcpauth-consumer-")
	if err != nil {
		return err
	}
	c := &consumer{dir: dir}
	defer func() {
		_, cleanErr := c.command(dir, "go", "clean", "-modcache") // files of the module cache are read-only
		err = errors.Join(err, cleanErr, os.RemoveAll(dir))
	}()
	if err := c.setUp(); err != nil {
		return err
	}

	// All programs may depend on what jwx depends on; a program with nethttp on nothing else.
	jwx, err := c.measure("jwx", "github.com/lestrrat-go/jwx/v2/jws", "NewVerifier", "github.com/lestrrat-go/jwx/v2@v2.1.7")
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "adapter\tmodules in the graph\tmodules linked\tpackages\tbinary MiB\t")
	var mistakes []error
	for _, a := range adapters {
		if _, err := os.Stat(a.dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		r, err := c.measure(a.dir, root+a.dir, a.use, root+a.dir+"@v0.1.0")
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f\t\n", a.dir, len(r.graph), len(r.linked), r.packages, float64(r.size)/(1<<20))
		for _, module := range r.graph {
			for _, s := range strangers {
				if strings.HasPrefix(module, s) && !slices.Contains(a.own, s) {
					mistakes = append(mistakes, fmt.Errorf("a program with %s depends on %s", a.dir, module))
				}
			}
			if a.dir == "nethttp" && !slices.Contains(jwx.graph, module) && module != root+"core" && module != root+"nethttp" {
				mistakes = append(mistakes, fmt.Errorf("a program with nethttp depends on %s, which jwx does not need", module))
			}
		}
	}
	return errors.Join(append(mistakes, table.Flush())...)
}

// A consumer is a directory with a module proxy, a module cache of its own, and programs.
type consumer struct {
	dir     string
	env     []string
	modules []string // directories
}

// A result lists what a program depends on.
type result struct {
	graph    []string // modules that go.mod files name
	linked   []string // modules that packages came from
	packages int
	size     int64
}

// setUp packs the modules and makes the go command use them. Other modules come from the existing module cache.
func (c *consumer) setUp() error {
	cache, err := c.command(".", "go", "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	proxy, err := c.command(".", "go", "env", "GOPROXY")
	if err != nil {
		return err
	}
	modules, err := c.command(".", "git", "ls-files", "*go.mod")
	if err != nil {
		return err
	}
	for file := range strings.FieldsSeq(modules) {
		c.modules = append(c.modules, filepath.Dir(file))
	}
	for _, file := range c.modules {
		if err := c.pack(file); err != nil {
			return fmt.Errorf("packing %s: %w", file, err)
		}
	}
	c.env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -modcacherw", "GONOSUMDB="+root+"*", "GONOSUMCHECK=1",
		"GOMODCACHE="+filepath.Join(c.dir, "cache"),
		"GOPROXY=file://"+filepath.Join(c.dir, "proxy")+",file://"+filepath.Join(cache, "cache", "download")+","+proxy)
	return nil
}

// pack writes a module of HEAD into the proxy, with the LICENSE of the root.
func (c *consumer) pack(module string) error {
	at := filepath.Join(c.dir, "proxy", filepath.FromSlash(root), module, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	archive, err := c.command(".", "git", "archive", "--format=tar", "HEAD", "LICENSE", module)
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	w := zip.NewWriter(&zipped)
	files := tar.NewReader(strings.NewReader(archive))
	for {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(file.Name, module+"/")
		nested := slices.ContainsFunc(c.modules, func(other string) bool {
			return strings.HasPrefix(other, module+"/") && strings.HasPrefix(file.Name, other+"/")
		})
		if file.Typeflag != tar.TypeReg || nested {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if name == "go.mod" {
			if err := os.WriteFile(filepath.Join(at, "v0.1.0.mod"), text, 0o644); err != nil {
				return err
			}
		}
		entry, err := w.Create(root + module + "@v0.1.0/" + name)
		if err != nil {
			return err
		}
		if _, err := entry.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(
		w.Close(),
		os.WriteFile(filepath.Join(at, "v0.1.0.zip"), zipped.Bytes(), 0o644),
		os.WriteFile(filepath.Join(at, "v0.1.0.info"), []byte(`{"Version":"v0.1.0"}`), 0o644),
		os.WriteFile(filepath.Join(at, "list"), []byte("v0.1.0\n"), 0o644),
	)
}

// measure builds a program that uses one package.
func (c *consumer) measure(name, pkg, use, get string) (*result, error) {
	dir := filepath.Join(c.dir, "program-"+strings.ReplaceAll(name, "/", "-"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	source := fmt.Sprintf("package main\n\nimport p %q\n\nvar used = p.%s\n\nfunc main() { _ = used }\n", pkg, use)
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module consumer\n\ngo 1.25.0\n"), 0o644),
	); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"get", get}, {"mod", "tidy"}, {"build", "-o", "program"}} {
		if _, err := c.command(dir, "go", args...); err != nil {
			return nil, err
		}
	}
	graph, err := c.command(dir, "go", "list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	if err != nil {
		return nil, err
	}
	deps, err := c.command(dir, "go", "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", ".")
	if err != nil {
		return nil, err
	}
	r := &result{graph: strings.Fields(graph)}
	for _, m := range regexp.MustCompile(`(?m)^\S+ (\S*)$`).FindAllStringSubmatch(deps, -1) {
		r.packages++
		if m[1] != "" && !slices.Contains(r.linked, m[1]) {
			r.linked = append(r.linked, m[1])
		}
	}
	program, err := os.Stat(filepath.Join(dir, "program"))
	if err != nil {
		return nil, err
	}
	r.size = program.Size()
	return r, nil
}

func (c *consumer) command(dir, name string, args ...string) (stdout string, err error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, c.env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	if name == "go" {
		return strings.TrimSpace(string(out)), nil
	}
	return string(out), nil
}
