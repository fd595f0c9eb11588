package mcpauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func newPolicy(t testing.TB, rules mcpauth.Rules) *mcpauth.Policy {
	t.Helper()
	p, err := mcpauth.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRules asks one rule about callers with different claims. "refused" means that more scopes would not help.
func TestRules(t *testing.T) {
	t.Parallel()
	ada := m{"scope": "read", "roles": []string{"support"}, "permissions": []string{"p1", "p2"}, "oid": "org_1"}
	for name, c := range map[string]struct {
		rule   mcpauth.Rule
		claims m
		want   string // "allowed", "refused", or the scopes that are asked for
		shown  bool
	}{
		"nothing is needed":                     {mcpauth.Rule{}, nil, "allowed", true},
		"scopes":                                {mcpauth.Rule{Scopes: []string{"read"}}, ada, "allowed", true},
		"scopes, implied":                       {mcpauth.Rule{Scopes: []string{"see"}}, m{"scope": "admin"}, "[see]", true}, // the sessions of tests imply nothing
		"a scope is missing":                    {mcpauth.Rule{Scopes: []string{"read", "write"}}, ada, "[read write]", true},
		"a scope is missing, and it hides":      {mcpauth.Rule{Scopes: []string{"read", "write"}, Hide: true}, ada, "[read write]", false},
		"it hides, and the scopes are held":     {mcpauth.Rule{Scopes: []string{"read"}, Hide: true}, ada, "allowed", true},
		"the first alternative":                 {mcpauth.Rule{AnyScopes: [][]string{{"read"}, {"x", "y"}}}, ada, "allowed", true},
		"the second alternative":                {mcpauth.Rule{AnyScopes: [][]string{{"x", "y"}, {"read"}}}, ada, "allowed", true},
		"the nearest alternative":               {mcpauth.Rule{AnyScopes: [][]string{{"x", "y", "z"}, {"read", "w"}, {"v"}}}, ada, "[read w]", true},
		"the first of two that are as near":     {mcpauth.Rule{AnyScopes: [][]string{{"x"}, {"y"}}}, ada, "[x]", true},
		"all scopes and an alternative":         {mcpauth.Rule{Scopes: []string{"a"}, AnyScopes: [][]string{{"b"}, {"read"}}}, ada, "[a read]", true},
		"a role":                                {mcpauth.Rule{Roles: []string{"admin", "support"}}, ada, "allowed", true},
		"another role":                          {mcpauth.Rule{Roles: []string{"admin"}}, ada, "refused", false},
		"no roles at all":                       {mcpauth.Rule{Roles: []string{"admin"}}, m{"scope": "admin"}, "refused", false},
		"permissions":                           {mcpauth.Rule{Permissions: []string{"p1", "p2"}}, ada, "allowed", true},
		"one of two permissions":                {mcpauth.Rule{Permissions: []string{"p1", "p3"}}, ada, "refused", false},
		"an organization":                       {mcpauth.Rule{Organizations: []string{"org_2", "org_1"}}, ada, "allowed", true},
		"another organization":                  {mcpauth.Rule{Organizations: []string{"org_2"}}, ada, "refused", false},
		"no organization":                       {mcpauth.Rule{Organizations: []string{"org_1"}}, m{"oid": nil}, "refused", false},
		"everything":                            {mcpauth.Rule{Scopes: []string{"read"}, Roles: []string{"support"}, Permissions: []string{"p1"}, Organizations: []string{"org_1"}}, ada, "allowed", true},
		"a claim is missing, and a scope":       {mcpauth.Rule{Scopes: []string{"write"}, Roles: []string{"admin"}}, ada, "refused", false},
		"a scope is missing, and the role held": {mcpauth.Rule{Scopes: []string{"write"}, Roles: []string{"support"}}, ada, "[write]", true},
	} {
		p := newPolicy(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"t": c.rule}})
		s := mcpauthtest.NewSession(c.claims)
		err := p.Authorize(context.Background(), s, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"})
		got := "allowed"
		if scopes := mcpauth.NeededScopes(err); scopes != nil {
			got = fmt.Sprint(scopes)
		} else if err != nil {
			got = "refused"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if shown := p.Visible(context.Background(), s, mcpauth.OperationTool, []string{"t"}); shown[0] != c.shown {
			t.Errorf("%s: shown is %t", name, shown[0])
		}
		if open := p.IsOpen(mcpauth.OperationTool, "t"); open != (name == "nothing is needed") {
			t.Errorf("%s: open is %t", name, open)
		}
	}
}

// TestRulesWithoutASession has no caller: only what needs nothing is allowed.
func TestRulesWithoutASession(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"open": {}, "scopes": {Scopes: []string{"a"}}, "any": {AnyScopes: [][]string{{"a"}}}, "hidden": {Scopes: []string{"a"}, Hide: true},
		"role": {Roles: []string{"r"}}, "permission": {Permissions: []string{"p"}}, "organization": {Organizations: []string{"o"}},
	}})
	for name, want := range map[string]bool{"open": true, "scopes": false, "any": false, "hidden": false, "role": false, "permission": false, "organization": false, "unlisted": true} {
		if got := allows(p, nil, mcpauth.OperationTool, name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	names := []string{"open", "scopes", "any", "hidden", "role", "permission", "organization", "unlisted"}
	if got := p.Visible(context.Background(), nil, mcpauth.OperationTool, names); !slices.Equal(got, []bool{true, true, true, false, false, false, false, true}) {
		t.Errorf("shown: %v", got)
	}
}

// callWith sends a tools/call with arguments through RequireOperations, as a caller with scopes.
func callWith(t *testing.T, rules mcpauth.Rules, scope, arguments string) (w *httptest.ResponseRecorder, ran bool, log string) {
	t.Helper()
	var lines bytes.Buffer
	cfg := quietConfig()
	cfg.RequiredScopes = []string{"base"}
	cfg.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler := rs.RequireOperations(newPolicy(t, rules))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	ctx := mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(m{"scope": "base " + scope}))
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":` + arguments + `}}`
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(body)))
	return w, ran, lines.String()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	type check = func(context.Context, *mcpauth.Session, mcpauth.Operation) error
	answer := func(err error) check {
		return func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return err }
	}
	read := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		_, _ = op.Arguments("a")
		return nil
	}
	forget := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		arguments, _ := op.Arguments()
		if len(arguments) > 0 {
			t.Errorf("without names: %v", arguments)
		}
		return nil
	}
	look := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		_, _ = op.Arguments("a", "b")
		return nil
	}
	for name, c := range map[string]struct {
		check     check
		arguments string
		status    int
		scope     string // in the challenge
		log       string
	}{
		"allowed":                  {answer(nil), `{}`, 200, "", ""},
		"scopes are missing":       {answer(mcpauth.NeedScopes("late", "held")), `{}`, 403, `scope="base held late"`, "outcome=insufficient_scope"},
		"wrapped":                  {answer(fmt.Errorf("quota: %w", mcpauth.NeedScopes("late"))), `{}`, 403, `scope="base held late"`, "outcome=insufficient_scope"},
		"joined":                   {answer(errors.Join(mcpauth.NeedScopes("held"), mcpauth.NeedScopes("late"), mcpauth.NeedScopes("later", "late"))), `{}`, 403, `scope="base held late later"`, "outcome=insufficient_scope"},
		"the scopes are held":      {answer(mcpauth.NeedScopes("held")), `{}`, 403, "", "outcome=operation_refused"},
		"what can't be a scope":    {answer(mcpauth.NeedScopes("a\"\r\nX: y")), `{}`, 403, "", "outcome=operation_refused"},
		"refresh tokens":           {answer(mcpauth.NeedScopes("late", "offline_access")), `{}`, 403, "", "outcome=operation_refused"},
		"no scopes":                {answer(mcpauth.NeedScopes()), `{}`, 403, "", "outcome=operation_refused"},
		"hidden":                   {answer(mcpauth.ErrHidden), `{}`, 403, "", "outcome=operation_refused"},
		"an error":                 {answer(errors.New("secret reason")), `{}`, 403, "", "secret reason"},
		"a panic":                  {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { panic("secret reason") }, `{}`, 503, "", "secret reason"},
		"an error without a value": {answer((*brokenError)(nil)), `{}`, 503, "", "nil pointer"},
		"the goroutine is ended":   {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { runtime.Goexit(); return nil }, `{}`, 503, "", "ended its goroutine"},
		"arguments not read":       {answer(nil), `{"a":1,"a":2}`, 200, "", ""},
		"arguments read":           {read, `{"a":1,"b":{"a":2}}`, 200, "", ""},
		"repeated":                 {read, `{"a":1,"a":2}`, 400, "", "outcome=message_refused"},
		"repeated deep inside":     {read, `{"a":[{"b":{"c":1,"c":1}}]}`, 400, "", "outcome=message_refused"},
		"another case":             {read, `{"a":1,"A":2}`, 400, "", "outcome=message_refused"},
		"another case, by Unicode": {read, `{"s":1,"ſ":2}`, 400, "", "outcome=message_refused"},
		"repeated by an escape":    {read, `{"a":1,"\u0061":2}`, 400, "", "outcome=message_refused"},
		"the name in another case": {look, `{"a":1,"x":{"B":1}}`, 400, "", "outcome=message_refused"},
		"the names as they are":    {look, `{"a":1,"x":{"b":1},"C":1}`, 200, "", ""},
		"without names":            {forget, `{"A":1}`, 503, "", "Operation.Arguments was called without names"},
		"without names or any":     {forget, `{}`, 503, "", "Operation.Arguments was called without names"},
		"a rounded number":         {read, `{"a":9007199254740993}`, 400, "", "outcome=message_refused"},
		"broken text":              {read, `{"a":"\ud800"}`, 400, "", "outcome=message_refused"},
		"a list":                   {read, `[1]`, 400, "", "outcome=message_refused"},
		"null":                     {read, `null`, 200, "", ""},
	} {
		w, ran, log := callWith(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"t": {Scopes: []string{"held"}}}, Check: c.check}, "held", c.arguments)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != c.status || ran != (c.status == 200) || (challenge != "") != (c.scope != "") || !strings.Contains(challenge, c.scope) {
			t.Errorf("%s: status %d, the handler ran: %t, challenge %s", name, w.Code, ran, challenge)
		}
		if !strings.Contains(log, c.log) || c.log == "" && log != "" {
			t.Errorf("%s: the log is %s", name, log)
		}
		if strings.Contains(w.Body.String(), "secret") || strings.Contains(fmt.Sprint(w.Header()), "secret") {
			t.Errorf("%s: the client sees the reason: %v %s", name, w.Header(), w.Body)
		}
	}
}

// TestCheckComesAfterTheRules is not asked about what a rule refuses.
func TestCheckComesAfterTheRules(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]mcpauth.Rules{
		"scopes": {Tools: map[string]mcpauth.Rule{"t": {Scopes: []string{"missing"}}}},
		"roles":  {Tools: map[string]mcpauth.Rule{"t": {Roles: []string{"missing"}}}},
		"strict": {Strict: true},
	} {
		rules.Check = func(context.Context, *mcpauth.Session, mcpauth.Operation) error {
			t.Errorf("%s: Check was asked", name)
			return nil
		}
		if w, ran, _ := callWith(t, rules, "", `{}`); w.Code != http.StatusForbidden || ran {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

// TestCheckSeesTheOperation has a call with arguments, whose numbers are exact and have one spelling.
func TestCheckSeesTheOperation(t *testing.T) {
	t.Parallel()
	asked := 0
	check := func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
		asked++
		arguments, err := op.Arguments("a")
		if op.Kind != mcpauth.OperationTool || op.Name != "t" || op.Listing || err != nil || fmt.Sprint(arguments) != "map[id:9007199254740992 list:[1 map[x:true]]]" || s.UserID() != "usr_1" {
			t.Errorf("got %+v, %v, %v for %v", op, arguments, err, s)
		}
		return nil
	}
	if w, _, _ := callWith(t, mcpauth.Rules{Check: check}, "", `{"id":9007199254740992.0,"list":[1,{"x":true}]}`); w.Code != http.StatusOK || asked != 1 {
		t.Errorf("status %d, asked %d times", w.Code, asked)
	}
}

// TestCheckHangs has a Check that ignores its context, for one operation of several.
func TestCheckHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		rules := mcpauth.Rules{CheckTimeout: 2 * time.Second, Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
			if op.Name == "t" {
				<-end
			}
			return nil
		}}
		start := time.Now()
		if w, ran, _ := callWith(t, rules, "", `{}`); w.Code != http.StatusServiceUnavailable || ran || time.Since(start) != 2*time.Second || w.Header().Get("Retry-After") == "" {
			t.Errorf("status %d after %v", w.Code, time.Since(start))
		}
		start = time.Now()
		shown := newPolicy(t, rules).Visible(context.Background(), mcpauthtest.NewSession(nil), mcpauth.OperationTool, []string{"a", "t", "b"})
		if !slices.Equal(shown, []bool{true, false, true}) || time.Since(start) != 2*time.Second {
			t.Errorf("shown %v after %v", shown, time.Since(start))
		}
	})
}

// TestCheckOfLists counts how many entries are checked at a time, and what each result does to the list.
func TestCheckOfLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		check := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			if arguments, err := op.Arguments("a"); !op.Listing || arguments != nil || err != nil {
				t.Errorf("asked about %+v", op)
			}
			switch op.Name[:1] {
			case "h":
				return mcpauth.ErrHidden
			case "e":
				return errors.New("no")
			case "p":
				panic("oops")
			case "b":
				return (*brokenError)(nil)
			case "s":
				return mcpauth.NeedScopes("x")
			}
			return nil
		}
		p := newPolicy(t, mcpauth.Rules{Check: check, Tools: map[string]mcpauth.Rule{"allowed1": {Roles: []string{"admin"}}}})
		var names []string
		for i := range 240 {
			names = append(names, []string{"hidden", "error", "panics", "scopes", "allowed", "broken"}[i%6]+fmt.Sprint(i/6))
		}
		for i, shown := range p.Visible(context.Background(), mcpauthtest.NewSession(nil), mcpauth.OperationTool, names) {
			if want := (i%6 == 3 || i%6 == 4) && names[i] != "allowed1"; shown != want {
				t.Errorf("%s: shown is %t", names[i], shown)
			}
		}
		if most != 16 {
			t.Errorf("%d at a time, want 16", most)
		}
	})
}

// TestBatchIsAllowedAsAWhole merges what several operations need. A failure and a refusal come before missing scopes.
func TestBatchIsAllowedAsAWhole(t *testing.T) {
	t.Parallel()
	check := func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		switch op.Name {
		case "needs":
			return mcpauth.NeedScopes("x")
		case "needs more":
			return mcpauth.NeedScopes("y")
		case "fails":
			panic("oops")
		case "refused":
			return errors.New("no")
		}
		return nil
	}
	rs, err := mcpauth.New(quietConfig())
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(t, mcpauth.Rules{Check: check, Tools: map[string]mcpauth.Rule{"scoped": {Scopes: []string{"s"}}, "role": {Roles: []string{"r"}}}})
	ran := false
	handler := rs.RequireOperations(p)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	for _, c := range []struct {
		names  []string
		status int
		scope  string
	}{
		{[]string{"a", "b"}, 200, ""},
		{[]string{"a", "needs", "needs more"}, 403, `scope="x y"`},
		{[]string{"needs", "refused"}, 403, ""},
		{[]string{"needs", "refused", "fails"}, 503, ""},
		{[]string{"scoped", "needs"}, 403, `scope="s"`},
		{[]string{"scoped", "role"}, 403, ""},
	} {
		var messages []string
		for _, name := range c.names {
			messages = append(messages, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`)
		}
		ctx := mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(nil))
		w := httptest.NewRecorder()
		ran = false
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader("["+strings.Join(messages, ",")+"]")))
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != c.status || ran != (c.status == 200) || (challenge != "") != (c.scope != "") || !strings.Contains(challenge, c.scope) {
			t.Errorf("%v: status %d, the handler ran: %t, challenge %s", c.names, w.Code, ran, challenge)
		}
	}
}

// TestRefusedClaimsAreLogged tells the administrator which rule refused a caller, and that the token has no such claim.
func TestRefusedClaimsAreLogged(t *testing.T) {
	t.Parallel()
	_, _, log := callWith(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"t": {Roles: []string{"admin"}}}}, "", `{}`)
	for _, want := range []string{"outcome=operation_refused", `cause="the caller lacks a role that the operation needs"`, `rule="tool t"`, "the token has no role at all", "user_id=usr_1"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
}
