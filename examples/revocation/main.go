// Command revocation shows how fast a session is cut off: three replicas of an MCP server behind one Redis, a client with an open
// stream on each, and an administrator who ends the client's session.
//
//	go run ./examples/revocation
//
// It needs redis-server, and starts one of its own. The session is ended on the page of the local Scalekit environment, which
// sends the webhook that Scalekit would; with CI=true the program ends it by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

const replicas = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	err := run(ctx, os.Stdout, ci)
	interrupted := ctx.Err() != nil
	stop()
	if err != nil && !interrupted {
		fmt.Fprintln(os.Stderr, "revocation:", err)
		os.Exit(1)
	}
}

// run runs the demo. With alone, it ends the session by itself.
func run(ctx context.Context, out io.Writer, alone bool) (err error) {
	dir, err := os.MkdirTemp("", "mcpauth-revocation-")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	redisAddr, stopRedis, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer stopRedis()

	ports, err := freePorts(ctx, replicas)
	if err != nil {
		return err
	}
	base := "http://localhost:" + ports[0]
	env, err := devenv.Start(ctx, devenv.Config{
		ServerURL:   base + "/mcp",
		WebhookURLs: []string{base + "/webhooks/scalekit"}, // Scalekit knows one address; Redis tells the others
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer func() { _ = env.Close() }() // the program ends anyway
	urls, stopReplicas, err := startReplicas(ctx, dir, env, redisAddr, ports)
	if err != nil {
		return err
	}
	defer stopReplicas()

	_, _ = fmt.Fprintf(out, "Redis:                %s\nScalekit environment: %s (a local stand-in)\n", redisAddr, env.URL())
	for i, url := range urls {
		_, _ = fmt.Fprintf(out, "Replica %d:            %s\n", i+1, url)
	}
	session, err := flow.Connect(ctx, flow.Options{URL: urls[0], Auto: true})
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // the replica refuses it by then
	token, err := session.Token(ctx)
	if err != nil {
		return err
	}
	watched, err := watch(ctx, urls, token.AccessToken)
	if err != nil {
		return err
	}
	sid := env.Sessions()[0].ID
	_, _ = fmt.Fprintf(out, "\nA client is signed in, session %s. It has an open stream on each replica.\n", sid)
	if alone {
		_, _ = fmt.Fprintln(out, "The session is ended.")
		err = env.EndSession(sid)
	} else {
		_, _ = fmt.Fprintf(out, "End the session: open %s/ in a browser, and press its button.\n", env.URL())
	}
	return errors.Join(err, report(ctx, out, watched, func() time.Time { return ended(env) }))
}

// ended returns when the session was ended: the environment begins to send the webhook at once.
func ended(env *devenv.Environment) time.Time {
	for _, delivery := range env.Deliveries() {
		if delivery.Type == "user.logout" {
			return delivery.Began
		}
	}
	return time.Time{}
}

// report prints how long after the end of the session each replica refused it, and each stream was over.
func report(ctx context.Context, out io.Writer, watched []*watcher, end func() time.Time) error {
	var slowest time.Duration
	for i, w := range watched {
		select {
		case <-w.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.err != nil {
			return fmt.Errorf("replica %d: %w", i+1, w.err)
		}
		began := end()
		refused, over := w.refused.Sub(began), w.streamOver.Sub(began)
		slowest = max(slowest, refused, over)
		_, _ = fmt.Fprintf(out, "Replica %d: refused after %4d ms, its stream was over after %4d ms\n", i+1, refused.Milliseconds(), over.Milliseconds())
	}
	if slowest > time.Second {
		return fmt.Errorf("it took %v, and a second is promised", slowest)
	}
	_, _ = fmt.Fprintln(out, "\nCut off on every replica within a second.")
	return nil
}

// startRedis starts a server that keeps what it acknowledges.
func startRedis(ctx context.Context, dir string) (addr string, stop func(), err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, errors.New("there is no redis-server; install it, such as by apt-get install redis-server")
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, program, "--bind", "127.0.0.1", "--port", ports[0], "--dir", dir, //nolint:gosec // a program of this machine
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	addr = net.JoinHostPort("127.0.0.1", ports[0])
	for range 500 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return addr, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}, nil
}

// startReplicas builds the replica and starts it once for each port.
func startReplicas(ctx context.Context, dir string, env *devenv.Environment, redisAddr string, ports []string) (urls []string, stop func(), err error) {
	program := filepath.Join(dir, "replica")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/scalekit-mcp/mcpauth/examples/revocation/replica") //nolint:gosec // into a directory of our own
	if out, err := build.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("building the replica: %w\n%s", err, out)
	}
	var processes []*child.Process
	stop = func() {
		for _, p := range processes {
			_ = p.Stop()
		}
	}
	for _, port := range ports {
		process, err := child.Start(context.WithoutCancel(ctx), program,
			"PORT="+port, "BASE_URL=http://localhost:"+ports[0], "REDIS_ADDR="+redisAddr,
			"SCALEKIT_ENVIRONMENT_URL="+env.URL(), "SCALEKIT_RESOURCE_ID="+env.ResourceID(),
			"WEBHOOK_SECRET="+env.WebhookSecret(), "WEBHOOK_ENVIRONMENT_ID="+env.EnvironmentID())
		if err != nil {
			stop()
			return nil, nil, err
		}
		processes = append(processes, process)
		if err := ready(ctx, "http://localhost:"+port+"/healthz"); err != nil {
			stop()
			return nil, nil, err
		}
		urls = append(urls, "http://localhost:"+port+"/mcp")
	}
	return urls, stop, nil
}

// ready waits until a replica has its keys, and has read what was revoked.
func ready(ctx context.Context, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freePorts(ctx context.Context, n int) ([]string, error) {
	var ports []string
	for range n {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // all at the end, so that each gets another one
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
