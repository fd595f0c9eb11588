package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A publicStub is an MCP server of an SDK whose public operations are a function.
type publicStub func(w http.ResponseWriter, r *http.Request)

func (s publicStub) ServeSession(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	_, _ = fmt.Fprint(w, session.UserID(), err)
}
func (publicStub) IsPublic(*http.Request) bool { return true }
func (s publicStub) ServePublic(w http.ResponseWriter, r *http.Request, _ bool) bool {
	s(w, r)
	return true
}

func echoBody(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "public %s%v", body, err)
}

const callPublic = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1}}}`

// publicRule makes the tool t public.
func publicRule(rules mcpauth.Rules) mcpauth.Rules {
	rules.Tools = map[string]mcpauth.Rule{"t": {Public: true}}
	return rules
}

// endpointOf returns the endpoint of a public tool.
func endpointOf(t testing.TB, rules mcpauth.Rules, stub publicStub, change func(*mcpauth.Config)) *mcpauth.Endpoint {
	t.Helper()
	cfg := quietConfig()
	cfg.Policy = newPolicy(t, publicRule(rules))
	if change != nil {
		change(&cfg)
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rs.Endpoint(rs.SDKHandler(stub))
}

func post(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestR99PublicRules has rules that are public and need something at once, and what a policy says of those that are right.
func TestR99PublicRules(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]mcpauth.Rule{
		"scopes": {Scopes: []string{"a"}}, "alternatives": {AnyScopes: [][]string{{"a"}}}, "roles": {Roles: []string{"a"}},
		"permissions": {Permissions: []string{"a"}}, "organizations": {Organizations: []string{"a"}}, "hide": {Hide: true},
	} {
		rule.Public = true
		if _, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"t": rule}}); err == nil || !strings.Contains(err.Error(), "Tools: is Public, and needs something") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newPolicy(t, publicRule(mcpauth.Rules{}))
	if got := p.String(); !strings.HasPrefix(got, "tool t: public\n") {
		t.Errorf("String: %s", got)
	}
	if !allows(p, nil, mcpauth.OperationTool, "t") || !allows(p, mcpauthtest.NewSession(nil), mcpauth.OperationTool, "t") {
		t.Error("Authorize refuses a public operation")
	}
}

// TestR99CheckOfPublicOperations asks Check about a call without credentials.
func TestR99CheckOfPublicOperations(t *testing.T) {
	t.Parallel()
	var none *mcpauth.Session
	for name, c := range map[string]struct {
		check  func(ctx context.Context, s *mcpauth.Session, op mcpauth.Operation) error
		status int
		scope  string
	}{
		"it allows":         {func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error { return sameArguments(s, op) }, 200, ""},
		"it needs scopes":   {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return mcpauth.NeedScopes("x") }, 401, `scope="base x"`},
		"it hides":          {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return mcpauth.ErrHidden }, 401, `scope="base"`},
		"it refuses":        {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return errors.New("secret") }, 401, `scope="base"`},
		"it wants a caller": {func(context.Context, *mcpauth.Session, mcpauth.Operation) error { _ = none.UserID(); return nil }, 503, ""},
		"it hangs": {func(ctx context.Context, _ *mcpauth.Session, _ mcpauth.Operation) error {
			<-ctx.Done()
			return nil
		}, 503, ""},
	} {
		e := endpointOf(t, mcpauth.Rules{Check: c.check, CheckTimeout: 50 * time.Millisecond}, echoBody, func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"base"} })
		w := post(e, callPublic)
		if w.Code != c.status || !strings.Contains(w.Header().Get("WWW-Authenticate"), c.scope) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	twice := strings.Replace(callPublic, `"a":1`, `"a":1,"a":2`, 1)
	e := endpointOf(t, mcpauth.Rules{Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
		_, _ = op.Arguments("a")
		return nil
	}}, echoBody, nil)
	if w := post(e, twice); w.Code != http.StatusUnauthorized {
		t.Errorf("arguments that Check reads can be read in two ways: %d", w.Code)
	}
}

func sameArguments(s *mcpauth.Session, op mcpauth.Operation) error {
	arguments, err := op.Arguments("a")
	if s != nil || op.Kind != mcpauth.OperationTool || op.Name != "t" || fmt.Sprint(arguments) != "map[a:1]" || err != nil {
		return fmt.Errorf("%v %+v %v %w", s, op, arguments, err)
	}
	return nil
}

// TestR99Notifications sends notifications without credentials: those that MCP has clients send, and others, for which a server
// may have handlers of its own.
func TestR99Notifications(t *testing.T) {
	t.Parallel()
	e := endpointOf(t, mcpauth.Rules{}, echoBody, nil)
	for method, status := range map[string]int{
		"initialized": 200, "cancelled": 200, "progress": 200, "roots/list_changed": 200,
		"orders/drop": 401, "": 401, "message": 401, "tasks/status": 401, "Initialized": 401, "initialized/": 401,
	} {
		for _, rest := range []string{``, `,"id":1`, `,"params":{}`} {
			if w := post(e, `{"jsonrpc":"2.0","method":"notifications/`+method+`"`+rest+`}`); w.Code != status {
				t.Errorf("notifications/%s%s: %d, want %d", method, rest, w.Code, status)
			}
		}
	}
}

// TestR99CallsEnd has a public operation that takes longer than a call without credentials may.
func TestR99CallsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		began := time.Now()
		e := endpointOf(t, mcpauth.Rules{}, func(w http.ResponseWriter, r *http.Request) {
			mcpauth.EndWithToken(r.Context()) // there is none
			_, _ = io.WriteString(w, "begin")
			<-r.Context().Done()
			if _, err := io.WriteString(w, "late"); err == nil {
				t.Error("writing works after the end")
			}
		}, func(cfg *mcpauth.Config) { cfg.Now = time.Now; cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		w := post(e, callPublic)
		if took := time.Since(began); took < time.Minute || took > 65*time.Second || w.Body.String() != "begin" {
			t.Errorf("after %v: %q", took, w.Body)
		}
		if said := log.String(); !strings.Contains(said, "the call without credentials took longer than a minute") {
			t.Errorf("the log: %s", said)
		}
	})
}

// TestR99CredentialHeader has other credentials than tokens: bad ones do not count as none.
func TestR99CredentialHeader(t *testing.T) {
	t.Parallel()
	e := endpointOf(t, mcpauth.Rules{}, echoBody, func(cfg *mcpauth.Config) {
		cfg.CredentialHeader = "X-Api-Key"
		cfg.Credential = func(_ context.Context, _, value string) (*mcpauth.Claims, error) {
			if value != "good" {
				return nil, nil //nolint:nilnil // unknown
			}
			return &mcpauth.Claims{Subject: "robot", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}
	})
	for _, c := range []struct {
		header []string
		status int
		says   string
	}{
		{nil, 200, "public " + callPublic},
		{[]string{"X-Api-Key", "good"}, 200, "robot"},
		{[]string{"X-Api-Key", "bad"}, 401, ""},
		{[]string{"X-Api-Key", ""}, 400, ""},
		{[]string{"x-api-key", "bad"}, 401, ""},
		{[]string{"X-Api-Key", "good", "Authorization", "Bearer x"}, 400, ""},
		{[]string{"Authorization", "Bearer good"}, 401, ""},
	} {
		if w := post(e, callPublic, c.header...); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%v: %d %s", c.header, w.Code, w.Body)
		}
	}
}

// TestR99HiddenConnection has a writer in front that hides the connection: the body could take for ever, and is not read.
func TestR99HiddenConnection(t *testing.T) {
	t.Parallel()
	e := endpointOf(t, mcpauth.Rules{}, echoBody, nil)
	for hidden, want := range map[bool]int{false: http.StatusOK, true: http.StatusUnauthorized} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if hidden {
				w = struct{ http.ResponseWriter }{w}
			}
			e.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/mcp", strings.NewReader(callPublic))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("hidden %t: %d", hidden, resp.StatusCode)
		}
	}
}

// TestR99LengthOfTheBody has requests of middlewares in front that announce another length than the body has.
func TestR99LengthOfTheBody(t *testing.T) {
	t.Parallel()
	e := endpointOf(t, mcpauth.Rules{}, echoBody, nil)
	for length, want := range map[int64]int{int64(len(callPublic)): 200, -1: 200, 1: 401, 0: 401, int64(len(callPublic)) + 1: 401, 1 << 40: 401} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(callPublic))
		r.ContentLength = length
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("length %d: %d, want %d", length, w.Code, want)
		}
	}
}

// TestR99MaxBodyBytes has a policy that accepts no body of 64 KiB: without credentials none is longer than with them.
func TestR99MaxBodyBytes(t *testing.T) {
	t.Parallel()
	for most, want := range map[int64]int{int64(len(callPublic)): 200, int64(len(callPublic)) - 1: 401, 0: 200, 1 << 40: 200} {
		e := endpointOf(t, mcpauth.Rules{MaxBodyBytes: most}, echoBody, nil)
		for _, length := range []int64{int64(len(callPublic)), -1} {
			r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(callPublic))
			r.ContentLength = length
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("a body of %d bytes, announced as %d, where %d are allowed: %d, want %d", len(callPublic), length, most, w.Code, want)
			}
		}
	}
}
