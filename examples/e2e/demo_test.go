package e2e_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

var buildDemo = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs.dir, "demo")
	out, err := exec.Command("go", "build", "-o", path, "github.com/scalekit-mcp/mcpauth/examples/demo").CombinedOutput()
	if err != nil {
		_, _ = os.Stderr.Write(out)
	}
	return path, err
})

// demo prepares the demo with these variables, and without those of the developer's shell.
func demo(t *testing.T, vars ...string) *exec.Cmd {
	t.Helper()
	path, err := buildDemo()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"CI", "FRAMEWORK", "PORT", "DEVENV_PORT", "STATELESS", "PUBLIC"}, name)
	})
	cmd.Env = append(append(cmd.Env, "PORT=0", "DEVENV_PORT=0"), vars...)
	return cmd
}

func TestDemo(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				// The demo is local, however the developer's shell is configured.
				out, err := demo(t, "CI=true", "FRAMEWORK="+framework, variable, "SCALEKIT_ENVIRONMENT_URL=https://acme.scalekit.com", "BASE_URL=nonsense").CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for _, want := range []string{
					"The server is up. You are not signed in.", "401 Unauthorized", "WWW-Authenticate: Bearer", `"authorization_servers"`, `"registration_endpoint"`, "client_id  m2m_",
					`"sub": "usr_ada"`, `"userId":"usr_ada"`, "Hello, Ada!", "Analytical Engines", "Tools that only a user who has signed in sees\naudit ", "with the roles admin",
					`error="insufficient_scope", scope="announce:send"`, "announces: the engine runs",
					"opens the door front", `error="insufficient_scope", scope="doors:open"`, "opens the door vault", "All of it worked.",
				} {
					if !strings.Contains(string(out), want) {
						t.Errorf("the demo does not show %s:\n%s", want, out)
					}
				}
				// The public tool comes before anybody signs in, and each of the three scopes' steps asks a person once.
				told := string(out)
				if strings.Index(told, "You are not signed in.") > strings.Index(told, "== Authorization: ") || strings.Count(told, "== Authorization: ") != 3 {
					t.Errorf("the demo signs in at the wrong time, or not three times:\n%s", told)
				}
				if n := strings.Count(told, "\n"); n > 190 {
					t.Errorf("the demo has %d lines, which is too much to read", n)
				}
			})
		}
	})
}

// Without CI the server keeps running until the demo gets a signal.
func TestDemoStays(t *testing.T) {
	t.Parallel()
	cmd := demo(t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	url := ""
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		told.WriteString(lines.Text() + "\n")
		if _, rest, ok := strings.Cut(lines.Text(), "@modelcontextprotocol/inspector --server-url "); ok {
			url, _, _ = strings.Cut(rest, " ")
		}
		if strings.Contains(lines.Text(), "go run ./examples/client") {
			break
		}
	}
	if url == "" || !strings.Contains(told.String(), "claude mcp add --transport http mcpauth-demo "+url) {
		t.Errorf("the demo does not say how to connect a client:\n%s", told.String())
	} else if got := request(t, "POST", url, "", initialize, "Origin", "http://localhost:6274"); got.status != 401 {
		t.Errorf("POST %s: %d", url, got.status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if url != "" {
		host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/mcp")
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", host); err == nil {
			_ = conn.Close()
			t.Error("the server still runs after the demo has ended")
		}
	}
}

func TestDemoSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment() // occupies a port
	t.Cleanup(env.Close)
	taken := env.URL()[strings.LastIndex(env.URL(), ":")+1:]
	for name, tc := range map[string]struct {
		variable, want string
	}{
		"unknown framework": {"FRAMEWORK=rails", `demo: there is no example for the framework "rails"; there are `},
		"server's port":     {"PORT=" + taken, "demo: port " + taken + " is taken by another program; stop it, or set PORT to another one"},
		"environment's":     {"DEVENV_PORT=" + taken, "demo: port " + taken + " is taken by another program; stop it, or set DEVENV_PORT to another one"},
		"no port":           {"PORT=mcp", "demo: PORT: "},
		"a wrong setting":   {"STATELESS=perhaps", `demo: STATELESS: "perhaps" is not valid; set 1 or 0`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := demo(t, "CI=true", tc.variable)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			err := cmd.Run()
			said := strings.TrimSpace(stderr.String())
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(said, tc.want) || strings.Contains(said, "\n") {
				t.Errorf("it ends with %v and says %q, want one line with %q", err, said, tc.want)
			}
		})
	}
}
