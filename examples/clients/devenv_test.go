package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestDevenvPage opens the page of the local environment in Chromium, has a user sign in meanwhile, and ends the session by its
// button. Another page of the same browser, which even knows the token of its forms, can do nothing. It runs with MCPAUTH_CLIENTS=1, and
// leaves screenshots.
func TestDevenvPage(t *testing.T) {
	if os.Getenv("MCPAUTH_CLIENTS") != "1" {
		t.Skip("to run it, call make clients, or npm ci and set MCPAUTH_CLIENTS=1")
	}
	program, err := child.Build(t.Context(), "nethttp", t.TempDir(), child.Flags...)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	hook, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	env, err := devenv.Start(t.Context(), devenv.Config{
		Addr: "127.0.0.1:0", ServerURL: "http://localhost:" + port + "/mcp", Logger: slog.New(slog.DiscardHandler),
		WebhookURLs: []string{"http://" + hook.Addr().String()}, WebhookWaits: []time.Duration{time.Second, time.Second, time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
		WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret(env.WebhookSecret())}, EnvironmentID: env.EnvironmentID(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	webhooks := &http.Server{Handler: list.Webhook(), ReadHeaderTimeout: time.Minute}
	go func() { _ = webhooks.Serve(hook) }()
	t.Cleanup(func() { _ = webhooks.Close() })
	process, err := child.Start(context.WithoutCancel(t.Context()), program, "PORT="+port, "SCALEKIT_ENVIRONMENT_URL="+env.URL(), "SCALEKIT_RESOURCE_ID="+env.ResourceID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop() })

	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(screenshots, "devenv")
	cmd := node(t, "devenv.mjs", env.URL(), "Grace", picture, chromium(t))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if last = lines.Text(); last != "open" {
			continue
		}
		session, err := flow.Connect(t.Context(), flow.Options{URL: process.URL, Auto: true, User: user})
		if err != nil {
			t.Errorf("signing in: %v", err)
			break
		}
		defer func() { _ = session.Close() }()
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	var saw struct {
		Live, Counts, Fits, Framed bool
		Plain                      int
		Complaints                 []string
		Hostile                    map[string]string
	}
	if err := json.Unmarshal([]byte(last), &saw); err != nil {
		t.Fatalf("%v in %s", err, last)
	}
	if !saw.Live || !saw.Counts || !saw.Fits || saw.Framed || saw.Plain != 1 || len(saw.Complaints) > 0 {
		t.Errorf("the page: %s", last)
	}
	for what, got := range saw.Hostile { // an opaque answer is one that can't be read; what it did is checked below
		if got != "refused" && (what != "press" || got != "opaque") {
			t.Errorf("another page can %s: %s", what, got)
		}
	}
	if len(saw.Hostile) != 5 {
		t.Errorf("another page tried %v", saw.Hostile)
	}
	for _, d := range env.Deliveries() {
		if d.Type != "user.logout" || !d.Delivered {
			t.Errorf("delivery = %+v", d)
		}
	}
	if n := len(env.Deliveries()); n != 1 || !strings.HasPrefix(env.Users()[0].Organization.ID, "org_") {
		t.Errorf("%d webhooks, users %+v", n, env.Users())
	}
	for _, scheme := range []string{"light", "dark"} {
		if info, err := os.Stat(picture + "-" + scheme + ".png"); err != nil || info.Size() < 10_000 {
			t.Errorf("there is no screenshot: %v", err)
		}
	}
}
