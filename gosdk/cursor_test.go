package mcpauthgosdk_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

var listMethods = []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"}

// A page is the answer to a request for a list.
type page struct {
	names, cursor string
	err           string // JSON of a JSON-RPC error
	whole         string
}

// list asks for a page as a client of a version does.
func (f *fixture) list(t *testing.T, version, token, mcpSession, method, cursor string) page {
	t.Helper()
	body := strings.TrimPrefix(f.ask(t, version, token, mcpSession, method, `{"cursor":`+marshal(cursor)+`}`).body, "event: message\n")
	body = strings.TrimPrefix(body, "data: ")
	var message struct {
		Error  json.RawMessage
		Result struct {
			NextCursor                                   string
			Tools, Prompts, Resources, ResourceTemplates []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(body), &message); err != nil {
		t.Fatalf("%s: %v: %s", method, err, body)
	}
	p := page{cursor: message.Result.NextCursor, err: string(message.Error), whole: body}
	r := message.Result
	for _, list := range [][]struct{ Name string }{r.Tools, r.Prompts, r.Resources, r.ResourceTemplates} {
		for _, entry := range list {
			p.names += entry.Name + " "
		}
	}
	return p
}

// secretShop has entries that only "secret" shows. There are several before and after those that all see.
var secretShop = mcpauth.Rules{
	Tools:     map[string]mcpauth.Rule{"refund": {Hide: true, Scopes: []string{"secret"}}, "delete_order": {Hide: true, Scopes: []string{"secret"}}},
	Prompts:   map[string]mcpauth.Rule{"letter": {Hide: true, Scopes: []string{"secret"}}},
	Resources: map[string]mcpauth.Rule{"refunds://{id}": {Hide: true, Scopes: []string{"secret"}}, "orders://{id}": {Hide: true, Scopes: []string{"secret"}}},
}

func sealerOf(t testing.TB, keys ...string) *mcpauth.Sealer {
	t.Helper()
	var secrets []mcpauth.Secret
	for _, key := range keys {
		secrets = append(secrets, mcpauth.NewSecret(strings.Repeat(key, 32)))
	}
	sealer, err := mcpauth.NewSealer(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// says reports whether a cursor holds one of the shop's names, in any of the ways in which cursors are written.
func says(cursor string) string {
	decoded := cursor
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(cursor); err == nil {
			decoded += " " + string(b)
		}
	}
	for _, name := range []string{"refund", "order", "letter", "hello", "help", "whoami", "about"} {
		if strings.Contains(decoded, name) {
			return name
		}
	}
	return ""
}

// TestHideSealsCursors follows all lists in pages of one entry, with and without credentials. No cursor holds a name, and every
// visible entry comes once.
func TestHideSealsCursors(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"tools/list": "help whoami ", "prompts/list": "hello summary ", "resources/list": "about:shop ", "resources/templates/list": "about:{page} ",
	}
	for _, version := range versions {
		for _, signedIn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s signed in=%t", version, signedIn), func(t *testing.T) {
				t.Parallel()
				rules := secretShop
				rules.Check = func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return nil }
				rules.Tools = map[string]mcpauth.Rule{"help": {Public: true}, "refund": rules.Tools["refund"], "read_order": rules.Tools["refund"], "delete_order": rules.Tools["refund"]}
				policy := policyOf(t, rules)
				f := newFixture(t, setup{
					stateless: true, mount: true, server: mcp.ServerOptions{PageSize: 1}, attach: inOrder(false, policy),
					config: func(cfg *mcpauth.Config) { cfg.Policy = policy },
				})
				token := ""
				if signedIn {
					token = f.env.Token(map[string]any{"scope": "none"})
				}
				for _, method := range listMethods {
					seen, pages := "", 0
					for cursor := ""; pages == 0 || cursor != ""; pages++ {
						got := f.list(t, version, token, "", method, cursor)
						if name := says(got.cursor); name != "" || got.err != "" || pages > 10 {
							t.Fatalf("%s: the cursor says %q: %s", method, name, got.whole)
						}
						seen, cursor = seen+got.names, got.cursor
					}
					if seen != want[method] || pages < 3 {
						t.Errorf("%s: %q in %d pages", method, seen, pages)
					}
				}
			})
		}
	}
}

// TestHideSealsCursorsOverStdio has a client without any HTTP request.
func TestHideSealsCursorsOverStdio(t *testing.T) {
	t.Parallel()
	server := newServer(&mcp.ServerOptions{PageSize: 1})
	inOrder(true, policyOf(t, secretShop))(server)
	client := connectOver(t.Context(), t, server, func() (mcp.Transport, mcp.Transport) { return mcp.NewInMemoryTransports() })
	result, err := client.ListTools(t.Context(), nil)
	if err != nil || says(result.NextCursor) != "" || result.NextCursor == "" {
		t.Errorf("%s, %v", marshal(result), err)
	}
	if got, err := lists(t.Context(), client); err != nil || !strings.HasPrefix(got, "tools help read_order whoami; ") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestHideReplicas takes cursors from one replica to others: with the same key, with keys that are being replaced, and with
// another key. What does not open gets the go-sdk's error for a cursor that it can't read.
func TestHideReplicas(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, secretShop)
	hide := func(sealer *mcpauth.Sealer) func(*mcp.Server) {
		return func(server *mcp.Server) {
			addShop(server)
			if sealer != nil {
				mcpauthgosdk.HideWithSealer(server, policy, sealer)
			} else {
				mcpauthgosdk.Hide(server, policy)
			}
			mcpauthgosdk.Attach(server)
		}
	}
	replica := func(attach func(*mcp.Server)) *fixture {
		return newFixture(t, setup{stateless: true, server: mcp.ServerOptions{PageSize: 1}, attach: attach})
	}
	const version = "2025-11-25"
	one, plain := replica(hide(sealerOf(t, "a"))), replica(func(server *mcp.Server) { addShop(server); mcpauthgosdk.Attach(server) })
	user := func(f *fixture, sub string) string { return f.env.Token(map[string]any{"scope": "none", "sub": sub}) }
	refused := plain.list(t, version, user(plain, "usr_1"), "", "tools/list", "%%%").err
	if !strings.Contains(refused, "-32602") {
		t.Fatalf("the go-sdk's error is %q", refused)
	}
	other := map[string]string{}
	for i, method := range listMethods {
		other[method] = listMethods[(i+1)%len(listMethods)]
	}
	for _, method := range listMethods {
		cursor := one.list(t, version, user(one, "usr_1"), "", method, "").cursor
		own := plain.list(t, version, user(plain, "usr_1"), "", method, "").cursor
		if says(own) == "" {
			t.Fatalf("the go-sdk's own cursor says nothing: %s", own)
		}
		for name, c := range map[string]struct {
			method, sub, cursor string
			good                bool
		}{
			"the same user, another token": {method, "usr_1", cursor, true},
			"another user":                 {method, "usr_2", cursor, false},
			"changed":                      {method, "usr_1", flip(cursor), false},
			"the go-sdk's own":             {method, "usr_1", own, false},
			"made up":                      {method, "usr_1", "refund", false},
			"of another list":              {other[method], "usr_1", cursor, false},
		} {
			got := one.list(t, version, user(one, c.sub), "", c.method, c.cursor)
			if c.good && got.err != "" || !c.good && got.err != refused {
				t.Errorf("%s, %s: %s, want %s", method, name, got.whole, refused)
			}
		}
	}
	// Servers of one environment.
	for name, c := range map[string]struct {
		sealer *mcpauth.Sealer
		good   bool
	}{
		"the same key": {sealerOf(t, "a"), true}, "a new key, and the old one": {sealerOf(t, "b", "a"), true},
		"another key": {sealerOf(t, "b"), false}, "a key of its own": {nil, false},
	} {
		two := newFixture(t, setup{stateless: true, server: mcp.ServerOptions{PageSize: 1}, attach: hide(c.sealer), config: func(cfg *mcpauth.Config) {
			shared := one.env.Config(cfg.BaseURL)
			shared.Logger = cfg.Logger
			*cfg = shared
		}})
		token := user(one, "usr_1")
		cursor := one.list(t, version, token, "", "tools/list", "").cursor
		got := two.list(t, version, token, "", "tools/list", cursor)
		if c.good && got.names != "help " || !c.good && got.err != refused {
			t.Errorf("%s: %s", name, got.whole)
		}
	}
}

// TestHideCursorsExpire brings a cursor back within a day, and later.
func TestHideCursorsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(&mcp.ServerOptions{PageSize: 1})
		inOrder(true, policyOf(t, secretShop))(server)
		here, there := mcp.NewInMemoryTransports()
		serving, err := server.Connect(t.Context(), here, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = serving.Close() }()
		client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(t.Context(), there, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		first, err := client.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		next := func() error {
			_, err := client.ListTools(t.Context(), &mcp.ListToolsParams{Cursor: first.NextCursor})
			return err
		}
		time.Sleep(24*time.Hour - time.Second)
		if err := next(); err != nil {
			t.Errorf("within a day: %v", err)
		}
		time.Sleep(time.Second)
		if err := next(); err == nil || !strings.Contains(err.Error(), "invalid params") {
			t.Errorf("after a day: %v", err)
		}
	})
}

// TestHideLeavesRequests has a middleware around Hide, which keeps the request: its cursor stays the client's. Two users page
// at the same time, under the race detector.
func TestHideLeavesRequests(t *testing.T) {
	t.Parallel()
	policy := policyOf(t, secretShop)
	f := newFixture(t, setup{stateless: true, server: mcp.ServerOptions{PageSize: 1}, attach: func(server *mcp.Server) {
		inOrder(false, policy)(server)
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				params, ok := req.GetParams().(*mcp.ListToolsParams)
				if !ok || params == nil {
					return next(ctx, method, req)
				}
				before := params.Cursor
				result, err := next(ctx, method, req)
				if params.Cursor != before {
					t.Errorf("the cursor became %s", params.Cursor)
				}
				return result, err
			}
		})
	}})
	var wg sync.WaitGroup
	for scope, want := range map[string]string{"none": "help read_order whoami", "secret": "delete_order help read_order refund whoami"} {
		client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": scope}) })
		wg.Go(func() {
			for range 5 {
				var failed error
				if got := names(&failed, client.Tools(t.Context(), nil), func(tool *mcp.Tool) string { return tool.Name }); failed != nil || got != want {
					t.Errorf("with %s: %q, %v", scope, got, failed)
				}
			}
		})
	}
	wg.Wait()
}

// TestHideTwice has two policies, each of which hides something.
func TestHideTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{stateless: true, server: mcp.ServerOptions{PageSize: 1}, attach: func(server *mcp.Server) {
		mcpauthgosdk.Hide(server, policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"help": {Hide: true, Scopes: []string{"x"}}}}))
		inOrder(true, policyOf(t, secretShop))(server)
	}})
	client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": "none"}) })
	if got, err := lists(t.Context(), client); err != nil || !strings.HasPrefix(got, "tools read_order whoami; ") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestHideWithoutItsParts panics at the start.
func TestHideWithoutItsParts(t *testing.T) {
	t.Parallel()
	server, policy := newServer(new(mcp.ServerOptions)), policyOf(t, secretShop)
	for want, call := range map[string]func(){
		"NewPolicy":         func() { mcpauthgosdk.Hide(server, nil) },
		"mcpauth.NewPolicy": func() { mcpauthgosdk.HideWithSealer(server, nil, sealerOf(t, "a")) },
		"NewSealer":         func() { mcpauthgosdk.HideWithSealer(server, policy, nil) },
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, want) {
					t.Errorf("got %s, want %s", said, want)
				}
			}()
			call()
		}()
	}
}
