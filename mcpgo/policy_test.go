package mcpauthmcpgo_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

func policyOf(t testing.TB, rules mcpauth.Rules) *mcpauth.Policy {
	t.Helper()
	policy, err := mcpauth.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// TestConfigPolicyIsEnforced serves Handler alone, and not by Mount.
func TestConfigPolicyIsEnforced(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, mcpauth.Rules{Strict: true, Tools: map[string]mcpauth.Rule{"whoami": {Scopes: []string{"admin"}}}})
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Policy = policy }})
	status, body := f.send(t, call(f.token("usr_1"), f.initialize(t, f.token("usr_1")), legacy, "whoami"))
	if status != http.StatusForbidden {
		t.Errorf("status %d, %s", status, body)
	}
}

// A countedBody counts how often its end was read.
type countedBody struct {
	io.Reader
	ends *atomic.Int32
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.ends.Add(1)
	}
	return n, err
}

func (countedBody) Close() error { return nil }

// TestPolicyIsAskedOnce counts the calls of Check in each set-up, with and without credentials.
func TestPolicyIsAskedOnce(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		var asked, ends atomic.Int32
		rules := mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {Public: true}}, Check: func(context.Context, *mcpauth.Session, mcpauth.Operation) error {
			asked.Add(1)
			return nil
		}}
		f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, rules) }})
		without, err := mcpauth.New(f.env.Config("https://mcp.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		handler := func(rs *mcpauth.ResourceServer) http.Handler {
			endpoint, err := mcpauthmcpgo.Handler(rs, f.mcp, mcpauthmcpgo.Config{Stateless: stateless})
			if err != nil {
				t.Fatal(err)
			}
			return endpoint
		}
		for name, c := range map[string]struct {
			handler http.Handler
			public  bool
		}{
			"Mount":             {f.rs.Endpoint(handler(f.rs)), true},
			"Handler alone":     {handler(f.rs), false},
			"RequireOperations": {without.Endpoint(without.RequireOperations(policyOf(t, rules))(handler(without))), false},
		} {
			f.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				r.Body = countedBody{bytes.NewReader(body), &ends}
				c.handler.ServeHTTP(w, r)
			}))
			for _, token := range []string{f.token(ada), ""} {
				if token == "" && !c.public {
					continue
				}
				id := ""
				if !stateless {
					id = f.initialize(t, token)
				}
				asked.Store(0)
				ends.Store(0)
				f.expect(t, name, call(token, id, legacy, "whoami"), http.StatusOK, "")
				if n, m := asked.Load(), ends.Load(); n != 1 || m != 1 {
					t.Errorf("stateless=%t, %s, token %t: Check was asked %d times, the body was read %d times", stateless, name, token != "", n, m)
				}
			}
		}
	}
}

// TestCheckOfLists has a Check behind Hide: it is asked about each entry, at most 16 at a time, and its answers decide.
func TestCheckOfLists(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var running, most int
	asked := map[string]int{}
	policy := policyOf(t, mcpauth.Rules{Check: func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
		mu.Lock()
		running++
		most = max(most, running)
		asked[string(op.Kind)+" "+op.Name]++
		mu.Unlock()
		defer func() {
			mu.Lock()
			running--
			mu.Unlock()
		}()
		if arguments, err := op.Arguments(); !op.Listing || arguments != nil || err != nil || s.UserID() != ada {
			t.Errorf("asked about %+v for %v", op, s)
		}
		switch {
		case strings.Contains(op.Name, "hidden"):
			return mcpauth.ErrHidden
		case strings.Contains(op.Name, "broken"):
			return io.ErrUnexpectedEOF
		case strings.Contains(op.Name, "panics"):
			panic(op.Name)
		case strings.Contains(op.Name, "scopes"):
			return mcpauth.NeedScopes("more")
		}
		return nil
	}})
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}, prepare: func(m *server.MCPServer) {
		m.DeleteTools("whoami", "headers")
		m.DeletePrompts("whoami")
		m.DeleteResources("whoami://me")
		m.SetResourceTemplates()
		for _, name := range []string{"open", "hidden", "broken", "panics", "scopes"} {
			m.AddTool(mcp.NewTool(name), nil)
			m.AddPrompt(mcp.NewPrompt(name), nil)
			m.AddResource(mcp.NewResource("x://"+name, name), nil)
			m.AddResourceTemplate(mcp.NewResourceTemplate("x://"+name+"/{id}", name), nil)
		}
		for i := range 40 {
			m.AddTool(mcp.NewTool("open"+strings.Repeat("x", i+1)), nil)
		}
		mcpauthmcpgo.Hide(m, m.GetHooks(), policy)
	}})
	c := f.connect(t, legacy, func() string { return f.token(ada) })
	got, err := lists(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		got = strings.ReplaceAll(got, "openx", "open")
	}
	shown := strings.Fields(strings.NewReplacer(";", " ", "x://", "", "/{id}", "").Replace(got))
	slices.Sort(shown)
	if want := []string{"open", "prompts", "resources", "scopes", "templates", "tools"}; !slices.Equal(slices.Compact(shown), want) {
		t.Errorf("shown are %q in %s", slices.Compact(shown), got)
	}
	mu.Lock()
	defer mu.Unlock()
	if most > 16 || len(asked) != 60 {
		t.Errorf("%d at a time, %d in all", most, len(asked))
	}
	for op, n := range asked {
		if n != 1 {
			t.Errorf("%s: asked %d times", op, n)
		}
	}
}
