// Package operations_test compares the operations that RequireOperations finds in a body with what servers of two other
// libraries run.
package operations_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const maxBody = 64 << 10

// A lab has all servers that a body is tried on. Each kind is there twice: once without checks, to show what it runs, and
// once behind the checks.
type lab struct {
	census         http.Handler // the check alone, with no server behind it
	direct         []*peer
	guarded        []*peer
	byScope        []http.Handler // in front of guarded
	strict         []http.Handler // in front of guarded, too
	unscoped, open string         // tokens: without scopes, and with the open ones
	openScopes     []string
	counts         []count // one per kind
	refused        int     // bodies with status 400 or 413
	tooLong        int     // bodies with status 413
	denied         int     // bodies with status 403
	passed         int     // bodies that passed
}

// A count says how many bodies did something on one kind of server.
type count struct {
	ran     int // ran something without a check
	guarded int // of these, ran something guarded
	spared  int // of these, are refused as unreadable
	passed  int // ran something behind the checks
}

func newResourceServer(t testing.TB) (*mcpauthtest.Environment, *mcpauth.ResourceServer) {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	return env, rs
}

func newLab(t testing.TB) *lab {
	t.Helper()
	env, rs := newResourceServer(t)
	require := func(scopes mcpauth.Rules) func(http.Handler) http.Handler {
		policy, err := mcpauth.NewPolicy(scopes)
		if err != nil {
			t.Fatal(err)
		}
		middleware := rs.RequireOperations(policy)
		return func(next http.Handler) http.Handler { return middleware(noteReached(next)) }
	}
	byScope, strict := require(policy()), require(openOnly())
	l := &lab{
		census:     byScope(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
		unscoped:   env.Token(map[string]any{"exp": inADay}),
		open:       env.Token(map[string]any{"exp": inADay, "scope": openScopes()}),
		openScopes: strings.Fields(openScopes()),
		counts:     make([]count, len(kinds)),
	}
	for _, k := range kinds {
		l.direct = append(l.direct, newPeer(t, k))
		g := newPeer(t, k)
		l.guarded = append(l.guarded, g)
		l.byScope = append(l.byScope, byScope(g.handler))
		l.strict = append(l.strict, strict(g.handler))
	}
	return l
}

// A verdict is what the census found: whether a body can be read, and if so, which scopes its operations need.
type verdict struct {
	readable bool
	scopes   []string
}

// check returns what RequireOperations reads in a body. Its challenge to a token without scopes names the scopes of all
// operations.
func (l *lab) check(t testing.TB, m *message) (v verdict) {
	t.Helper()
	if got := l.direct[0].send(t, l.census, m, ""); got.status != http.StatusUnauthorized || got.reached {
		t.Errorf("%q: status %d without a token, reached the server: %v", m.body, got.status, got.reached)
	}
	got := l.direct[0].send(t, l.census, m, l.unscoped)
	switch {
	case got.reached:
		return verdict{readable: true}
	case got.status == http.StatusForbidden:
		_, after, ok := strings.Cut(got.header.Get("WWW-Authenticate"), `scope="`)
		scopes, _, ok2 := strings.Cut(after, `"`)
		if !ok || !ok2 {
			t.Errorf("%q: no scope in the challenge: %v", m.body, got.header)
		}
		v = verdict{true, strings.Fields(scopes)}
		slices.Sort(v.scopes)
		return v
	case got.status == http.StatusRequestEntityTooLarge && len(m.body) > maxBody:
		l.tooLong++
		return v
	case got.status == http.StatusBadRequest && len(m.body) <= maxBody:
		return v
	}
	t.Errorf("%q: status %d: %s", m.body, got.status, got.text.String())
	return v
}

// try sends a body to all servers, and fails the test when one runs something that was not checked.
func (l *lab) try(t testing.TB, m *message) verdict {
	t.Helper()
	v := l.check(t, m)
	switch {
	case !v.readable:
		l.refused++
	case len(v.scopes) > 0:
		l.denied++
	default:
		l.passed++
	}
	if !v.readable || !subset(v.scopes, l.openScopes) {
		if got := l.direct[0].send(t, l.census, m, l.open); got.reached || got.status < 400 || got.status > 499 {
			t.Errorf("%q: checked for %q, status %d with open scopes, reached the server: %v", m.body, v.scopes, got.status, got.reached)
		}
	}
	for i := range kinds {
		l.tryOn(t, i, m, v)
	}
	return v
}

func (l *lab) tryOn(t testing.TB, i int, m *message, v verdict) {
	t.Helper()
	direct, guarded := l.direct[i], l.guarded[i]
	answer := direct.send(t, direct.handler, m, "")
	ran := direct.ran.take()
	direct.revive(t, answer)
	needed := needsOf(ran)
	if len(ran) > 0 {
		l.counts[i].ran++
		if !v.readable {
			l.counts[i].spared++
		}
	}
	if slices.ContainsFunc(needed, isGuarded) {
		l.counts[i].guarded++
	}
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %q (%s %q): checked for %q, runs %q: "+format, append([]any{direct.name, m.body, m.method, m.name, v.scopes, ran}, args...)...)
	}
	if v.readable {
		if !subset(needed, v.scopes) {
			wrong("not checked for %q", needed)
		}
		// A single call must not be checked for anything more. A URI is the exception: it may be checked for more than it
		// needs.
		single := !strings.HasPrefix(strings.TrimLeft(m.body, " \t\r\n"), "[")
		if single && len(ran) == 1 && ran[0].kind != resource && !slices.Equal(needed, v.scopes) {
			wrong("it needs %q", needed)
		}
	}

	may := v.readable && subset(v.scopes, l.openScopes)
	for _, front := range []struct {
		name    string
		handler http.Handler
		token   string
		exact   bool
	}{{"by scope", l.byScope[i], l.open, true}, {"strict", l.strict[i], l.unscoped, false}} {
		if !may && front.exact {
			continue // try has checked that it was refused
		}
		got := guarded.send(t, front.handler, m, front.token)
		passed := guarded.ran.take()
		if got.reached {
			guarded.revive(t, got)
		}
		if slices.ContainsFunc(needsOf(passed), isGuarded) {
			wrong("%s: ran %q", front.name, passed)
		}
		switch {
		case !got.reached && (len(passed) > 0 || front.exact || got.status != 400 && got.status != 403 && got.status != 413):
			wrong("%s: status %d, ran %q", front.name, got.status, passed)
		case got.reached && !v.readable:
			wrong("%s: it cannot be read, and reached the server", front.name)
		case got.reached && !slices.Equal(passed, ran):
			l.again(t, i, m, front.handler, front.token)
		}
		if len(passed) > 0 && front.exact {
			l.counts[i].passed++
		}
	}
}

// again repeats a comparison in new sessions. In old ones, earlier messages may have changed what the server does.
func (l *lab) again(t testing.TB, i int, m *message, handler http.Handler, token string) {
	t.Helper()
	direct, guarded := l.direct[i], l.guarded[i]
	var ran, passed []op
	for range 3 {
		direct.disconnect(t)
		direct.connect(t)
		guarded.disconnect(t)
		guarded.connect(t)
		direct.send(t, direct.handler, m, "")
		guarded.send(t, handler, m, token)
		ran, passed = direct.ran.take(), guarded.ran.take()
		if slices.Equal(ran, passed) {
			return
		}
	}
	t.Errorf("%s: %q: runs %q, and behind the check %q", direct.name, m.body, ran, passed)
}

// finish checks what ran after its call had been answered.
func (l *lab) finish(t testing.TB) {
	t.Helper()
	for _, s := range l.guarded {
		if ops := s.ran.guarded(); len(ops) > 0 {
			t.Errorf("%s: ran %q", s.name, ops)
		}
	}
}

// close ends the sessions.
func (l *lab) close(t testing.TB) {
	t.Helper()
	for i := range kinds {
		l.direct[i].disconnect(t)
		l.guarded[i].disconnect(t)
	}
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
