package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// everyClient runs a test for each version of the protocol, against a stateful server and a stateless one.
func everyClient(t *testing.T, test func(t *testing.T, version string, stateless bool)) {
	t.Helper()
	for _, version := range versions {
		for _, stateless := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,stateless=%v", version, stateless), func(t *testing.T) {
				t.Parallel()
				test(t, version, stateless)
			})
		}
	}
}

// spoken returns the version of the protocol that a client and a server agree on.
func spoken(version string, stateless bool) string {
	if !stateless && version == "2026-07-28" { // that version has no MCP sessions
		return "2025-11-25"
	}
	return version
}

// TestSessionOfEachCall gives every request a token of its own. The server's functions see the token of the request that
// called them, and not the one that opened the MCP session.
func TestSessionOfEachCall(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newFixture(t, setup{stateless: stateless})
		ada := f.tokensOf("usr_ada")
		client := f.dial(t, version, ada.next, nil)
		if got, want := client.InitializeResult().ProtocolVersion, spoken(version, stateless); got != want {
			t.Errorf("the protocol is %s, want %s", got, want)
		}
		if (client.ID() == "") != stateless {
			t.Errorf("MCP session %q", client.ID())
		}
		ctx := t.Context()
		for name, ask := range map[string]func() (string, error){
			"tool": func() (string, error) { return call(ctx, client, "whoami") },
			"prompt": func() (string, error) {
				result, err := client.GetPrompt(ctx, &mcp.GetPromptParams{Name: "whoami"})
				if err != nil {
					return "", err
				}
				return result.Description, nil
			},
			"resource": func() (string, error) { return readText(ctx, client, "whoami://me") },
			"template": func() (string, error) { return readText(ctx, client, "orders://7") },
			"completion": func() (string, error) {
				result, err := client.Complete(ctx, &mcp.CompleteParams{
					Ref:      &mcp.CompleteReference{Type: "ref/prompt", Name: "whoami"},
					Argument: mcp.CompleteParamsArgument{Name: "x", Value: "y"},
				})
				if err != nil {
					return "", err
				}
				return result.Completion.Values[0], nil
			},
		} {
			ada.id.Store(name)
			if got, err := ask(); err != nil || got != "usr_ada "+name {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}

func readText(ctx context.Context, client *mcp.ClientSession, uri string) (string, error) {
	result, err := client.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return "", err
	}
	return result.Contents[0].Text, nil
}

// TestR69EachCallSeesItsOwnUser runs two users at once, with 100 calls each and a new token for every call.
func TestR69EachCallSeesItsOwnUser(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateless=%v", stateless), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{stateless: stateless})
			var wg sync.WaitGroup
			for _, user := range []string{"usr_ada", "usr_grace"} {
				session := f.connect(t, f.tokensOf(user).next)
				for range 4 {
					wg.Go(func() {
						for range 25 {
							if got, err := call(t.Context(), session, "whoami"); err != nil || got != user+" first" {
								t.Errorf("%s saw %q, %v", user, got, err)
								return
							}
						}
					})
				}
			}
			wg.Wait()
		})
	}
}

// TestR69SessionOfAnotherUser uses an MCP session with tokens of other users, and with other tokens of its owner.
func TestR69SessionOfAnotherUser(t *testing.T) {
	t.Parallel()
	const elsewhere = "https://login.example.com"
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Issuers = []string{elsewhere} }})
	claims := map[string]any{"sub": "usr_ada", "jti": "first"}
	id := f.open(t, f.env.Token(claims))
	for name, test := range map[string]struct {
		claims map[string]any // nil: no token
		owner  bool
	}{
		"another user":                         {claims: map[string]any{"sub": "usr_grace"}},
		"the owner, and a line more":           {claims: map[string]any{"sub": "usr_ada\nx"}},
		"a user that looks like a line":        {claims: map[string]any{"sub": f.env.URL() + "\nusr_ada"}},
		"the same id at another issuer":        {claims: map[string]any{"sub": "usr_ada", "iss": elsewhere}},
		"no token":                             {},
		"a refreshed token":                    {claims: map[string]any{"sub": "usr_ada", "jti": "second"}, owner: true},
		"the other form of the issuer":         {claims: map[string]any{"sub": "usr_ada", "iss": f.env.URL()}, owner: true},
		"with fewer scopes, elsewhere":         {claims: map[string]any{"sub": "usr_ada", "oid": "org_2", "scope": "x"}, owner: true},
		"a refreshed token with a longer life": {claims: map[string]any{"sub": "usr_ada", "exp": 4e9}, owner: true},
	} {
		t.Run(name, func(t *testing.T) {
			token, refused := "", http.StatusUnauthorized
			if test.claims != nil {
				token, refused = f.env.Token(test.claims), http.StatusForbidden
			}
			if !test.owner {
				for method, body := range map[string]string{http.MethodPost: callWhoami, http.MethodGet: "", http.MethodDelete: ""} {
					if status := f.status(t, method, token, id, body); status != refused {
						t.Errorf("%s: status %d, want %d", method, status, refused)
					}
				}
				return
			}
			if got := f.whoami(t, token, id); !strings.HasPrefix(got, "usr_ada ") {
				t.Errorf("POST: %q", got)
			}
			if resp := f.stream(t, token, id); resp.StatusCode != http.StatusOK {
				t.Errorf("GET: status %d", resp.StatusCode)
			} else {
				_ = resp.Body.Close()
			}
		})
	}
	if got := f.whoami(t, f.env.Token(claims), id); got != "usr_ada first" { // the refused DELETE did not end it
		t.Errorf("afterwards: %q", got)
	}
	claims["jti"] = "last"
	if status := f.status(t, http.MethodDelete, f.env.Token(claims), id, ""); status != http.StatusNoContent {
		t.Errorf("DELETE: status %d", status)
	}
	if status := f.status(t, http.MethodPost, f.env.Token(claims), id, callWhoami); status != http.StatusNotFound {
		t.Errorf("after DELETE: status %d", status)
	}
}

// TestR69AnswerOfAnotherUser has a tool ask its user, and another user answer.
func TestR69AnswerOfAnotherUser(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setup{})
			mcp.AddTool(f.server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
				answer, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "really?"})
				if err != nil {
					return nil, nil, err
				}
				sample, err := req.Session.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 1}) //nolint:staticcheck // deprecated, and in use
				if err != nil {
					return nil, nil, err
				}
				return text(answer.Action + " " + sample.Model + " " + caller(ctx, req.Extra)), nil, nil
			})
			var client *mcp.ClientSession
			intrude := func(result string) {
				for id := range 10 {
					body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, id, result)
					if status := f.status(t, http.MethodPost, f.env.Token(map[string]any{"sub": "usr_grace"}), client.ID(), body); status != http.StatusForbidden {
						t.Errorf("another user's answer: status %d", status)
					}
				}
			}
			ada := f.tokensOf("usr_ada")
			client = f.dial(t, version, ada.next, &mcp.ClientOptions{
				ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
					intrude(`{"action":"accept"}`)
					return &mcp.ElicitResult{Action: "decline"}, nil
				},
				CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) { //nolint:staticcheck // deprecated, and in use
					intrude(`{"role":"assistant","model":"evil","content":{"type":"text","text":""}}`)
					return &mcp.CreateMessageResult{Role: "assistant", Model: "good", Content: &mcp.TextContent{}}, nil //nolint:staticcheck // deprecated, and in use
				},
			})
			ada.id.Store("ask")
			if got, err := call(t.Context(), client, "ask"); err != nil || got != "decline good usr_ada ask" {
				t.Errorf("answer %q, %v", got, err)
			}
		})
	}
}

// TestToolAsksByItsAnswer has a tool that answers with a question (MCP 2026-07-28), for which it is called a second time. On
// a stateful server the go-sdk asks the client itself, and there is one request. Stateless servers can't ask clients of
// earlier versions.
func TestToolAsksByItsAnswer(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		if stateless && version != "2026-07-28" {
			t.Skip("a stateless server can't ask a client of an earlier version")
		}
		f := newFixture(t, setup{stateless: stateless})
		mcp.AddTool(f.server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			if answer, ok := req.Params.InputResponses["q"].(*mcp.ElicitResult); ok {
				return text(answer.Action + " " + req.Params.RequestState + ", then " + caller(ctx, req.Extra)), nil, nil
			}
			return &mcp.CallToolResult{
				InputRequests: mcp.InputRequestMap{"q": &mcp.ElicitParams{Message: "really?"}},
				RequestState:  caller(ctx, req.Extra),
			}, nil, nil
		})
		ada := f.tokensOf("usr_ada")
		client := f.dial(t, version, ada.next, &mcp.ClientOptions{
			ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				ada.id.Store("two")
				return &mcp.ElicitResult{Action: "accept"}, nil
			},
		})
		ada.id.Store("one")
		want := "accept usr_ada one, then usr_ada two"
		if !stateless {
			want = "accept usr_ada one, then usr_ada one"
		}
		if got, err := call(t.Context(), client, "ask"); err != nil || got != want {
			t.Errorf("answer %q, %v, want %q", got, err, want)
		}
	})
}

func TestProgress(t *testing.T) {
	t.Parallel()
	everyClient(t, func(t *testing.T, version string, stateless bool) {
		f := newFixture(t, setup{stateless: stateless})
		mcp.AddTool(f.server, &mcp.Tool{Name: "work"}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			for i := range 3 {
				if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i + 1)}); err != nil {
					return nil, nil, err
				}
			}
			return text(caller(ctx, req.Extra)), nil, nil
		})
		seen := make(chan float64, 3)
		client := f.dial(t, version, f.tokensOf("usr_ada").next, &mcp.ClientOptions{
			ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) { seen <- req.Params.Progress },
		})
		params := &mcp.CallToolParams{Name: "work"}
		params.SetProgressToken("p")
		if result, err := client.CallTool(t.Context(), params); err != nil || result.Content[0].(*mcp.TextContent).Text != "usr_ada first" {
			t.Errorf("answer %s, %v", marshal(result), err)
		}
		if got := []float64{await(t, "progress", seen), await(t, "progress", seen), await(t, "progress", seen)}; !slices.Equal(got, []float64{1, 2, 3}) {
			t.Errorf("progress %v", got)
		}
	})
}

// TestSessionIsClearedWhenAbsent makes calls without any HTTP request, in contexts that have a session: the calls must not
// have that session.
func TestSessionIsClearedWhenAbsent(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]func() (here, there mcp.Transport){
		"in memory": func() (mcp.Transport, mcp.Transport) { return mcp.NewInMemoryTransports() },
		"stdio": func() (mcp.Transport, mcp.Transport) {
			in, toServer := io.Pipe()
			fromServer, out := io.Pipe()
			return &mcp.IOTransport{Reader: in, Writer: out}, &mcp.IOTransport{Reader: fromServer, Writer: toServer}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(new(mcp.ServerOptions))
			mcpauthgosdk.Attach(server)
			ctx := mcpauth.NewContext(t.Context(), mcpauthtest.NewSession(nil))
			client := connectOver(ctx, t, server, pair)
			for range 2 {
				if got, err := call(ctx, client, "whoami"); err != nil || got != mcpauth.ErrNoSession.Error() {
					t.Errorf("tool: %q, %v", got, err)
				}
				if got, err := readText(ctx, client, "whoami://me"); err != nil || got != mcpauth.ErrNoSession.Error() {
					t.Errorf("resource: %q, %v", got, err)
				}
			}
		})
	}
}

func connectOver(ctx context.Context, t *testing.T, server *mcp.Server, pair func() (here, there mcp.Transport)) *mcp.ClientSession {
	t.Helper()
	here, there := pair()
	serverSession, err := server.Connect(ctx, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(ctx, there, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = serverSession.Close()
	})
	return client
}
