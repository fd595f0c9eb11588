package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what has to come. Only a failing test waits that long.
const patience = 30 * time.Second

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{
			"-addr", "127.0.0.1:0", "-server-url", "http://localhost:4000/a/mcp", "-client-secret", "it's",
			"-webhook-url", "http://127.0.0.1:1/a", "-webhook-url", "http://127.0.0.1:1/b", "-webhook-secret", secret, "-environment-id", "env_1", "-org-claims",
			"-agent", "greet:write,announce:send",
		}, w, io.Discard)
		_ = w.Close()
	}()
	vars := make(map[string]string)
	lines := bufio.NewScanner(r)
	for len(vars) < 9 && lines.Scan() {
		if name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "="); ok {
			vars[name] = value
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if vars["WEBHOOK_SECRET"] != "'"+secret+"'" || vars["WEBHOOK_ENVIRONMENT_ID"] != "'env_1'" {
		t.Errorf("variables of webhooks: %v", vars)
	}
	if vars["SCALEKIT_RESOURCE_ID"] != "'res_local'" || vars["SCALEKIT_CLIENT_ID"] != "'skc_local'" ||
		vars["SCALEKIT_CLIENT_SECRET"] != `'it'\''s'` || vars["BASE_URL"] != "'http://localhost:4000'" ||
		vars["AGENT_CLIENT_ID"] != "'m2m_agent'" || len(vars["AGENT_CLIENT_SECRET"]) < 20 {
		t.Errorf("variables: %v", vars)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Trim(vars["SCALEKIT_ENVIRONMENT_URL"], "'")+"/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(patience):
		t.Error("the program does not end")
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"-addr", taken.Addr().String()}, "is taken"},
		{[]string{"-addr", "0.0.0.0:0"}, "-dangerously-allow-network"},
		{[]string{"-addr", "0.0.0.0:0", "-dangerously-allow-network", " , "}, "-dangerously-allow-network"},
		{[]string{"-addr", "127.0.0.1:0", "-dangerously-allow-network", "localhost,*"}, "DangerouslyAllowNetwork"},
		{[]string{"-addr", "127.0.0.1:0", "-issuer-origin", "acme.scalekit.com"}, "IssuerOrigin"},
		{[]string{"extra"}, "extra"},
		{[]string{"-addr", "127.0.0.1:0", "-webhook-url", "localhost"}, "WebhookURLs"},
		{[]string{"-addr", "127.0.0.1:0", "-webhook-secret", "x"}, "WebhookSecret"},
	} {
		var stderr bytes.Buffer
		err := run(t.Context(), tc.args, io.Discard, &stderr)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", tc.args, err)
		}
	}
	if err := run(t.Context(), []string{"-nonsense"}, io.Discard, io.Discard); !errors.Is(err, errUsage) {
		t.Errorf("unknown flag: %v", err)
	}
}

// A server in another container gets the variables that it needs there, and no other server does.
func TestRunForOtherContainers(t *testing.T) {
	t.Parallel()
	for names, want := range map[string][2]string{
		"":                  {"", ""},
		"localhost":         {"", ""},
		"devenv":            {"", "1"},
		"localhost devenv":  {"http://devenv:", "1"},
		"127.0.0.1,devenv":  {"http://devenv:", "1"},
		"localhost,fd00::7": {"http://[fd00::7]:", "1"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var stdout bytes.Buffer
		w := writerFunc(func(p []byte) (int, error) {
			defer cancel()
			return stdout.Write(p)
		})
		if err := run(ctx, []string{"-addr", "127.0.0.1:0", "-dangerously-allow-network", names}, w, io.Discard); err != nil {
			t.Errorf("%q: %v", names, err)
		}
		cancel()
		vars := make(map[string]string)
		for line := range strings.Lines(stdout.String()) {
			if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
				vars[name] = strings.Trim(value, "'")
			}
		}
		internal := vars["INTERNAL_ENVIRONMENT_URL"]
		if !strings.HasPrefix(internal, want[0]) || (internal == "") != (want[0] == "") || vars["DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT"] != want[1] {
			t.Errorf("%q: %v", names, vars)
		}
	}
}

// A server is told which setting makes it accept tokens that name another issuer.
func TestRunWithAnotherIssuer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		defer cancel()
		return stdout.Write(p)
	})
	if err := run(ctx, []string{"-addr", "127.0.0.1:0", "-issuer-origin", "https://acme.scalekit.com"}, w, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "\n# Access tokens name another issuer than this environment. The server accepts them with Config.Issuers: https://acme.scalekit.com/resources/res_local\n"; !strings.Contains(stdout.String(), want) {
		t.Errorf("%s", &stdout)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
