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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

// A toolLoad is how the servers are called. They have one core each, and are measured in turns.
type toolLoad struct {
	name, short string
	gcPercent   int // GOGC of the servers
	connections int
	calls       int // for each connection, in a round
}

var toolLoads = []toolLoad{
	{name: "busy: eight connections, each with a call under way at all times", short: "busy", gcPercent: toolGCPercent, connections: 8, calls: 25},
	{name: "idle between calls: one connection, one call after the other", short: "idle between calls", gcPercent: toolGCPercent, connections: 1, calls: 50},
	{name: "busy, with the default GOGC and nothing in its heap", short: "busy, default GOGC", gcPercent: 100, connections: 8, calls: 25},
}

// A process differs from the next of the same program by a few microseconds a call, because its memory lies elsewhere. So
// the servers are started anew many times, and the figures are of all of them.
const starts = 30

// A toolServer is a child process with an MCP server in it, and the request that is sent to it.
type toolServer struct {
	name  string
	mode  string // of -serve
	token string // sent along, even if nobody looks

	process *exec.Cmd
	control io.WriteCloser
	report  *bufio.Scanner
	url     string

	cpu, wall []float64 // nanoseconds for each call, of each round, start after start
}

// toolCalls measures tools/call of the go-sdk over a socket.
func toolCalls(s *session) error {
	onLastCore, release, err := pin()
	if err != nil {
		return err
	}
	defer release()
	s.printf("## A tools/call over a socket\n\nAn MCP server on the official go-sdk, stateless, on one core, in a process of its own that is called over loopback. CPU is what\n"+
		"the process took, user and system, its garbage collection included; wall is the time of a round, the client's own work\n"+
		"included, divided by its calls. The servers are started %d times, each time as new processes that take turns for %d rounds.\n"+
		"\"More\" is against the unprotected servers that were sent the same bytes, of which there are two: the median of the\n"+
		"differences within a round for each start, and the median of the starts; half of the starts lie in the \"middle half\". How far\n"+
		"the two are from each other shows what chance does. The go-sdk allocates some 370 kB for each call, so that a server with an\n"+
		"empty heap collects garbage every ten calls, and the few kB that mcpauth keeps are looked at each time. GOGC is %d but for\n"+
		"the last table, as if there were more in the heap.%s\n\n"+
		"mcpauthgosdk.Attach makes room on the stack of the goroutine that runs a call, which the go-sdk's own work would have the\n"+
		"runtime copy again and again: that saves about what authentication costs. So \"more\" is what a user pays who protects a\n"+
		"server, and \"beyond Attach\" is what authentication costs by itself: compared, in the same way, with an unprotected server\n"+
		"that has nothing of mcpauth but Attach. The server of the other library has none of that room.\n\n",
		starts, s.options.Rounds, toolGCPercent, map[bool]string{true: " There was no taskset: the processes moved between cores."}[onLastCore == nil])
	for i := range toolLoads {
		if err := s.toolCallsUnder(&toolLoads[i], onLastCore); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) toolCallsUnder(load *toolLoad, onLastCore []string) error {
	servers := []*toolServer{
		{name: "unprotected, token sent", mode: serveBare, token: s.fixture.Token},
		{name: "unprotected, no token sent", mode: serveBare},
		{name: "unprotected, token sent, again", mode: serveBare, token: s.fixture.Token},
		{name: "unprotected, mcpauthgosdk.Attach", mode: serveAttached, token: s.fixture.Token},
		{name: "mcpauth", mode: serveOurs, token: s.fixture.Token},
		{name: "RequireBearerToken + coreos/go-oidc", mode: servePeer, token: s.fixture.Token},
	}
	order := rand.New(rand.NewPCG(s.options.Seed, 0)) //nolint:gosec // an order, not a secret
	for range starts {
		if err := s.toolCallStart(servers, load, onLastCore, order); err != nil {
			return err
		}
	}
	s.toolCallTable(servers, load)
	return nil
}

// toolCallStart starts all servers, measures them in turns, and stops them.
func (s *session) toolCallStart(servers []*toolServer, load *toolLoad, onLastCore []string, order *rand.Rand) (err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: load.connections}}
	defer client.CloseIdleConnections()
	for _, i := range order.Perm(len(servers)) {
		server := servers[i]
		if err := server.start(s.fixture, load, onLastCore); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		if err := server.check(client, s.fixture); err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
		for range 4 { // warm up
			if _, _, err := server.round(client, load); err != nil {
				return err
			}
		}
	}
	for range s.options.Rounds {
		for _, i := range order.Perm(len(servers)) {
			cpu, wall, err := servers[i].round(client, load)
			if err != nil {
				return fmt.Errorf("%s: %w", servers[i].name, err)
			}
			servers[i].cpu, servers[i].wall = append(servers[i].cpu, cpu), append(servers[i].wall, wall)
		}
	}
	return nil
}

func (s *session) toolCallTable(servers []*toolServer, load *toolLoad) {
	s.printf("A server that is %s:\n\n", load.name)
	attached := servers[slices.IndexFunc(servers, func(t *toolServer) bool { return t.mode == serveAttached })]
	table := measure.Table{Head: []string{"tools/call", "CPU min us", "CPU median us", "more", "middle half", "beyond Attach", "wall median us"}}
	for i, server := range servers {
		cpu, wall := &measure.Result{Times: server.cpu}, &measure.Result{Times: server.wall}
		more, half, byItself := "", "", ""
		if i > 0 {
			differences := server.beyond(servers[0], servers[2])
			if i == 2 {
				differences = server.beyond(servers[0], servers[0])
			}
			median := measure.Median(differences)
			more = measure.Micro(median)
			half = measure.Micro(differences[len(differences)/4]) + " to " + measure.Micro(differences[len(differences)*3/4])
			if server.mode == serveOurs {
				byItself = measure.Micro(measure.Median(server.beyond(attached, attached)))
				s.target("an authenticated tools/call, CPU beyond the unprotected one, "+load.short, "<= 8 us", more+" us", median <= 8000)
				s.targets.Add("- authentication by itself: beyond an unprotected one with mcpauthgosdk.Attach", "", byItself+" us", "")
			}
		}
		table.Add(server.name, measure.Micro(cpu.Min()), measure.Micro(cpu.Median()), more, half, byItself, measure.Micro(wall.Median()))
	}
	table.Print(s.out)
}

// beyond returns how much more CPU t took than the mean of a and b, for each start, in ascending order.
func (t *toolServer) beyond(a, b *toolServer) []float64 {
	rounds := len(t.cpu) / starts
	medians := make([]float64, starts)
	for start := range medians {
		differences := make([]float64, rounds)
		for i := range differences {
			differences[i] = t.cpu[start*rounds+i] - (a.cpu[start*rounds+i]+b.cpu[start*rounds+i])/2
		}
		medians[start] = measure.Median(differences)
	}
	slices.Sort(medians)
	return medians
}

// start starts the child process.
func (t *toolServer) start(f *fixture.Fixture, load *toolLoad, onLastCore []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := append(slices.Clip(onLastCore), self, "-serve", t.mode)
	t.process = exec.CommandContext(context.Background(), command[0], command[1:]...) //nolint:gosec // this program
	t.process.Env = append(os.Environ(),
		"SCALEKIT_ENVIRONMENT_URL="+f.Env.URL(), "SCALEKIT_RESOURCE_ID="+f.Env.ResourceID(), "BASE_URL="+fixture.BaseURL, "GOMAXPROCS=1", "GOGC="+strconv.Itoa(load.gcPercent))
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

// pin keeps this program off the last core, and returns the start of a command that stays on it. release takes that back.
// Where there is no taskset, or no other core, nothing is pinned.
func pin() (onLastCore []string, release func(), err error) {
	path, err := exec.LookPath("taskset")
	last := runtime.NumCPU() - 1
	if err != nil || last == 0 {
		return nil, func() {}, nil //nolint:nilerr // not everybody has it
	}
	stay := func(cores string) error {
		//nolint:gosec // the numbers are ours
		return exec.CommandContext(context.Background(), path, "--all-tasks", "--cpu-list", "--pid", cores, strconv.Itoa(os.Getpid())).Run()
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0)) // or the runtime would follow, and come back late
	if err := stay(fmt.Sprintf("0-%d", last-1)); err != nil {
		return nil, nil, fmt.Errorf("taskset: %w", err)
	}
	return []string{path, "--cpu-list", strconv.Itoa(last)}, func() { _ = stay(fmt.Sprintf("0-%d", last)) }, nil
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

// round calls the server over all connections at once, and returns the nanoseconds of a call.
func (t *toolServer) round(client *http.Client, load *toolLoad) (cpu, wall float64, err error) {
	before, err := t.cpuTime()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	done := make(chan error, load.connections)
	for range load.connections {
		go func() { done <- t.call(client, load.calls) }()
	}
	for range load.connections {
		err = errors.Join(err, <-done)
	}
	took := time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	after, err := t.cpuTime()
	calls := float64(load.calls * load.connections)
	return float64(after-before) / calls, float64(took) / calls, err
}

// call calls the tool n times.
func (t *toolServer) call(client *http.Client, n int) error {
	for range n {
		status, answer, err := call(client, t.url, t.token)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, answer)
		}
	}
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
	case !protects(t.mode):
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
