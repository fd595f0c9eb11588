package operations_test

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// isHidden reports whether Check hides an operation: those that are guarded elsewhere.
func (o op) isHidden() bool { return slices.ContainsFunc(o.needs(), isGuarded) }

// A hiding is a Check that hides what isHidden says, and keeps what it was asked about.
type hiding struct {
	mu     sync.Mutex
	hidden []string // names
}

func (h *hiding) check(_ context.Context, _ *mcpauth.Session, asked mcpauth.Operation) error {
	if !(op{string(asked.Kind), asked.Name}).isHidden() {
		return nil
	}
	if !asked.Listing {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hidden = append(h.hidden, asked.Name)
	}
	return mcpauth.ErrHidden
}

func (h *hiding) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	hidden := h.hidden
	h.hidden = nil
	return hidden
}

// A hiddenLab has servers whose policy hides operations, each with another server of the same kind that does not have them.
type hiddenLab struct {
	hiding       hiding
	hides, lacks []*peer
	counts       []hiddenCount
}

// A hiddenCount says how many bodies did something on one kind of server.
type hiddenCount struct {
	hidden int // asked for something hidden
	found  int // of these, were answered with 200
	ran    int // ran something that is not hidden
	listed int // listed
}

func newHiddenLab(t *testing.T) *hiddenLab {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	l := &hiddenLab{counts: make([]hiddenCount, len(sdkKinds))}
	token := env.Token(map[string]any{"exp": inADay})
	hides := mcpauth.Rules{Check: l.hiding.check, MaxBodyBytes: maxBody}
	lacks := mcpauth.Rules{Check: func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return nil }, MaxBodyBytes: maxBody}
	for _, k := range sdkKinds {
		ran, others := new(recorder), new(recorder)
		l.hides = append(l.hides, k.peer(t, k.endpoint(t, env, hides, ran, everything), ran, token))
		l.lacks = append(l.lacks, k.peer(t, k.endpoint(t, env, lacks, others, func(o op) bool { return !o.isHidden() }), others, token))
	}
	return l
}

// try sends message number n to one pair of servers.
func (l *hiddenLab) try(t *testing.T, seed, n uint64) {
	t.Helper()
	i, _ := turn(n)
	m := generateNamed(seed, n, sdkKinds[i].version == "2026-07-28", false)
	m.nameInBase64 = random(^seed, n).IntN(8) == 0 // and not the numbers that the message is drawn with
	l.compare(t, i, m)
}

// compare sends a message to a server that hides operations, and to one that lacks them.
func (l *hiddenLab) compare(t *testing.T, i int, m *message) {
	t.Helper()
	hides, c := l.hides[i], &l.counts[i]
	got, ran, begun := hides.ask(t, m)
	hidden := l.hiding.take()
	if slices.ContainsFunc(ran, op.isHidden) {
		t.Errorf("%s: %q runs %q, and Check hides %q", hides.name, m.body, ran, hidden)
	}
	if len(hidden) > 0 {
		c.hidden++
		if got.status == http.StatusOK {
			c.found++
		}
	}
	if len(ran) > 0 {
		c.ran++
	}
	if slices.ContainsFunc(begun, func(method string) bool { return strings.HasSuffix(method, "/list") }) {
		c.listed++
	}
	if slices.ContainsFunc(hidden, func(name string) bool { return strings.ContainsFunc(name, unprintable) }) {
		if got.status != http.StatusForbidden || len(ran)+len(begun) > 0 {
			t.Errorf("%s: %q: a name that can't be put back, status %d, runs %q", hides.name, m.body, got.status, ran)
		}
		l.lacks[i].ask(t, m)
		return
	}
	want, _, _ := l.lacks[i].ask(t, m)
	if strings.HasPrefix(hides.name, "mcp-go") && slices.ContainsFunc(hidden, isInTemplate) {
		return // SECURITY.md says so: a handler of mcp-go can't answer as for a URI that no template matches
	}
	if !same(got, want) {
		l.again(t, i, m)
	}
}

// isInTemplate reports whether a name is the URI of a resource that a template matches.
func isInTemplate(name string) bool {
	return strings.Contains(name, "://") && !strings.HasPrefix(name, "fixed://") && !slices.Contains(resourceTemplates, name)
}

func unprintable(c rune) bool { return !unicode.IsPrint(c) }

// same reports whether two answers are the same to a client, but for the times and the ids of sessions.
func same(a, b *response) bool {
	headers := func(r *response) http.Header {
		h := maps.Clone(r.header)
		h.Del("Date")
		h.Del("Mcp-Session-Id")
		return h
	}
	return a.status == b.status && reflect.DeepEqual(headers(a), headers(b)) && sameText(a, b)
}

// again repeats a comparison in new sessions. In old ones, earlier messages may have changed what the server does.
func (l *hiddenLab) again(t *testing.T, i int, m *message) {
	t.Helper()
	var got, want *response
	for range 3 {
		for _, p := range []*peer{l.hides[i], l.lacks[i]} {
			p.disconnect(t)
			p.connect(t)
			p.ran.take()
			p.ran.takeBegun()
		}
		got, _, _ = l.hides[i].ask(t, m)
		want, _, _ = l.lacks[i].ask(t, m)
		if same(got, want) {
			l.hiding.take()
			return
		}
	}
	t.Errorf("%s: %q: Check hides %q: %d %v %s; the server that lacks them: %d %v %s",
		l.hides[i].name, m.body, l.hiding.take(), got.status, got.header, got.text.String(), want.status, want.header, want.text.String())
}

// TestHiddenOperationsNeverRun tries messages for operations that Check hides. None runs, and the answer is that of a server
// which does not have them, byte for byte.
func TestHiddenOperationsNeverRun(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sum := make([]hiddenCount, len(sdkKinds))
	bodies := inShards(t, newHiddenLab, func(t *testing.T, l *hiddenLab, seed, i uint64) {
		t.Helper()
		l.try(t, seed, i)
	}, func(_ *testing.T, l *hiddenLab) {
		mu.Lock()
		defer mu.Unlock()
		for i, c := range l.counts {
			sum[i].hidden += c.hidden
			sum[i].found += c.found
			sum[i].ran += c.ran
			sum[i].listed += c.listed
		}
	})
	each := bodies / len(sdkKinds)
	for i, c := range sum {
		t.Logf("%-30s of %d bodies %4d ask for something hidden, %4d of them are answered with 200; %4d ran something else, %3d listed; 0 ran something hidden",
			sdkKinds[i].name, each, c.hidden, c.found, c.ran, c.listed)
		if c.hidden < each/20 || c.found < each/50 || c.ran < each/50 || c.listed < each/500 {
			t.Errorf("%s: too few bodies did something for the test to mean anything", sdkKinds[i].name)
		}
	}
}

// TestHiddenInAnswersThatQuote has messages that the server behind can't use, for hidden names in several spellings: its answer
// quotes the message, or 32 bytes of it.
func TestHiddenInAnswersThatQuote(t *testing.T) {
	t.Parallel()
	l := newHiddenLab(t)
	params := map[string][]string{
		"tools/call":          {`"name":"secret"`, `"name":"\u0073ecret"`, `"name":"a\"b"`, `"name":"a\u0022b"`, `"name":"files/delete"`, `"name":"files\/delete"`, `"name":"\ud83d\udd11"`},
		"prompts/get":         {`"name":"open"`, `"name":"rev\u0069ew"`},
		"resources/read":      {`"uri":"note://1"`, `"uri":"note:\/\/1"`, `"uri":"files:///secret/\"<&>é"`, `"uri":"files:///secret/\u0022\u003c\u00e9"`, `"uri":"db://` + strings.Repeat("x", 50) + `"`},
		"resources/subscribe": {`"uri":"note://1"`},
		"completion/complete": {`"ref":{"type":"ref/prompt","name":"review"},"argument":{"name":"a","value":"b"}`, `"ref":{"title":5,"type":"ref/prompt","name":"review"}`, `"ref":{"type":"ref/resource","uri":"n\u006fte://1"}`},
	}
	faults := []string{
		`"_meta":1`, `"_meta":"x"`, `"_meta":[1,"a longer text than an excerpt can hold"]`, `"arguments":1`, `"arguments":[]`, `"arguments":{"a":1}`, `"arguments":"..."`,
		`"arguments":{"a":"cannot unmarshal "},"_meta":0`, `"inputResponses":5`, `"inputResponses":{"a":5}`, `"requestState":{}`, `"argument":0`, `"argument":{"name":1}`, `"context":[]`, `"cursor":7`, `"task":1e30`,
		`"_meta":{"io.modelcontextprotocol/protocolVersion":5}`, `"_meta":{"io.modelcontextprotocol/clientInfo":7}`, `"_meta":{"io.modelcontextprotocol/clientCapabilities":[]}`, `"_meta":{}`,
	}
	outer := []string{``, `,"error":1`, `,"error":{"code":"x"}`, `,"error":{"code":1e300}`, `,"result":1`}
	for method, names := range params {
		for _, name := range names {
			for _, fault := range faults {
				for i, text := range []string{fault + "," + name, name + "," + fault, fault + ` , ` + name + `,"padding":"a text that is longer than an excerpt"`} {
					write := func(params string) string {
						return `{"jsonrpc":"2.0","id":1` + outer[(i+len(fault)+len(name))%len(outer)] + `,"method":"` + method + `","params":{` + params + `}}`
					}
					bodies := []string{write(text)}
					if i == 0 {
						bodies = append(bodies, "["+bodies[0]+`,{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"secret","_meta":1}}]`)
					}
					for _, body := range bodies {
						for kind := range sdkKinds {
							l.compare(t, kind, &message{body: body})
						}
					}
				}
			}
		}
	}
}
