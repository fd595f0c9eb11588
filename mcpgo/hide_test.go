package mcpauthmcpgo_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthmcpgo "github.com/scalekit-mcp/mcpauth/mcpgo"
)

// shopRules are the scopes of the shop's operations. The tool "help", the prompt "hello" and the resource "about:shop" are
// not listed.
var shopRules = mcpauth.Rules{
	Tools: map[string]mcpauth.Rule{
		"whoami": {}, "headers": {}, "read_order": hidden("orders:read"), "delete_order": hidden("orders:read", "orders:write"), "refund": hidden("refunds"),
	},
	Prompts:   map[string]mcpauth.Rule{"summary": hidden("orders:read"), "letter": hidden("refunds")},
	Resources: map[string]mcpauth.Rule{"orders://*": hidden("orders:read"), "refunds://{id}": hidden("refunds"), "whoami://me": {}},
}

func hidden(scopes ...string) mcpauth.Rule { return mcpauth.Rule{Scopes: scopes, Hide: true} }

// addShop adds the shop's operations to a server.
func addShop(s *server.MCPServer) {
	for _, name := range []string{"help", "read_order", "refund"} {
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText(name), nil
		})
	}
	s.AddTaskTool(mcp.NewTool("delete_order", mcp.WithTaskSupport(mcp.TaskSupportRequired)), func(context.Context, mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
		return &mcp.CreateTaskResult{}, nil
	})
	for _, name := range []string{"hello", "summary", "letter"} {
		s.AddPrompt(mcp.NewPrompt(name), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return mcp.NewGetPromptResult(name, nil), nil
		})
	}
	read := func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, Text: r.Params.URI}}, nil
	}
	for _, uri := range []string{"about:shop", "orders://1", "refunds://1"} {
		s.AddResource(mcp.NewResource(uri, uri), read)
	}
	for _, uri := range []string{"about:{page}", "refunds://{id}"} {
		s.AddResourceTemplate(mcp.NewResourceTemplate(uri, uri), read)
	}
}

// hiding prepares the shop with policy.
func hiding(policy *mcpauth.Policy) func(*server.MCPServer) {
	return func(s *server.MCPServer) {
		addShop(s)
		mcpauthmcpgo.Hide(s, s.GetHooks(), policy)
	}
}

const (
	listOfAll    = "tools delete_order headers help read_order refund whoami; prompts hello letter summary whoami; resources about:shop orders://1 refunds://1 whoami://me; templates about:{page} orders://{id} refunds://{id}"
	listOfReader = "tools headers help read_order whoami; prompts hello summary whoami; resources about:shop orders://1 whoami://me; templates about:{page} orders://{id}"
	listOfUser   = "tools headers help whoami; prompts hello whoami; resources about:shop whoami://me; templates about:{page}"
)

// lists returns all that a client is shown, page after page.
func lists(ctx context.Context, c *client.Client) (string, error) {
	tools, err1 := c.ListTools(ctx, mcp.ListToolsRequest{})
	prompts, err2 := c.ListPrompts(ctx, mcp.ListPromptsRequest{})
	resources, err3 := c.ListResources(ctx, mcp.ListResourcesRequest{})
	templates, err4 := c.ListResourceTemplates(ctx, mcp.ListResourceTemplatesRequest{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return "", err
	}
	return "tools " + names(tools.Tools, func(tool mcp.Tool) string { return tool.Name }) +
		"; prompts " + names(prompts.Prompts, func(prompt mcp.Prompt) string { return prompt.Name }) +
		"; resources " + names(resources.Resources, func(resource mcp.Resource) string { return resource.URI }) +
		"; templates " + names(templates.ResourceTemplates, func(template mcp.ResourceTemplate) string { return template.URITemplate.Raw() }), nil
}

func names[T any](all []T, name func(T) string) string {
	found := make([]string, 0, len(all))
	for _, one := range all {
		found = append(found, name(one))
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// TestHide lists as users with several scopes, on MCP sessions that stay while the scopes change, in pages of one and in
// whole lists.
func TestHide(t *testing.T) {
	t.Parallel()
	for _, options := range [][]server.ServerOption{{withTasks}, {withTasks, server.WithPaginationLimit(1)}} {
		t.Run(fmt.Sprintf("options %d", len(options)), func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, stateless bool, version string) {
				f := newFixture(t, setup{
					sessions: mcpauthmcpgo.Config{Stateless: stateless}, server: options, prepare: hiding(policyOf(t, shopRules)),
					config: func(cfg *mcpauth.Config) {
						cfg.ImpliedScopes = map[string][]string{"admin": {"orders:write", "orders:read"}}
					},
				})
				var scope atomic.Value
				scope.Store("none")
				c := f.connect(t, version, func() string { return f.env.Token(map[string]any{"scope": scope.Load()}) })
				for _, test := range []struct{ scope, want string }{
					{"none", listOfUser},
					{"orders:read", listOfReader},
					{"orders:write", listOfUser},
					{"admin refunds", listOfAll},
					{"none", listOfUser},
				} {
					scope.Store(test.scope)
					if got, err := lists(t.Context(), c); err != nil || got != test.want {
						t.Errorf("with %s:\n got %s, %v\nwant %s", test.scope, got, err, test.want)
					}
				}
				// Hiding is not refusing.
				if got, err := callTool(t.Context(), c, "refund"); err != nil || got != "refund" {
					t.Errorf("a hidden tool answers %q, %v", got, err)
				}
				if got, err := readText(t.Context(), c, "refunds://1"); err != nil || got != "refunds://1" {
					t.Errorf("a hidden resource answers %q, %v", got, err)
				}
			})
		})
	}
}

// TestHidePages follows the cursors: pages are those of the server, less what is hidden, and a cursor does not tell what
// that was.
func TestHidePages(t *testing.T) {
	t.Parallel()
	key := mcpauth.NewSecret(strings.Repeat("k", 32))
	limit := []server.ServerOption{server.WithPaginationLimit(2), withTasks}
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true, Key: key}, server: limit, prepare: hiding(policyOf(t, shopRules))})
	more := func(key mcpauth.Secret) *fixture {
		s := newServer(limit...)
		hiding(policyOf(t, shopRules))(s)
		return f.replica(t, s, mcpauthmcpgo.Config{Stateless: true, Key: key})
	}
	replica, stranger := more(key), more(mcpauth.Secret{})
	for method, want := range map[string][]string{
		"tools/list":               {"headers", "help", "whoami", ""}, // of delete_order headers, help read_order, refund whoami
		"prompts/list":             {"hello", "whoami", ""},           // of hello letter, summary whoami
		"resources/list":           {"about:shop me", "", ""},
		"resources/templates/list": {"about:{page}", ""},
	} {
		var pages []string
		cursor := ""
		for range 10 {
			m := message{token: f.env.Token(map[string]any{"scope": "none"}), method: method, id: 1, params: `"cursor":"` + cursor + `"`}
			on := f
			if len(pages)%2 == 1 { // the next page comes from another replica
				on, m.token = replica, replica.env.Token(map[string]any{"scope": "none"})
			}
			_, body := on.send(t, m)
			var answer struct {
				Result struct {
					Tools, Prompts, Resources, ResourceTemplates []struct{ Name string }
					NextCursor                                   string
				}
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || strings.Contains(body, "null") {
				t.Fatalf("%s: %s, %v", method, body, err)
			}
			var page []string
			for _, one := range slices.Concat(answer.Result.Tools, answer.Result.Prompts, answer.Result.Resources, answer.Result.ResourceTemplates) {
				page = append(page, one.Name)
			}
			pages = append(pages, strings.Join(page, " "))
			if cursor = answer.Result.NextCursor; cursor == "" {
				break
			}
			raw, _ := base64.StdEncoding.DecodeString(cursor)
			raw2, _ := base64.RawURLEncoding.DecodeString(cursor)
			for _, name := range []string{"order", "refund", "letter", "summary", "help", "hello", "shop"} {
				if strings.Contains(string(raw)+string(raw2)+cursor, name) {
					t.Errorf("%s: the cursor %s has a name in it", method, cursor)
				}
			}
			// It is good for this list, and where the key is known.
			for name, wrong := range map[string]struct {
				on *fixture
				message
			}{
				"another list": {f, message{method: map[bool]string{true: "prompts/list", false: "tools/list"}[method == "tools/list"], params: m.params}},
				"another key":  {stranger, message{method: method}},
				"another user": {f, message{method: method, token: f.token(grace)}},
				"a name":       {f, message{method: method, params: `"cursor":"` + base64.StdEncoding.EncodeToString([]byte("help")) + `"`}},
				"changed":      {f, message{method: method, params: `"cursor":"A` + cursor + `"`}},
			} {
				wrong.id = 1
				if wrong.token == "" {
					wrong.token = f.env.Token(nil)
				}
				if wrong.params == "" || name == "another list" {
					wrong.params = `"cursor":"` + cursor + `"`
				}
				if _, body := wrong.on.send(t, wrong.message); !strings.Contains(body, "-32602") {
					t.Errorf("%s: the cursor in %s: %s", method, name, body)
				}
			}
		}
		if !slices.Equal(pages, want) {
			t.Errorf("%s: pages %q, want %q", method, pages, want)
		}
	}
}

// TestHideIsPrivate looks at what caches between server and client are told.
func TestHideIsPrivate(t *testing.T) {
	t.Parallel()
	for _, version := range []string{modern, legacy} {
		hooks := new(server.Hooks)
		hooks.AddAfterListPrompts(func(_ context.Context, _ any, _ *mcp.ListPromptsRequest, result *mcp.ListPromptsResult) {
			if version == modern {
				result.SetCacheHints(7, mcp.CacheScopePublic)
			}
		})
		f := newFixture(t, setup{
			sessions: mcpauthmcpgo.Config{Stateless: true}, prepare: hiding(policyOf(t, shopRules)),
			server: []server.ServerOption{server.WithCacheHints(5, mcp.CacheScopePublic), server.WithHooks(hooks)},
		})
		for name, test := range map[string]struct{ method, uri, want string }{
			"tools":                           {"tools/list", "", `"ttlMs":0,"cacheScope":"private"`},
			"prompts":                         {"prompts/list", "", `"ttlMs":7,"cacheScope":"private"`},
			"resources":                       {"resources/list", "", `"ttlMs":0,"cacheScope":"private"`},
			"templates":                       {"resources/templates/list", "", `"ttlMs":0,"cacheScope":"private"`},
			"a listed resource":               {"resources/read", "orders://1", `"ttlMs":0,"cacheScope":"private"`},
			"a resource of a listed template": {"resources/read", "refunds://9", `"ttlMs":0,"cacheScope":"private"`},
			"a resource for all":              {"resources/read", "about:shop", `"ttlMs":5,"cacheScope":"public"`},
		} {
			m := message{token: f.env.Token(map[string]any{"scope": "orders:read refunds"}), version: version, method: test.method, id: 1, name: test.uri}
			if test.uri != "" {
				m.params = `"uri":"` + test.uri + `"`
			}
			status, body := f.send(t, m)
			if version == legacy && strings.Contains(body, "cacheScope") || version == modern && !strings.Contains(body, test.want) || status != http.StatusOK {
				t.Errorf("%s, %s: status %d: %s", version, name, status, body)
			}
		}
	}
}

// TestHideChangesNothingOfOthers has a filter that answers all callers with the same slice, under the race detector.
func TestHideChangesNothingOfOthers(t *testing.T) {
	t.Parallel()
	kept := []mcp.Tool{mcp.NewTool("help"), mcp.NewTool("refund"), mcp.NewTool("whoami")}
	f := newFixture(t, setup{
		sessions: mcpauthmcpgo.Config{Stateless: true}, prepare: hiding(policyOf(t, shopRules)),
		server: []server.ServerOption{server.WithToolFilter(func(context.Context, []mcp.Tool) []mcp.Tool { return kept })},
	})
	var wg sync.WaitGroup
	for scope, want := range map[string]string{"none": "help whoami", "refunds": "help refund whoami"} {
		c := f.connect(t, legacy, func() string { return f.env.Token(map[string]any{"scope": scope}) })
		for range 2 {
			wg.Go(func() {
				for range 10 {
					result, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
					if err != nil || names(result.Tools, func(tool mcp.Tool) string { return tool.Name }) != want {
						t.Errorf("with %s: %+v, %v", scope, result, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if got := names(kept, func(tool mcp.Tool) string { return tool.Name }); got != "help refund whoami" {
		t.Errorf("the slice became %s", got)
	}
}

// TestHideWithoutSession lists where no request has a session, in pages too.
func TestHideWithoutSession(t *testing.T) {
	t.Parallel()
	strict := shopRules
	strict.Strict = true
	for want, rules := range map[string]mcpauth.Rules{
		listOfUser: shopRules,
		"tools headers whoami; prompts ; resources whoami://me; templates ": strict,
	} {
		s := newServer(withTasks, server.WithPaginationLimit(1))
		hiding(policyOf(t, rules))(s)
		c, err := client.NewInProcessClient(s)
		if err != nil {
			t.Fatal(err)
		}
		start(t, c, legacy)
		if got, err := lists(t.Context(), c); err != nil || got != want {
			t.Errorf("strict=%v:\n got %s, %v\nwant %s", rules.Strict, got, err, want)
		}
		_ = c.Close()
	}
}

// TestHideStrict shows what is listed, and nothing else.
func TestHideStrict(t *testing.T) {
	t.Parallel()
	strict := shopRules
	strict.Strict = true
	f := newFixture(t, setup{prepare: hiding(policyOf(t, strict))})
	c := f.connect(t, legacy, func() string { return f.env.Token(map[string]any{"scope": "orders:read"}) })
	const want = "tools headers read_order whoami; prompts summary; resources orders://1 whoami://me; templates orders://{id}"
	if got, err := lists(t.Context(), c); err != nil || got != want {
		t.Errorf(" got %s, %v\nwant %s", got, err, want)
	}
}

// TestHideEmptyLists looks at lists of which nothing is left: they are [] and not null.
func TestHideEmptyLists(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}, prepare: hiding(policyOf(t, mcpauth.Rules{Strict: true}))})
	for method, member := range map[string]string{
		"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates",
	} {
		if _, body := f.send(t, message{token: f.token(ada), method: method, id: 1}); !strings.Contains(body, `"`+member+`":[]`) {
			t.Errorf("%s: %s", method, body)
		}
	}
}

// TestHideAddsToHooks hands in the hooks of a server in the ways that there are: all of them run.
func TestHideAddsToHooks(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, shopRules)
	for name, with := range map[string]func(*server.Hooks) *server.MCPServer{
		"its own": func(hooks *server.Hooks) *server.MCPServer {
			s := newServer(withTasks, server.WithHooks(hooks))
			mcpauthmcpgo.Hide(s, hooks, policy)
			return s
		},
		"its own, unsaid": func(hooks *server.Hooks) *server.MCPServer {
			s := newServer(withTasks, server.WithHooks(hooks))
			mcpauthmcpgo.Hide(s, nil, policy)
			return s
		},
		"not yet its own": func(hooks *server.Hooks) *server.MCPServer {
			s := newServer(withTasks)
			mcpauthmcpgo.Hide(s, hooks, policy)
			return s
		},
	} {
		ran := false
		hooks := new(server.Hooks)
		hooks.AddAfterListTools(func(context.Context, any, *mcp.ListToolsRequest, *mcp.ListToolsResult) { ran = true })
		s := with(hooks)
		addShop(s)
		c, err := client.NewInProcessClient(s)
		if err != nil {
			t.Fatal(err)
		}
		start(t, c, legacy)
		if got, err := lists(t.Context(), c); err != nil || got != listOfUser || !ran {
			t.Errorf("%s: %s, %v; the user's hook ran: %v", name, got, err, ran)
		}
		_ = c.Close()
	}
}

// TestHideLeavesWhatScopesWouldOpen has a rule that only scopes are missing for, one that no scope changes, and a Check that
// is given the context of the call.
func TestHideLeavesWhatScopesWouldOpen(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, mcpauth.Rules{
		Tools:     map[string]mcpauth.Rule{"read_order": {Scopes: []string{"orders:read"}}, "refund": {Roles: []string{"support"}}},
		Resources: map[string]mcpauth.Rule{"orders://{id}": {Scopes: []string{"orders:read"}}, "refunds://{id}": {Organizations: []string{"org_other"}}},
		Check: func(ctx context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
			if op.Listing && op.Name == "help" && s.UserID() == ada && caller(ctx) == ada+" " {
				return mcpauth.ErrHidden
			}
			return nil
		},
	})
	f := newFixture(t, setup{sessions: mcpauthmcpgo.Config{Stateless: true}, server: []server.ServerOption{withTasks}, prepare: hiding(policy)})
	c := f.connect(t, modern, func() string { return f.token(ada) })
	const want = "tools delete_order headers read_order whoami; prompts hello letter summary whoami; resources about:shop orders://1 whoami://me; templates about:{page} orders://{id}"
	if got, err := lists(t.Context(), c); err != nil || got != want {
		t.Errorf(" got %s, %v\nwant %s", got, err, want)
	}
}
