package operations_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	gomcp "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// An sdkKind is a server of one library behind a module of this project, whose handler may run public operations and answers
// for hidden ones.
type sdkKind struct {
	name     string
	make     func(rs *mcpauth.ResourceServer, policy *mcpauth.Policy, r *recorder, has func(op) bool) http.Handler
	version  string
	stateful bool
}

// sdkKinds are the servers that public and hidden operations are tried on. That of another SDK is an entry here: all that the
// tests need is the handler that SDKHandler has returned.
var sdkKinds = []sdkKind{
	{"go-sdk, stateless, no version", protectedGoSDK(true), "", false}, // which runs batches
	{"go-sdk, stateless, 2026-07-28", protectedGoSDK(true), "2026-07-28", false},
	{"go-sdk, stateful, 2025-03-26", protectedGoSDK(false), "2025-03-26", true}, // and so does this
	{"mcp-go, stateless, no version", protectedMCPGo(true), "", false},
	{"mcp-go, stateless, 2026-07-28", protectedMCPGo(true), "2026-07-28", false},
	{"mcp-go, stateful, 2025-06-18", protectedMCPGo(false), "2025-06-18", true},
}

func protectedGoSDK(stateless bool) func(*mcpauth.ResourceServer, *mcpauth.Policy, *recorder, func(op) bool) http.Handler {
	return func(rs *mcpauth.ResourceServer, policy *mcpauth.Policy, r *recorder, has func(op) bool) http.Handler {
		server := newGoSDKServer(r, has)
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if !strings.HasPrefix(method, "notifications/") {
					r.began(method)
				}
				return next(ctx, method, req)
			}
		})
		mcpauthgosdk.Attach(server)
		mcpauthgosdk.Hide(server, policy)
		return mcpauthgosdk.Handler(rs, goSDKHandler(server, stateless))
	}
}

func protectedMCPGo(stateless bool) func(*mcpauth.ResourceServer, *mcpauth.Policy, *recorder, func(op) bool) http.Handler {
	return func(rs *mcpauth.ResourceServer, policy *mcpauth.Policy, r *recorder, has func(op) bool) http.Handler {
		s := newMCPGoServer(r, func(o op) bool { return o != op{tool, "task"} && has(o) }) // the ids of tasks are random
		s.GetHooks().AddBeforeAny(func(_ context.Context, _ any, method gomcp.MCPMethod, _ any) { r.began(string(method)) })
		mcpauthmcpgo.Hide(s, s.GetHooks(), policy)
		handler, err := mcpauthmcpgo.Handler(rs, s, mcpauthmcpgo.Config{Stateless: stateless}, server.WithStreamableHTTPLogger(silent))
		if err != nil {
			panic(err) // can't happen: nothing is nil
		}
		return handler
	}
}

// endpoint returns the endpoint of a new server with a policy, behind a resource server of its own.
func (k sdkKind) endpoint(t *testing.T, env *mcpauthtest.Environment, rules mcpauth.Rules, r *recorder, has func(op) bool) http.Handler {
	t.Helper()
	policy, err := mcpauth.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	cfg := env.Config("https://mcp.example.com")
	cfg.Policy = policy
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs.Endpoint(k.make(rs, policy, r, has))
}

// peer returns a client of a handler, in a session of its own.
func (k sdkKind) peer(t *testing.T, handler http.Handler, r *recorder, token string) *peer {
	t.Helper()
	p := &peer{kind: kind{name: k.name, version: k.version, stateful: k.stateful}, handler: handler, ran: r, token: token}
	p.connect(t)
	r.take()
	r.takeBegun()
	return p
}

// ask sends a message, and returns the answer, what ran, and the methods that the server has begun. A session that the message
// has ended begins again.
func (s *peer) ask(t *testing.T, m *message) (answer *response, ran []op, begun []string) {
	t.Helper()
	answer = s.send(t, s.handler, m, s.token)
	ran, begun = s.ran.take(), s.ran.takeBegun()
	if s.stateful && (answer.status == http.StatusNotFound || answer.status == http.StatusOK && answer.text.Len() == 0 || m.verb != "") {
		s.connect(t)
		s.ran.take()
		s.ran.takeBegun()
	}
	return answer, ran, begun
}

// openRules have a rule for every operation. Those that are not guarded are open to callers without credentials if public
// says so, and to every authenticated caller otherwise. Half of the guarded ones need no scope, but a caller.
func openRules(public bool) mcpauth.Rules {
	rules := policy()
	for _, listed := range []map[string]mcpauth.Rule{rules.Tools, rules.Prompts, rules.Resources} {
		for name, rule := range listed {
			switch guarded := slices.ContainsFunc(rule.Scopes, isGuarded); {
			case !guarded:
				listed[name] = mcpauth.Rule{Public: public}
			case len(name)%2 == 0:
				listed[name] = mcpauth.Rule{}
			}
		}
	}
	return rules
}

// isPublic reports whether an operation has a rule, and all that hold for it are public.
func (o op) isPublic() bool {
	scopes := o.needs()
	if o.kind == resource && strings.HasPrefix(o.name, "files://") {
		files := filesOf(o.name)
		return len(scopes) == 0 && len(files) > 0 && !slices.ContainsFunc(files, func(file string) bool {
			return !strings.HasPrefix(foldCase(file)+"/", "/public/")
		})
	}
	return len(scopes) > 0 && !slices.ContainsFunc(scopes, isGuarded)
}

// publicMethods may run without credentials, those that run something if that is public. Notifications are not recorded: the
// go-sdk goes on with them after it has answered.
var publicMethods = append([]string{
	"initialize", "ping", "server/discover", "logging/setLevel", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
}, runningMethods...)

var runningMethods = []string{"tools/call", "prompts/get", "resources/read", "completion/complete"}

func (o op) isProtected() bool { return !o.isPublic() }

// mustRun reports whether what a message runs with credentials has to run without them, too. A URI that leads to its file in
// another way than clients write it may be refused, and so may operations that a server does not have.
func mustRun(ran []op, begun []string) bool {
	runs := slices.ContainsFunc(begun, func(method string) bool { return slices.Contains(runningMethods, method) })
	odd := func(o op) bool {
		return o.isProtected() || o.kind == resource && !slices.Contains(resourceList, o.name)
	}
	return len(begun) > 0 && subset(begun, publicMethods) && (!runs || len(ran) > 0) && !slices.ContainsFunc(ran, odd)
}

// generateNamed makes message number i. It depends only on its arguments. open says whether it names something that is not
// guarded, and latest that it is for servers of 2026-07-28.
func generateNamed(seed, i uint64, latest, open bool) *message {
	d := newDraft(random(seed, i))
	if latest {
		d.meta()
	}
	name := func(listed map[string]string) string {
		return pick(d.r, slices.DeleteFunc(slices.Sorted(maps.Keys(listed)), func(name string) bool { return isGuarded(listed[name]) }))
	}
	if open {
		switch d.method {
		case "tools/call":
			d.setName(name(listedTools))
		case "prompts/get":
			d.setName(name(listedPrompts))
		case "resources/read":
			d.setName(pick(d.r, []string{"fixed://two", "files:///public/readme", "memo://1", "mix://open/1"}))
		}
	}
	d.mutate()
	return d.build()
}

// A publicLab has servers with public operations, each with a twin that has the same rules and nothing public.
type publicLab struct {
	anonymous       []*peer    // without credentials
	signedIn, twins [][2]*peer // with a token without scopes, and with one with all of them
	stranger        []*peer    // with a bad token
	counts          []publicCount
}

// A publicCount says how many bodies did something on one kind of server.
type publicCount struct {
	passed    int // got to the server without credentials
	ran       int // of these, ran a tool, prompt or resource
	lists     int // of these, listed something
	opened    int // of these, opened an MCP session
	batches   int // of these, ran several operations
	refused   int // got 401
	protected int // of these, ran something that is not public with credentials
	notPublic int // ran something without credentials that is not public
}

func newPublicLab(t *testing.T) *publicLab {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	l := &publicLab{counts: make([]publicCount, len(sdkKinds))}
	tokens := []string{env.Token(map[string]any{"exp": inADay}), env.Token(map[string]any{"exp": inADay, "scope": everyScope()})}
	bad := env.Token(map[string]any{"exp": inADay, "aud": "https://other.example.com"})
	for _, k := range sdkKinds {
		ran, twinRan := new(recorder), new(recorder)
		public, twin := k.endpoint(t, env, openRules(true), ran, everything), k.endpoint(t, env, openRules(false), twinRan, everything)
		l.anonymous = append(l.anonymous, k.peer(t, public, ran, ""))
		l.stranger = append(l.stranger, &peer{kind: kind{name: k.name, version: k.version}, handler: public, ran: ran, token: bad})
		var signedIn, twins [2]*peer
		for i, token := range tokens {
			signedIn[i], twins[i] = k.peer(t, public, ran, token), k.peer(t, twin, twinRan, token)
		}
		l.signedIn, l.twins = append(l.signedIn, signedIn), append(l.twins, twins)
	}
	return l
}

// try sends message number n to all servers without credentials, and to one of them with good ones and with bad ones.
func (l *publicLab) try(t *testing.T, seed, n uint64) {
	t.Helper()
	which, token := turn(n)
	m := generateNamed(seed, n, sdkKinds[which].version == "2026-07-28", n/shards%5 < 3)
	if n/shards%8 == 0 { // one that is public, with one that often is not
		messages := []string{m.body, generateNamed(seed^1, n, false, n/shards%16 == 0).body, `{"jsonrpc":"2.0","id":99,"method":"ping"}`}
		random(seed^2, n).Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		m.body = "[" + strings.Join(messages, ",") + "]"
	}
	for i, anonymous := range l.anonymous {
		answer, ran, begun := anonymous.ask(t, m)
		c := &l.counts[i]
		c.add(answer, ran, begun)
		if slices.ContainsFunc(ran, op.isProtected) || !subset(begun, publicMethods) {
			c.notPublic++
			t.Errorf("%s: %q without credentials runs %q in %q", anonymous.name, m.body, ran, begun)
		}
		if i == which {
			withRan, withBegun := l.withCredentials(t, m, i, token)
			l.compare(t, m, i, answer, ran, begun, withRan, withBegun)
		}
	}
	stranger := l.stranger[which]
	if answer, ran, begun := stranger.ask(t, m); answer.status != http.StatusUnauthorized || len(ran)+len(begun) > 0 {
		t.Errorf("%s: %q with a bad token: %d, runs %q in %q", stranger.name, m.body, answer.status, ran, begun)
	}
}

// compare checks that a message without credentials ran what it runs with them, if all of that is public.
func (l *publicLab) compare(t *testing.T, m *message, i int, answer *response, ran []op, begun []string, withRan []op, withBegun []string) {
	t.Helper()
	if len(ran) == 0 && slices.ContainsFunc(withRan, op.isProtected) {
		l.counts[i].protected++
	}
	single := !strings.HasPrefix(strings.TrimLeft(m.body, " \t\r\n"), "[")
	if strings.HasPrefix(sdkKinds[i].name, "mcp-go") && asksForTask(m.body) {
		single = false // tasks belong to users: see mcpauthmcpgo.Handler
	}
	if single && mustRun(withRan, withBegun) && m.encoding == "" && (!slices.Equal(ran, withRan) || !slices.Equal(begun, withBegun)) {
		t.Errorf("%s: %q (%d) without credentials runs %q in %q, and is public: with credentials it runs %q in %q",
			l.anonymous[i].name, m.body, answer.status, ran, begun, withRan, withBegun)
	}
}

// asksForTask reports whether mcp-go could make a task of the call in body.
func asksForTask(body string) bool {
	var message struct{ Params struct{ Task any } }
	return json.Unmarshal([]byte(body), &message) == nil && message.Params.Task != nil
}

// turn returns which of sdkKinds a message is tried on, and whether another choice of two falls on the first.
func turn(n uint64) (kind, choice int) {
	n /= shards
	return int(n % uint64(len(sdkKinds))), int(n / uint64(len(sdkKinds)) % 2)
}

// withCredentials returns what a message runs with credentials. It must be the same as if nothing was public.
func (l *publicLab) withCredentials(t *testing.T, m *message, i, token int) (ran []op, begun []string) {
	t.Helper()
	signedIn, twin := l.signedIn[i][token], l.twins[i][token]
	for range 3 {
		got, ran, begun := signedIn.ask(t, m)
		want, twinRan, twinBegun := twin.ask(t, m)
		if got.status == want.status && slices.Equal(ran, twinRan) && slices.Equal(begun, twinBegun) && sameText(got, want) {
			return ran, begun
		}
		signedIn.disconnect(t) // earlier messages may have changed what the server does
		signedIn.connect(t)
		twin.disconnect(t)
		twin.connect(t)
		for _, r := range []*recorder{signedIn.ran, twin.ran} {
			r.take()
			r.takeBegun()
		}
	}
	got, ran, begun := signedIn.ask(t, m)
	want, twinRan, twinBegun := twin.ask(t, m)
	t.Errorf("%s: %q with credentials: %d %s, runs %q in %q; where nothing is public: %d %s, %q in %q",
		signedIn.name, m.body, got.status, got.text.String(), ran, begun, want.status, want.text.String(), twinRan, twinBegun)
	return ran, begun
}

// sameText reports whether two answers have the same text. The answers to a batch may come in any order.
func sameText(a, b *response) bool {
	lines := func(r *response) []string {
		all := strings.FieldsFunc(r.text.String(), func(c rune) bool { return c == '\n' || c == '{' })
		slices.Sort(all)
		return all
	}
	return a.text.String() == b.text.String() || slices.Equal(lines(a), lines(b))
}

func (c *publicCount) add(answer *response, ran []op, begun []string) {
	if answer.status == http.StatusUnauthorized {
		c.refused++
	}
	if len(begun) > 0 {
		c.passed++
	}
	if len(ran) > 0 {
		c.ran++
	}
	if len(ran) > 1 {
		c.batches++
	}
	if slices.ContainsFunc(begun, func(method string) bool { return strings.HasSuffix(method, "/list") }) {
		c.lists++
	}
	if slices.Contains(begun, "initialize") {
		c.opened++
	}
}

// TestOnlyPublicOperationsRun tries messages without credentials, with a good token and with a bad one.
func TestOnlyPublicOperationsRun(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sum := make([]publicCount, len(sdkKinds))
	bodies := inShards(t, newPublicLab, func(t *testing.T, l *publicLab, seed, i uint64) {
		t.Helper()
		l.try(t, seed, i)
	}, func(_ *testing.T, l *publicLab) {
		mu.Lock()
		defer mu.Unlock()
		for i, c := range l.counts {
			sum[i].passed += c.passed
			sum[i].ran += c.ran
			sum[i].batches += c.batches
			sum[i].lists += c.lists
			sum[i].opened += c.opened
			sum[i].refused += c.refused
			sum[i].protected += c.protected
			sum[i].notPublic += c.notPublic
		}
	})
	for i, c := range sum {
		t.Logf("%-30s of %d bodies without credentials %4d passed: %4d ran an operation (%d several), %3d listed, %3d opened a session; %5d got 401, and of a sixth of them %4d run something protected with credentials; %d ran something that is not public",
			sdkKinds[i].name, bodies, c.passed, c.ran, c.batches, c.lists, c.opened, c.refused, c.protected, c.notPublic)
		if c.passed < bodies/40 || c.ran < bodies/50 || c.lists < bodies/1000 || c.protected < bodies/150 {
			t.Errorf("%s: too few bodies did something for the test to mean anything", sdkKinds[i].name)
		}
	}
}
