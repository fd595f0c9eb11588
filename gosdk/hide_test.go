package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// shopRules are the scopes of the shop's operations. The tool "help", the prompt "hello" and the resource "about:shop" are
// not listed.
var shopRules = mcpauth.Rules{
	Tools: map[string]mcpauth.Rule{
		"whoami": {}, "read_order": {Hide: true, Scopes: []string{"orders:read"}}, "delete_order": {Hide: true, Scopes: []string{"orders:read", "orders:write"}}, "refund": {Hide: true, Scopes: []string{"refunds"}},
	},
	Prompts:   map[string]mcpauth.Rule{"summary": {Hide: true, Scopes: []string{"orders:read"}}, "letter": {Hide: true, Scopes: []string{"refunds"}}},
	Resources: map[string]mcpauth.Rule{"orders://*": {Hide: true, Scopes: []string{"orders:read"}}, "refunds://{id}": {Hide: true, Scopes: []string{"refunds"}}},
}

func policyOf(t testing.TB, scopes mcpauth.Rules) *mcpauth.Policy {
	t.Helper()
	policy, err := mcpauth.NewPolicy(scopes)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// addShop adds the shop's operations to a server.
func addShop(server *mcp.Server) {
	for _, name := range []string{"help", "read_order", "delete_order", "refund"} {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, none) (*mcp.CallToolResult, any, error) {
			return text(name), nil, nil
		})
	}
	server.RemoveTools("headers")
	server.RemovePrompts("whoami")
	for _, name := range []string{"hello", "summary", "letter"} {
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return new(mcp.GetPromptResult), nil
		})
	}
	shared := &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "x", MIMEType: "text/plain"}}, Cacheable: mcp.Cacheable{TTLMs: 5, CacheScope: "public"}}
	read := func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) { return shared, nil }
	server.RemoveResources("whoami://me")
	for _, uri := range []string{"about:shop", "orders://1", "refunds://1"} {
		server.AddResource(&mcp.Resource{Name: uri, URI: uri}, read)
	}
	server.RemoveResourceTemplates("orders://{id}")
	for _, template := range []string{"about:{page}", "orders://{id}", "refunds://{id}"} {
		server.AddResourceTemplate(&mcp.ResourceTemplate{Name: template, URITemplate: template}, read)
	}
}

// The lists of the shop, by the caller's scopes.
const (
	listOfAll = "tools delete_order help read_order refund whoami; prompts hello letter summary; " +
		"resources about:shop orders://1 refunds://1; templates about:{page} orders://{id} refunds://{id}"
	listOfReader = "tools help read_order whoami; prompts hello summary; resources about:shop orders://1; templates about:{page} orders://{id}"
	listOfUser   = "tools help whoami; prompts hello; resources about:shop; templates about:{page}"
)

// lists returns all that a client sees.
func lists(ctx context.Context, client *mcp.ClientSession) (string, error) {
	var failed error
	tools := names(&failed, client.Tools(ctx, nil), func(tool *mcp.Tool) string { return tool.Name })
	prompts := names(&failed, client.Prompts(ctx, nil), func(prompt *mcp.Prompt) string { return prompt.Name })
	resources := names(&failed, client.Resources(ctx, nil), func(resource *mcp.Resource) string { return resource.URI })
	templates := names(&failed, client.ResourceTemplates(ctx, nil), func(template *mcp.ResourceTemplate) string { return template.URITemplate })
	return "tools " + tools + "; prompts " + prompts + "; resources " + resources + "; templates " + templates, failed
}

func names[T any](failed *error, all iter.Seq2[T, error], name func(T) string) string {
	var found []string
	for one, err := range all {
		if err != nil {
			*failed = err
			break
		}
		found = append(found, name(one))
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// inOrder hides before Attach or after it.
func inOrder(hideFirst bool, policy *mcpauth.Policy) func(*mcp.Server) {
	return func(server *mcp.Server) {
		if hideFirst {
			mcpauthgosdk.Hide(server, policy)
		}
		mcpauthgosdk.Attach(server)
		if !hideFirst {
			mcpauthgosdk.Hide(server, policy)
		}
		addShop(server)
	}
}

// TestHide lists as users with several scopes, on MCP sessions that stay while the scopes change, with pages of one item.
func TestHide(t *testing.T) {
	t.Parallel()
	for _, hideFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("hide first=%v", hideFirst), func(t *testing.T) {
			t.Parallel()
			everyClient(t, func(t *testing.T, version string, stateless bool) {
				f := newFixture(t, setup{
					stateless: stateless, server: mcp.ServerOptions{PageSize: 1}, attach: inOrder(hideFirst, policyOf(t, shopRules)),
					config: func(cfg *mcpauth.Config) {
						cfg.ImpliedScopes = map[string][]string{"admin": {"orders:write", "orders:read"}}
					},
				})
				scope := "none"
				client := f.dial(t, version, func() string { return f.env.Token(map[string]any{"scope": scope}) }, nil)
				for _, test := range []struct{ scope, want string }{
					{"none", listOfUser},
					{"orders:read", listOfReader},
					{"orders:write", listOfUser},
					{"admin refunds", listOfAll},
					{"none", listOfUser},
				} {
					scope = test.scope
					if got, err := lists(t.Context(), client); err != nil || got != test.want {
						t.Errorf("with %s:\n got %s, %v\nwant %s", scope, got, err, test.want)
					}
				}
				// Hiding does not refuse.
				if got, err := call(t.Context(), client, "refund"); err != nil || got != "refund" {
					t.Errorf("a hidden tool answers %q, %v", got, err)
				}
			})
		})
	}
}

// TestHidePages follows the cursors: pages are those of the server, without the hidden items.
func TestHidePages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true, server: mcp.ServerOptions{PageSize: 2}, attach: inOrder(false, policyOf(t, shopRules))})
	client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": "none"}) })
	var pages []string
	for cursor := ""; ; {
		result, err := client.ListTools(t.Context(), &mcp.ListToolsParams{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		page := make([]string, 0, 2)
		for _, tool := range result.Tools {
			page = append(page, tool.Name)
		}
		pages = append(pages, strings.Join(page, " "))
		if cursor = result.NextCursor; cursor == "" {
			break
		}
	}
	if want := []string{"help", "", "whoami"}; !slices.Equal(pages, want) { // of delete_order help, read_order refund, whoami
		t.Errorf("pages %q, want %q", pages, want)
	}
}

// TestHideIsPrivate checks what the answers allow caches between server and client.
func TestHideIsPrivate(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newFixture(t, setup{
			stateless: stateless, attach: inOrder(false, policyOf(t, shopRules)),
			server: mcp.ServerOptions{SetCacheable: func(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.TTLMs, c.CacheScope = 5, "public" }},
		})
		client := f.dial(t, version, func() string { return f.env.Token(map[string]any{"scope": "orders:read refunds orders:write"}) }, nil)
		ctx := t.Context()
		for name, test := range map[string]struct {
			ask  func() (mcp.CacheableResult, error)
			want string
		}{
			"tools/list":               {func() (mcp.CacheableResult, error) { return client.ListTools(ctx, nil) }, "private"},
			"prompts/list":             {func() (mcp.CacheableResult, error) { return client.ListPrompts(ctx, nil) }, "private"},
			"resources/list":           {func() (mcp.CacheableResult, error) { return client.ListResources(ctx, nil) }, "private"},
			"resources/templates/list": {func() (mcp.CacheableResult, error) { return client.ListResourceTemplates(ctx, nil) }, "private"},
			"a listed resource": {func() (mcp.CacheableResult, error) {
				return client.ReadResource(ctx, &mcp.ReadResourceParams{URI: "orders://1"})
			}, "private"},
			"a resource of a listed template": {func() (mcp.CacheableResult, error) {
				return client.ReadResource(ctx, &mcp.ReadResourceParams{URI: "refunds://9"})
			}, "private"},
			"a resource for all callers": {func() (mcp.CacheableResult, error) {
				return client.ReadResource(ctx, &mcp.ReadResourceParams{URI: "about:shop"})
			}, "public"},
		} {
			result, err := test.ask()
			if err != nil || result.GetCacheScope() != test.want || result.GetTTLMs() != 5 {
				t.Errorf("%s: %s, %v", name, marshal(result), err)
			}
		}
	})
}

// TestHideChangesNothingOfOthers has a middleware that returns the same object to all callers, under the race detector.
func TestHideChangesNothingOfOthers(t *testing.T) {
	t.Parallel()
	kept := &mcp.ListToolsResult{Meta: mcp.Meta{"kept": true}, Tools: []*mcp.Tool{
		{Name: "refund", InputSchema: map[string]any{"type": "object"}},
		{Name: "help", InputSchema: map[string]any{"type": "object"}},
	}}
	before := marshal(kept)
	policy := policyOf(t, shopRules)
	f := newFixture(t, setup{stateless: true, attach: func(server *mcp.Server) {
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if method == "tools/list" {
					return kept, nil
				}
				return next(ctx, method, req)
			}
		})
		inOrder(false, policy)(server)
	}})
	var wg sync.WaitGroup
	for scope, want := range map[string]string{"none": "help", "refunds": "help refund"} {
		client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": scope}) })
		for range 2 {
			wg.Go(func() {
				for range 10 {
					var failed error
					got := names(&failed, client.Tools(t.Context(), nil), func(tool *mcp.Tool) string { return tool.Name })
					if failed != nil || got != want {
						t.Errorf("with %s: %q, %v", scope, got, failed)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if after := marshal(kept); after != before {
		t.Errorf("the object became %s", after)
	}
}

// TestHideWithoutSession lists where no request has a session, in a context that has one.
func TestHideWithoutSession(t *testing.T) {
	t.Parallel()
	strict := shopRules
	strict.Strict = true
	for want, scopes := range map[string]mcpauth.Rules{
		listOfUser: shopRules,
		"tools whoami; prompts ; resources ; templates ": strict,
	} {
		server := newServer(new(mcp.ServerOptions))
		inOrder(true, policyOf(t, scopes))(server)
		client := connectOver(t.Context(), t, server, func() (mcp.Transport, mcp.Transport) { return mcp.NewInMemoryTransports() })
		if got, err := lists(t.Context(), client); err != nil || got != want {
			t.Errorf("strict=%v:\n got %s, %v\nwant %s", scopes.Strict, got, err, want)
		}
	}
}

// TestHideStrict shows only listed operations.
func TestHideStrict(t *testing.T) {
	t.Parallel()
	strict := shopRules
	strict.Strict = true
	f := newFixture(t, setup{attach: inOrder(false, policyOf(t, strict))})
	client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": "orders:read"}) })
	const want = "tools read_order whoami; prompts summary; resources orders://1; templates orders://{id}"
	if got, err := lists(t.Context(), client); err != nil || got != want {
		t.Errorf(" got %s, %v\nwant %s", got, err, want)
	}
}

// TestHideEmptyLists checks that a list without visible items is [] and not null.
func TestHideEmptyLists(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true, attach: inOrder(false, policyOf(t, mcpauth.Rules{Strict: true}))})
	for method, member := range map[string]string{
		"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates",
	} {
		resp := f.send(t, http.MethodPost, f.env.Token(nil), "", `{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), `"`+member+`":[]`) {
			t.Errorf("%s: %s, %v", method, body, err)
		}
	}
}

// TestHideLeavesWhatScopesWouldOpen has a rule that only scopes are missing for, one that no scope changes, and a Check.
func TestHideLeavesWhatScopesWouldOpen(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, mcpauth.Rules{
		Tools:     map[string]mcpauth.Rule{"read_order": {Scopes: []string{"orders:read"}}, "refund": {Roles: []string{"support"}}},
		Resources: map[string]mcpauth.Rule{"orders://{id}": {Scopes: []string{"orders:read"}}, "refunds://{id}": {Organizations: []string{"org_other"}}},
		Check: func(_ context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
			if op.Listing && s.UserID() == "usr_1" && op.Name == "help" {
				return mcpauth.ErrHidden
			}
			return nil
		},
	})
	f := newFixture(t, setup{stateless: true, attach: inOrder(false, policy)})
	client := f.dial(t, "", func() string { return f.env.Token(nil) }, nil)
	const want = "tools delete_order read_order whoami; prompts hello letter summary; resources about:shop orders://1; templates about:{page} orders://{id}"
	if got, err := lists(t.Context(), client); err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}
