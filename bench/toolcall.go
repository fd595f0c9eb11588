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
// the servers are started anew many times, and the figures are of all of them. Starts are what makes these steadier, so each
// has half the rounds of the other sections.
const (
	starts  = 30
	warmUps = 3
)

func (s *session) roundsPerStart() int { return s.options.Rounds/2 + 1 }

// A toolServer is a child process with an MCP server in it, and the request that is sent to it.
type toolServer struct {
	name  string
	mode  string // of -serve
	token string // sent along, even where it is not looked at

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
		"included, divided by its calls. The servers are started %d times, each time as new processes that take turns for %d rounds.\n\n"+
		"\"In all\" is what a call takes more than at an unprotected server, in percent of the CPU of an unprotected call: the median of the\n"+
		"differences within a round for each start, and the median of the starts; half of the starts lie in the \"middle half\".\n"+
		"mcpauthgosdk.Attach makes room on the stack of the goroutine that runs a call, which the go-sdk's own work would have the\n"+
		"runtime copy again and again: that saves about what authentication costs. \"Beyond Attach\" is therefore what authentication costs\n"+
		"by itself: compared, in the same way, with an unprotected server that has nothing of mcpauth but Attach. The server of the\n"+
		"other library has none of that room. There are two servers of either kind to compare with; \"again\" shows what chance does.\n\n"+
		"The go-sdk allocates some 370 kB for each call, so that a server with an empty heap collects garbage every ten calls, and the\n"+
		"few kB that mcpauth keeps are looked at each time. GOGC is %d but for the last table, as if there were more in the heap.%s\n\n",
		starts, s.roundsPerStart(), toolGCPercent, map[bool]string{true: " There was no taskset: the processes moved between cores."}[onLastCore == nil])
	for i := range toolLoads {
		if err := s.toolCallsUnder(&toolLoads[i], onLastCore); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) toolCallsUnder(load *toolLoad, onLastCore []string) error {
	servers := []*toolServer{
		{name: "unprotected", mode: serveBare, token: s.fixture.Token},
		{name: "unprotected, again", mode: serveBare, token: s.fixture.Token},
		{name: "unprotected, mcpauthgosdk.Attach", mode: serveAttached, token: s.fixture.Token},
		{name: "unprotected, mcpauthgosdk.Attach, again", mode: serveAttached, token: s.fixture.Token},
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
		for range warmUps {
			if _, _, err := server.round(client, load); err != nil {
				return err
			}
		}
	}
	for range s.roundsPerStart() {
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
	bare, attached, ours := [2]*toolServer(servers[:2]), [2]*toolServer(servers[2:4]), servers[4]
	table := measure.Table{Head: []string{"tools/call", "CPU min us", "CPU median us", "in all, %", "middle half", "beyond Attach, %", "middle half", "wall median us"}}
	for _, server := range servers {
		cpu, wall := &measure.Result{Times: server.cpu}, &measure.Result{Times: server.wall}
		cells := []string{server.name, measure.Micro(cpu.Min()), measure.Micro(cpu.Median()), "", "", "", "", measure.Micro(wall.Median())}
		switch server {
		case bare[0]:
		case bare[1]:
			cells[3], cells[4] = spread(server.beyond([2]*toolServer{bare[0], bare[0]}, bare))
		default:
			cells[3], cells[4] = spread(server.beyond(bare, bare))
		}
		switch server {
		case attached[1]:
			cells[5], cells[6] = spread(server.beyond([2]*toolServer{attached[0], attached[0]}, bare))
		case ours:
			cells[5], cells[6] = spread(server.beyond(attached, bare))
		}
		table.Add(cells...)
	}
	table.Print(s.out)

	authentication := measure.Median(ours.beyond(attached, bare))
	s.target("authentication by itself in a tools/call, CPU, "+load.short, "<= 4.0 % of the unprotected call",
		fmt.Sprintf("%.1f %%", authentication), authentication <= 4)
	room := measure.Median(append(attached[0].beyond(bare, bare), attached[1].beyond(bare, bare)...))
	s.target("room on the stack by mcpauthgosdk.Attach, CPU of a tools/call, "+load.short, "< 0 %, a gain", fmt.Sprintf("%.1f %%", room), room < 0)
}

// spread writes the median of percentages in ascending order, and where the middle half of them lies.
func spread(percent []float64) (median, half string) {
	n := len(percent)
	return fmt.Sprintf("%.1f", measure.Median(percent)), fmt.Sprintf("%.1f to %.1f", percent[n/4], percent[n*3/4])
}

// beyond returns how much more CPU t took than the mean of two servers, in percent of what a call took at the bare ones, for
// each start, in ascending order.
func (t *toolServer) beyond(others, bare [2]*toolServer) []float64 {
	rounds := len(t.cpu) / starts
	percent := make([]float64, starts)
	for start := range percent {
		differences, calls := make([]float64, rounds), make([]float64, rounds)
		for i := range differences {
			round := start*rounds + i
			differences[i] = t.cpu[round] - (others[0].cpu[round]+others[1].cpu[round])/2
			calls[i] = (bare[0].cpu[round] + bare[1].cpu[round]) / 2
		}
		percent[start] = 100 * measure.Median(differences) / measure.Median(calls)
	}
	slices.Sort(percent)
	return percent
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
