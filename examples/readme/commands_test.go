package readme

import (
	"bufio"
	"context"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commands are the shell blocks of the documents, up to "...", and how to test each of them.
var commands = map[string]func(t *testing.T, script string){
	"make demo":                              demo,
	"go run ./devenv/cmd/devenv":             devenv,
	"go run ./devenv/cmd/devenv -org-claims": devenv,
	"go run ./devenv/cmd/devenv -issuer-origin https://acme.scalekit.com": func(t *testing.T, _ string) {
		stop := start(t, nil, "https://acme.scalekit.com/resources/res_local", "go", "run", "./devenv/cmd/devenv", "-issuer-origin", "https://acme.scalekit.com", "-addr", "127.0.0.1:0")
		stop()
	},
	"go run ./devenv/cmd/devenv -webhook-url http://localhost:3001/webhooks/scalekit":             devenv,
	"go run ./devenv/cmd/devenv -server-url http://localhost:3001/acme/mcp -resource-id res_acme": devenv,
	"go run ./examples/gin": func(t *testing.T, _ string) {
		stop := start(t, nil, "MCP server: ", "go", "run", "./examples/gin")
		stop()
	},
	"go run ./examples/client -auto -tool whoami": func(t *testing.T, _ string) {
		var url string
		stop := startWith(t, nil, func(line string) bool {
			rest, found := strings.CutPrefix(line, "MCP server: ")
			if found {
				url = strings.Fields(rest)[0]
			}
			return found
		}, "go", "run", "./examples/gin")
		defer stop()
		run(t, nil, "usr_ada", "go", "run", "./examples/client", "-auto", "-tool", "whoami", "-url", url)
	},
	"go run ./devenv/cmd/devenv -agent announce:send": func(t *testing.T, _ string) {
		stop := start(t, nil, "export AGENT_CLIENT_SECRET=", "go", "run", "./devenv/cmd/devenv", "-agent", "announce:send", "-addr", "127.0.0.1:0")
		stop()
	},
	"go run ./examples/agent ...":            agent,
	"mkdir ../greeter && cd ../greeter\n...": greeter,
	"export VERSION=...":                     requireVersion,
	"for dir in core ...":                    tagVersion,
}

func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("this test runs in the workspace only: alone, it would build the same programs again")
	}
	known := slices.Sorted(maps.Keys(commands))
	seen := make(map[string]bool)
	for _, b := range blocks(t, "sh", 5) {
		script := strings.TrimSpace(b.text)
		run := func(command string) bool {
			start, isStart := strings.CutSuffix(command, "...")
			return command == script || isStart && strings.HasPrefix(script, start)
		}
		i := slices.IndexFunc(known, run)
		if i < 0 {
			t.Errorf("%s: no test runs %q", b.document.path, script)
			continue
		}
		seen[known[i]] = true
		t.Run(strings.Join(strings.Fields(script)[:2], " "), func(t *testing.T) { commands[known[i]](t, script) })
	}
	for _, command := range known {
		if !seen[command] {
			t.Errorf("%q is no longer in a document", command)
		}
	}
}

var localPort = regexp.MustCompile(`http://localhost:\d+`)

// demo also looks for what documents quote from the demo.
func demo(t *testing.T, _ string) {
	out := localPort.ReplaceAllString(run(t, nil, "All of it worked.", "make", "demo"), "http://localhost:3001")
	for _, b := range blocks(t, "text", 1) {
		if !strings.Contains(out, b.text) {
			t.Errorf("%s: the demo does not say\n%s", b.document.path, b.text)
		}
	}
}

func devenv(t *testing.T, script string) {
	words := strings.Fields(script)
	stop := start(t, nil, "SCALEKIT_ENVIRONMENT_URL", words[0], append(words[1:], "-addr", "127.0.0.1:0")...)
	stop()
}

// greeter follows the README: it makes the workspace, puts the tool into the program, starts both with the settings that
// devenv prints, and signs in.
func greeter(t *testing.T, script string) {
	clone, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), "mcpauth") // where the script expects the clone
	if err := os.Mkdir(here, 0o700); err != nil {
		t.Fatal(err)
	}
	shell(t, here, nil, strings.ReplaceAll(script, "../mcpauth/", clone+"/"))
	program := filepath.Join(filepath.Dir(here), "greeter")

	var source, tool string
	for _, b := range find(t, "README.md").blocks {
		switch {
		case strings.Contains(b.text, "package main"):
			source = b.text
		case strings.Contains(b.text, "mcp.AddTool("):
			tool = b.text
		}
	}
	port := freePort(t)
	source = strings.Replace(source, "\t// The four statements.\n", tool+"\n", 1)
	source = strings.Replace(source, "import (\n", "import (\n\t\"context\"\n", 1)
	source = strings.Replace(source, "127.0.0.1:3001", "127.0.0.1:"+port, 1)
	if err := os.WriteFile(filepath.Join(program, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, program, nil, "go build -o greeter .")

	settings, stop := settingsOf(t, "BASE_URL", "-server-url", "http://localhost:"+port+"/mcp")
	defer stop()

	cmd := exec.CommandContext(t.Context(), filepath.Join(program, "greeter"))
	cmd.Env, cmd.Stderr = environment(settings), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	listens(t, "127.0.0.1:"+port)
	run(t, nil, "usr_ada", "go", "run", "./examples/client", "-auto", "-tool", "whoami", "-url", "http://localhost:"+port+"/mcp")
}

// settingsOf starts an environment and returns the settings that it prints, up to the one that is named last.
func settingsOf(t *testing.T, last string, flags ...string) (settings []string, stop func()) {
	t.Helper()
	export := regexp.MustCompile(`^export (\w+)='(.*)'$`)
	stop = startWith(t, nil, func(line string) bool {
		if m := export.FindStringSubmatch(line); m != nil {
			settings = append(settings, m[1]+"="+m[2])
		}
		return strings.HasPrefix(line, "export "+last+"=")
	}, "go", append([]string{"run", "./devenv/cmd/devenv", "-addr", "127.0.0.1:0"}, flags...)...)
	return settings, stop
}

// agent follows docs/machines.md: it starts an environment and a server, and runs the agent with the settings that the
// environment prints.
func agent(t *testing.T, script string) {
	port := freePort(t)
	settings, stop := settingsOf(t, "AGENT_CLIENT_SECRET", "-agent", "announce:send", "-server-url", "http://localhost:"+port+"/mcp")
	defer stop()
	stopServer := start(t, append([]string{"PORT=" + port}, settings...), "MCP server: ", "go", "run", "./examples/gin")
	defer stopServer()
	run(t, settings, "m2m_agent announces: the nightly job ran", "bash", "-c", script+" -url http://localhost:"+port+"/mcp")
}

// environment returns our environment without the variables that configure an example, or the go and make that run this
// test.
func environment(more []string) []string {
	env := []string{"CI=true", "PORT=0", "DEVENV_PORT=0"} // the usual ports may be in use on a developer's machine
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "SCALEKIT_") && !slices.Contains([]string{"BASE_URL", "CI", "FRAMEWORK", "GOWORK", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}, name) {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

func run(t *testing.T, env []string, want, name string, args ...string) (output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = root, environment(env)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%s: %v, without %q\n%s", name, err, want, out)
	}
	return string(out)
}

// shell runs a script in which no line may fail, and returns its output.
func shell(t *testing.T, dir string, env []string, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = environment(append([]string{
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com",
		"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com",
	}, env...))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s%s", err, script, out, errs.String())
	}
	return string(out)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// listens waits until a program listens at an address.
func listens(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nothing listens: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
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
