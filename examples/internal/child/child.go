// Package child builds the examples and runs them as processes of their own, for the demo and for the tests: what is
// shown and tested is the program that a user starts.
package child

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Frameworks are the directories of the examples, one for each router. The demo shows the first unless told otherwise:
// net/http, because there is least to fetch and to compile.
var Frameworks = []string{"nethttp", "gin", "echo", "echov5", "fasthttp", "fiber", "fiberv3"}

const module = "github.com/scalekit-mcp/mcpauth/examples/"

// Check returns an error when there is no example for a framework.
func Check(framework string) error {
	if !slices.Contains(Frameworks, framework) {
		return fmt.Errorf("there is no example for the framework %q; there are %s", framework, strings.Join(Frameworks, ", "))
	}
	return nil
}

// Build compiles the example for a framework into dir and returns the program's path.
func Build(ctx context.Context, framework, dir string, flags ...string) (string, error) {
	if err := Check(framework); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "example-"+framework)
	args := append([]string{"build", "-o", program}, flags...)
	if out, err := exec.CommandContext(ctx, "go", append(args, module+framework)...).CombinedOutput(); err != nil { //nolint:gosec // of the list above
		return "", fmt.Errorf("building the %s example: %w\n%s", framework, err, bytes.TrimSpace(out))
	}
	return program, nil
}

// A Process is a running example.
type Process struct {
	URL         string // the MCP endpoint
	Environment string // the Scalekit environment

	cmd    *exec.Cmd
	stderr *tail
	done   chan struct{}
	err    error // once done
}

var announcement = regexp.MustCompile(`(?m)^(Scalekit environment|MCP server): (\S+)`)

// Start runs program with env on top of the parent's variables, without any that configure an example, and returns
// when it accepts requests. It ends with ctx, at the latest. What a program says that does not get so far is the error.
func Start(ctx context.Context, program string, env ...string) (*Process, error) {
	p := &Process{stderr: &tail{}, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, program)
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), configures), env...)
	p.cmd.Stderr = p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second // then it is killed
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		p.read(stdout, ready)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	select {
	case <-ready:
		return p, nil
	case <-p.done:
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if said := p.stderr.String(); said != "" {
			return nil, errors.New(said)
		}
		return nil, fmt.Errorf("the example ended: %w", p.err)
	}
}

// read takes in what the example says about itself, and then keeps its pipe empty.
func (p *Process) read(stdout io.Reader, ready chan<- struct{}) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		match := announcement.FindStringSubmatch(lines.Text())
		switch {
		case match == nil:
		case match[1] == "Scalekit environment":
			p.Environment = match[2]
		case p.URL == "":
			p.URL = match[2]
			close(ready)
		}
	}
}

func configures(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "SCALEKIT_") || slices.Contains([]string{
		"ADDR", "PORT", "DEVENV_PORT", "BASE_URL", "REQUIRED_SCOPES", "ALLOWED_ORIGINS", "STATELESS", "PUBLIC", "CLOCK_SKEW",
		"INTERNAL_ENVIRONMENT_URL", "DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT",
	}, name)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log returns the last of what the process wrote to stderr.
func (p *Process) Log() string { return p.stderr.String() }

// ForwardLog writes what the process has written to stderr, and will write, to w.
func (p *Process) ForwardLog(w io.Writer) {
	p.stderr.mu.Lock()
	defer p.stderr.mu.Unlock()
	_, _ = w.Write(p.stderr.kept)
	p.stderr.next = w
}

// Stop asks the process to end, as a terminal or a container does, and waits for it. The error is that of a process
// which did not end with exit code 0.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return p.err
}

// tail keeps the last of what is written to it.
type tail struct {
	next io.Writer
	mu   sync.Mutex
	kept []byte
}

const maxTail = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - maxTail; extra > 0 {
		t.kept = t.kept[extra:]
	}
	if t.next != nil {
		return t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
