package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	callsPerRound = 25
	finer         = 16 // times as many rounds as elsewhere, each shorter: the differences are small against the calls
)

// A toolServer is a child process with an MCP server in it, and the request that is sent to it.
type toolServer struct {
	name  string
	mode  string // of -serve
	token string // sent along, even if nobody looks

	process *exec.Cmd
	control io.WriteCloser
	report  *bufio.Scanner
	url     string

	cpu, wall []float64 // nanoseconds for each call, of each round
}

// toolCalls measures tools/call of the go-sdk over a socket.
func toolCalls(s *session) (err error) {
	servers := []*toolServer{
		{name: "unprotected, no token sent", mode: serveBare},
		{name: "unprotected, token sent", mode: serveBare, token: s.fixture.Token},
		{name: "mcpauth", mode: serveOurs, token: s.fixture.Token},
		{name: "RequireBearerToken + coreos/go-oidc", mode: servePeer, token: s.fixture.Token},
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	for _, server := range servers {
		if err := server.start(s.fixture); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		if err := server.check(client, s.fixture); err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
		if err := server.round(client); err != nil { // warm up
			return err
		}
		server.cpu, server.wall = nil, nil
	}
	order := rand.New(rand.NewPCG(s.options.Seed, 0)) //nolint:gosec // an order, not a secret
	for range finer * s.options.Rounds {
		for _, i := range order.Perm(len(servers)) {
			if err := servers[i].round(client); err != nil {
				return fmt.Errorf("%s: %w", servers[i].name, err)
			}
		}
	}
	s.toolCallTable(servers)
	return s.toolCallsWithoutSocket()
}

func (s *session) toolCallTable(servers []*toolServer) {
	s.printf("## A tools/call over a socket\n\nAn MCP server on the official go-sdk, stateless, in a process of its own; one connection on loopback, one call after the\n"+
		"other, %d in each round. CPU is what the server process took, user and system, its garbage collection included; wall is what\n"+
		"the client saw, its own work included. \"More\" is against the unprotected server that was sent the same bytes: the median of\n"+
		"the differences within a round, of which there were %d. The go-sdk allocates some 370 kB for each call, so that a server with\n"+
		"an empty heap does little but collect garbage: GOGC is %d here, as if there were more in the heap.\n\n",
		callsPerRound, len(servers[0].cpu), toolGCPercent)
	table := measure.Table{Head: []string{"tools/call", "CPU min us", "CPU median us", "more", "wall min us", "wall median us"}}
	for i, server := range servers {
		cpu, wall := &measure.Result{Times: server.cpu}, &measure.Result{Times: server.wall}
		more := ""
		if i > 1 {
			differences := make([]float64, len(server.cpu))
			for round := range differences {
				differences[round] = server.cpu[round] - servers[1].cpu[round]
			}
			more = measure.Micro(measure.Median(differences))
			if server.mode == serveOurs {
				s.target("an authenticated tools/call, CPU beyond the unprotected one", "<= 8 us", more+" us", measure.Median(differences) <= 8000)
			}
		}
		table.Add(server.name, measure.Micro(cpu.Min()), measure.Micro(cpu.Median()), more, measure.Micro(wall.Min()), measure.Micro(wall.Median()))
	}
	table.Print(s.out)
}

// start starts the child process.
func (t *toolServer) start(f *fixture.Fixture) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t.process = exec.CommandContext(context.Background(), self, "-serve", t.mode) //nolint:gosec // this program
	t.process.Env = append(os.Environ(),
		"SCALEKIT_ENVIRONMENT_URL="+f.Env.URL(), "SCALEKIT_RESOURCE_ID="+f.Env.ResourceID(), "BASE_URL="+fixture.BaseURL)
	t.process.Stderr = os.Stderr
	if t.control, err = t.process.StdinPipe(); err != nil {
		return err
	}
	output, err := t.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := t.process.Start(); err != nil {
		return err
	}
	t.report = bufio.NewScanner(output)
	if !t.report.Scan() {
		return errors.Join(fmt.Errorf("%s: the server did not start", t.name), t.stop())
	}
	t.url = t.report.Text()
	return nil
}

// stop lets the child process see the end of its input, which ends it.
func (t *toolServer) stop() error {
	_ = t.control.Close() // Wait tells
	return t.process.Wait()
}

// cpuTime asks the child what it took so far.
func (t *toolServer) cpuTime() (time.Duration, error) {
	if _, err := fmt.Fprintln(t.control); err != nil {
		return 0, err
	}
	if !t.report.Scan() {
		return 0, errors.New("the server is gone")
	}
	return time.ParseDuration(t.report.Text())
}

func (t *toolServer) round(client *http.Client) error {
	before, err := t.cpuTime()
	if err != nil {
		return err
	}
	start := time.Now()
	for range callsPerRound {
		status, answer, err := call(client, t.url, t.token)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, answer)
		}
	}
	wall := time.Since(start)
	after, err := t.cpuTime()
	if err != nil {
		return err
	}
	t.cpu = append(t.cpu, float64(after-before)/callsPerRound)
	t.wall = append(t.wall, float64(wall)/callsPerRound)
	return nil
}

// check makes sure that the tool runs and sees its caller, and that a protected server refuses others.
func (t *toolServer) check(client *http.Client, f *fixture.Fixture) error {
	status, answer, err := call(client, t.url, t.token)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK || !strings.Contains(answer, "hello "+fixture.Subject):
		return fmt.Errorf("status %d: %s", status, answer)
	case t.mode == serveBare:
		return nil
	}
	for _, bad := range []string{"", fixture.Flip(f.Token), f.Forged} {
		if status, answer, err = call(client, t.url, bad); err != nil || status != http.StatusUnauthorized {
			return errors.Join(fmt.Errorf("a bad token gets %d: %s", status, answer), err)
		}
	}
	return nil
}

const toolCallBody = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","arguments":{"greeting":"hello"}}}`

func call(client *http.Client, url, token string) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(toolCallBody))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("MCP-Protocol-Version", "2025-06-18")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return resp.StatusCode, body.String(), errors.Join(err, resp.Body.Close())
}
