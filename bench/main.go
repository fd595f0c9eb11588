// Command bench measures mcpauth and other libraries, in the same run and doing the same work, and prints
// docs/performance.md. Times move from machine to machine and from day to day; ratios to what was measured with them are
// the figures.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

// A session is one run of the program.
type session struct {
	fixture *fixture.Fixture
	options measure.Options
	out     *bytes.Buffer
	targets measure.Table
}

func (s *session) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// target notes whether a target is met.
func (s *session) target(name, target, measured string, met bool) {
	verdict := "yes"
	if !met {
		verdict = "NO"
	}
	s.targets.Add(name, target, measured, verdict)
}

// A section is a chapter of the output.
type section struct {
	name string
	run  func(*session) error
}

var sections = []section{
	{"verify", verifying},
	{"handlers", handlers},
	{"caches", caches},
	{"scaling", scaling},
	{"toolcall", toolCalls},
	{"toolcall-inside", (*session).toolCallsWithoutSocket},
	{"policy", policies},
	{"lists", lists},
	{"bodies", bodies},
	{"revocation", revocations},
	{"memory", memory},
	{"contention", contention},
}

func main() {
	serve := flag.String("serve", "", "be the server of the section toolcall; used by the program itself")
	rounds := flag.Int("rounds", 15, "how many interleaved rounds")
	sample := flag.Duration("sample", 20*time.Millisecond, "how long a row runs in a round")
	only := flag.String("only", "", "sections to run, separated by commas; all by default")
	seed := flag.Uint64("seed", 1, "of the order of the rows")
	output := flag.String("o", "", "the file to write, once all has worked; standard output by default")
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveToolCalls(*serve)
	} else {
		err = run(*only, *output, measure.Options{Rounds: *rounds, Sample: *sample, Seed: *seed})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(only, output string, options measure.Options) error {
	if options.Rounds < 1 || options.Sample <= 0 {
		return errors.New("-rounds and -sample have to be positive")
	}
	f, err := fixture.New()
	if err != nil {
		return err
	}
	defer f.Close()
	s := &session{fixture: f, options: options, out: new(bytes.Buffer)}
	s.targets.Head = []string{"target", "wanted", "measured", "met"}
	start, load, ran := time.Now(), loadAverage(), 0
	for _, section := range sections {
		if only != "" && !strings.Contains(","+only+",", ","+section.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", section.name)
		if err := section.run(s); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		ran++
	}
	if ran == 0 {
		return fmt.Errorf("-only %s: no such section", only)
	}
	var document bytes.Buffer
	s.head(&document, start, load)
	_, _ = s.out.WriteTo(&document) // neither of the buffers fails
	if output != "" {
		return os.WriteFile(output, bytes.TrimRight(document.Bytes(), "\n"), 0o644) //nolint:gosec // a document for everybody
	}
	_, err = document.WriteTo(os.Stdout)
	return err
}

func (s *session) head(w io.Writer, start time.Time, load string) {
	fmt.Fprintf(w, `# Performance

Written by `+"`make bench-docs`"+`; `+"`make bench`"+` prints the same document for your machine. Times move from machine to machine
and from day to day: compare what is in one table, and take differences below 10 %% for nothing. What CI holds is
`+"`make bench-allocs`"+`, the allocations of the hot paths, because they do not depend on the machine.

- Measured on %s in %s: %s, %d cores in use, %s/%s, %s.
- The load of the machine was %s when it began. The nearer to 0, the better the figures.
- %d interleaved rounds, each row for about %s in each round, in another order each time. "min" is the fastest round, "median"
  that in the middle.
- The other libraries: %s.

`, start.UTC().Format(time.DateOnly), time.Since(start).Round(time.Second), processor(), runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH,
		runtime.Version(), load, s.options.Rounds, s.options.Sample, peerVersions())
	fmt.Fprint(w, "## Targets\n\nCounts, and ratios of what was measured in this run: they mean the same on another machine, which times don't. \"x RSA\" is the\n"+
		"time of one signature check, `rsa.VerifyPKCS1v15`.\n\n")
	s.targets.Print(w)
}

// processor returns the name of the processor, as far as the system tells.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "a processor that does not tell its name"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "a processor that does not tell its name"
}

// loadAverage returns how many programs wanted to run during the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "unknown"
}

// peerVersions returns the modules that are compared with ours, as they were built in.
func peerVersions() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown versions"
	}
	var names []string
	for _, module := range build.Deps {
		name := strings.TrimPrefix(module.Path, "github.com/")
		if slices.Contains(measured, name) {
			names = append(names, name+" "+module.Version)
		}
	}
	return wrap(strings.Join(names, ", "), 100)
}

// wrap breaks text into lines, indented as the text of a list is.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && column+len(word) > width:
			b.WriteString("\n  ")
			column = 0
		case i > 0:
			b.WriteString(" ")
		}
		b.WriteString(word)
		column += len(word) + 1
	}
	return b.String()
}

var measured = []string{
	"appleboy/gin-jwt/v3", "auth0/go-jwt-middleware/v3", "coreos/go-oidc/v3", "dgraph-io/ristretto/v2", "gin-gonic/gin", "go-jose/go-jose/v4", "gofiber/contrib/jwt",
	"hashicorp/golang-lru/v2", "maypok86/otter/v2",
	"gofiber/fiber/v2", "golang-jwt/jwt/v5", "labstack/echo-jwt/v4", "labstack/echo/v4", "labstack/echo/v5", "lestrrat-go/jwx/v2", "modelcontextprotocol/go-sdk",
}
