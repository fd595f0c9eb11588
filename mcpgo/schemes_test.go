package mcpauthmcpgo_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// newSchemes returns a server with four tools, which lists two of them on a page, and whose late tool learns that a scope is
// missing.
func newSchemes(t *testing.T, metas map[string]*mcp.Meta) *fixture {
	t.Helper()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{
		"help":   {Public: true},
		"orders": {Scopes: []string{"orders:read"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var mcpServer *server.MCPServer
	f := newFixture(t, setup{
		mount: true, server: []server.ServerOption{server.WithPaginationLimit(2)},
		config: func(cfg *mcpauth.Config) {
			cfg.Policy, cfg.RequiredScopes, cfg.ChallengeInResultFor = policy, []string{"shop"}, []string{"openai-mcp"}
		},
		prepare: func(s *server.MCPServer) {
			mcpServer = s
			for _, name := range []string{"help", "orders", "own", "with_ui"} {
				tool := mcp.NewTool(name)
				tool.Meta = metas[name]
				s.AddTool(tool, nil)
			}
			addLate(s, nil)
		},
	})
	mcpauthmcpgo.Hide(mcpServer, nil, policy)
	mcpauthmcpgo.AddSecuritySchemes(mcpServer, nil, f.rs, policy)
	return f
}

// listMeta returns the _meta of each tool on all pages.
func (f *fixture) listMeta(t *testing.T, token string) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	session := f.initialize(t, token)
	for cursor := ""; ; {
		params, err := json.Marshal(map[string]any{"cursor": cursor})
		if err != nil {
			t.Fatal(err)
		}
		if cursor == "" {
			params = []byte("{}")
		}
		status, body := f.send(t, message{token: token, session: session, body: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":` + string(params) + `}`})
		var answer struct {
			Result struct {
				Tools []struct {
					Name string
					Meta json.RawMessage `json:"_meta"`
				}
				NextCursor string
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		for _, tool := range answer.Result.Tools {
			seen[tool.Name] = string(tool.Meta)
		}
		if cursor = answer.Result.NextCursor; cursor == "" {
			return seen
		}
	}
}

// TestSecuritySchemes lists tools with and without credentials, by several clients at a time. What the server registered stays
// as it is.
func TestSecuritySchemes(t *testing.T) {
	t.Parallel()
	metas := map[string]*mcp.Meta{
		"own":     {AdditionalFields: map[string]any{"securitySchemes": "own", "x": 1.0}},
		"with_ui": {AdditionalFields: map[string]any{"ui": "ui://x"}},
	}
	f := newSchemes(t, metas)
	token := f.env.Token(map[string]any{"scope": "shop"})
	var wg sync.WaitGroup
	for _, token := range []string{token, "", token, ""} {
		wg.Go(func() {
			seen := f.listMeta(t, token)
			for tool, want := range map[string]string{
				"help":    `{"securitySchemes":[{"type":"noauth"},{"type":"oauth2","scopes":["shop"]}]}`,
				"orders":  `{"securitySchemes":[{"type":"oauth2","scopes":["shop","orders:read"]}]}`,
				"late":    `{"securitySchemes":[{"type":"oauth2","scopes":["shop"]}]}`,
				"own":     `{"securitySchemes":"own","x":1}`,
				"with_ui": `{"securitySchemes":[{"type":"oauth2","scopes":["shop"]}],"ui":"ui://x"}`,
			} {
				if seen[tool] != want {
					t.Errorf("%s: %s, want %s", tool, seen[tool], want)
				}
			}
		})
	}
	wg.Wait()
	if len(metas["own"].AdditionalFields) != 2 || len(metas["with_ui"].AdditionalFields) != 1 {
		t.Errorf("the registered _meta was changed: %v", metas)
	}
}

// TestSecuritySchemesPanic has what is forgotten reported when the server starts.
func TestSecuritySchemesPanic(t *testing.T) {
	t.Parallel()
	f := newSchemes(t, nil)
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"help": {Public: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for want, add := range map[string]func(){
		"check the error of mcpauth.New": func() { mcpauthmcpgo.AddSecuritySchemes(f.mcp, nil, nil, policy) },
		"mcpauth.NewPolicy":              func() { mcpauthmcpgo.AddSecuritySchemes(f.mcp, nil, f.rs, nil) },
		"NewMCPServer":                   func() { mcpauthmcpgo.AddSecuritySchemes(nil, nil, f.rs, policy) },
		"other hooks":                    func() { mcpauthmcpgo.AddSecuritySchemes(f.mcp, new(server.Hooks), f.rs, policy) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("the panic is %q, and does not say %q", text, want)
				}
			}()
			add()
		}()
	}
}

// TestLateResult has the challenge for a scope that was missing late in the result of the tool, for a client that looks there. Others get 403.
func TestLateResult(t *testing.T) {
	t.Parallel()
	f := newSchemes(t, nil)
	for agent, inResult := range map[string]bool{"openai-mcp/1.0": true, "another/1.0": false} {
		for _, tool := range []string{"late", "silent", "structured"} {
			token := f.env.Token(map[string]any{"scope": "shop"})
			m := call(token, f.initialize(t, token), legacy, tool)
			m.header = http.Header{"User-Agent": {agent}}
			status, body := f.send(t, m)
			found := strings.Contains(body, `"mcp/www_authenticate":["Bearer error=\"insufficient_scope\", scope=\"shop late\"`) && strings.Contains(body, `"isError":true`)
			if found != inResult || (status == 200) != inResult || (status == 403) == inResult || strings.Contains(body, "the backend says no") {
				t.Errorf("%s, %s: %d %s", agent, tool, status, body)
			}
		}
	}
}
