package operations_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// argumentKinds are the servers that arguments are tried on.
var argumentKinds = []kind{
	{"go-sdk, 2025-06-18", newGoSDKWithArguments, "2025-06-18", false},
	{"go-sdk, 2026-07-28", newGoSDKWithArguments, "2026-07-28", false},
	{"mcp-go, no version", newMCPGoWithArguments, "", false},
	{"mcp-go, 2026-07-28", newMCPGoWithArguments, "2026-07-28", false},
	{"mcp-go, SSE", func(r *recorder) http.Handler { return sseOf(newMCPGoServerWithArguments(r)) }, "", false},
}

// A check is a Check that reads the arguments of every operation, and keeps what it saw.
type check struct {
	mu     sync.Mutex
	seen   []use
	failed bool // whether arguments could not be read
}

func (c *check) check(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
	typed := op.Name == structTool || op.Name == foldTool
	names := []string{"of no argument"} // these tools read names exactly
	if typed {
		names = inputNames
	}
	arguments, err := op.Arguments(names...)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.failed = true // and allow it: it has to be refused all the same
	case typed:
		c.seen = append(c.seen, useOf(op.Name, inputOf(arguments)))
	case op.Name == prompting:
		for name, value := range arguments {
			if value == nil {
				arguments[name] = "" // a prompt gets no null
			}
		}
		fallthrough
	default:
		c.seen = append(c.seen, useOf(op.Name, arguments))
	}
	return nil
}

// take returns what was seen since the last call.
func (c *check) take() (seen []use, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, failed = c.seen, c.failed
	c.seen, c.failed = nil, false
	return seen, failed
}

// An argumentLab has a server of each kind twice: once without checks, and once behind a Check that reads all arguments.
type argumentLab struct {
	check  check
	direct []*peer
	peers  []*peer // behind the check
	fronts []http.Handler
	token  string
	counts argumentCounts
}

// argumentCounts say what bodies did, for each kind.
type argumentCounts []struct {
	ran, // some operation, without the check, which every fourth body is tried without
	spared, // of these, are refused with 400
	passed, // some operation, behind the check
	typed int // of these, one that decodes its arguments into a struct
}

func newArgumentLab(t *testing.T) *argumentLab {
	t.Helper()
	env, rs := newResourceServer(t)
	l := &argumentLab{token: env.Token(map[string]any{"exp": inADay}), counts: make(argumentCounts, len(argumentKinds))}
	compiled, err := mcpauth.NewPolicy(mcpauth.Rules{Check: l.check.check, MaxBodyBytes: maxBody})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range argumentKinds {
		l.direct = append(l.direct, newPeer(t, k))
		p := newPeer(t, k)
		l.peers = append(l.peers, p)
		l.fronts = append(l.fronts, rs.RequireOperations(compiled)(noteReached(p.handler)))
	}
	return l
}

// try sends a message to the servers of its version, or to all of them, without the check too. It returns whether the message
// was refused.
func (l *argumentLab) try(t *testing.T, m *message, all bool) (refused bool) {
	t.Helper()
	latest := strings.Contains(m.body, "io.modelcontextprotocol/protocolVersion")
	for i, p := range l.peers {
		var ran []use
		if all {
			l.direct[i].send(t, l.direct[i].handler, m, "")
			ran = l.direct[i].ran.takeUses()
		} else if latest != (p.version == "2026-07-28") && i != len(l.peers)-1 { // the last one knows no versions
			continue
		}
		answer := p.send(t, l.fronts[i], m, l.token)
		received := p.ran.takeUses()
		seen, failed := l.check.take()
		if unseen := without(received, seen); len(unseen) > 0 {
			t.Errorf("%s: %q: Check saw %q, and the server runs %q", p.name, m.body, seen, unseen)
		}
		if failed && (answer.status != http.StatusBadRequest || answer.reached) {
			t.Errorf("%s: %q: Check could not read the arguments, status %d, reached the server: %v", p.name, m.body, answer.status, answer.reached)
		}
		l.count(i, ran, received, !answer.reached)
		refused = refused || !answer.reached
	}
	return refused
}

func (l *argumentLab) count(i int, ran, received []use, refused bool) {
	c := &l.counts[i]
	if len(ran) > 0 {
		c.ran++
		if refused {
			c.spared++
		}
	}
	if len(received) > 0 {
		c.passed++
	}
	if slices.ContainsFunc(received, func(u use) bool { return u.name == structTool || u.name == foldTool }) {
		c.typed++
	}
}

// without returns the uses that are not among others, each counted as often as it is there.
func without(uses, others []use) (rest []use) {
	others = slices.Clone(others)
	for _, u := range uses {
		if i := slices.Index(others, u); i >= 0 {
			others = slices.Delete(others, i, i+1)
		} else {
			rest = append(rest, u)
		}
	}
	return rest
}

// TestWhatCheckSeesIsWhatToolsGet tries calls whose arguments are broken in up to three ways. An operation gets the arguments
// that Check saw, or does not run.
func TestWhatCheckSeesIsWhatToolsGet(t *testing.T) {
	t.Parallel()
	sum := &argumentSummary{counts: make(argumentCounts, len(argumentKinds)), made: make(map[string]int)}
	bodies := inShards(t, newArgumentLab, sum.tryOne, func(_ *testing.T, l *argumentLab) { sum.add(l.counts) })
	sum.report(t, bodies)
}

type argumentSummary struct {
	mu            sync.Mutex
	counts        argumentCounts
	good, refused int
	made          map[string]int // by mutation
}

func (sum *argumentSummary) tryOne(t *testing.T, l *argumentLab, seed, i uint64) {
	t.Helper()
	names, m := generateArguments(seed, i)
	refused := l.try(t, m, i/shards%4 == 0)
	sum.mu.Lock()
	defer sum.mu.Unlock()
	for _, name := range names {
		sum.made[name]++
	}
	if refused {
		sum.refused++
	}
	if len(names) == 0 {
		sum.good++
		if refused {
			t.Errorf("a good message is refused: %q", m.body)
		}
	}
}

func (sum *argumentSummary) add(counts argumentCounts) {
	sum.mu.Lock()
	defer sum.mu.Unlock()
	for i, c := range counts {
		sum.counts[i].ran += c.ran
		sum.counts[i].spared += c.spared
		sum.counts[i].passed += c.passed
		sum.counts[i].typed += c.typed
	}
}

// report checks that enough messages made a server do something.
func (sum *argumentSummary) report(t *testing.T, bodies int) {
	t.Helper()
	t.Logf("%d bodies, %d of them as clients send them: %d refused; 0 ran with arguments that Check did not see", bodies, sum.good, sum.refused)
	for i, c := range sum.counts {
		t.Logf("%-20s %5d of a quarter of the bodies ran something, %4d of them refused with 400; behind the check %5d bodies ran, %5d with a struct",
			argumentKinds[i].name, c.ran, c.spared, c.passed, c.typed)
		if c.passed < bodies/10 || c.typed < bodies/25 || c.spared < bodies/400 {
			t.Errorf("%s: too few bodies did something for the comparison to mean anything", argumentKinds[i].name)
		}
	}
	for _, m := range argumentMutations {
		if sum.made[m.name] < bodies/1000 {
			t.Errorf("%s: made %d times", m.name, sum.made[m.name])
		}
	}
}

// TestArgumentsByHand has arguments that are refused or not whatever a generator makes, each with the reading of a tool that is
// not what Check saw.
func TestArgumentsByHand(t *testing.T) {
	t.Parallel()
	l := newArgumentLab(t)
	for _, c := range []struct {
		name, arguments string
		refused         bool
	}{
		{foldTool, `{"Force":true}`, true}, // encoding/json takes it for force
		{structTool, `{"order":{"SIZE":1}}`, true},
		{foldTool, `{"force":true}`, false},
		{structTool, `{"id":9007199254740993}`, true}, // the go-sdk makes 9007199254740992 of it
		{structTool, `{"id":1152921504606846976}`, true},
		{mapTool, `{"x":12345678901234567890}`, true}, // a float64 in both SDKs
		{rawTool, `{"x":1e-400}`, true},
		{mapTool, `{"x":[9007199254740992,0.1,-0,1e20,5e-324]}`, false},
		{rawTool, `{"x":0.10}`, false},
		{mapTool, `{"x":1,"x":1}`, true},
		{mapTool, `{"x":{"y":1,"Y":1}}`, true},
		{rawTool, `{"\ud83d":1,"\ufffd":2}`, true},
		{rawTool, `[]`, true},
		{rawTool, `"{}"`, true},
		{structTool, `null`, false},
		{prompting, `{"a":"b"}`, false},
	} {
		method := "tools/call"
		if c.name == prompting {
			method = "prompts/get"
		}
		m := &message{body: `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"name":"` + c.name + `","arguments":` + c.arguments + `,"_meta":` + metaText + `}}`}
		if refused := l.try(t, m, true); refused != c.refused {
			t.Errorf("%s %s: refused: %v", c.name, strings.TrimSpace(c.arguments), refused)
		}
	}
}
