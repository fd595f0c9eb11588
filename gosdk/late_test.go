package mcpauthgosdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// guard serves the fixture's server anew, with a policy in front.
func (f *fixture) guard(t *testing.T, policy *mcpauth.Policy, options *mcp.StreamableHTTPOptions, inner func(http.Handler) http.Handler) {
	t.Helper()
	var handler http.Handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return f.server }, options)
	if inner != nil {
		handler = inner(handler)
	}
	server := httptest.NewServer(f.rs.RequireOperations(policy)(mcpauthgosdk.Handler(f.rs, handler)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	f.url = server.URL + "/mcp"
}

// A reply is what came back.
type reply struct {
	status    int
	challenge string
	header    http.Header
	body      string
}

// ask sends one message as a client of a version does.
func (f *fixture) ask(t *testing.T, version, token, mcpSession, method, params string, more ...string) reply {
	t.Helper()
	headers := []string{"Mcp-Protocol-Version", version}
	if version >= "2026-07-28" {
		var named struct{ Name, URI string }
		if err := json.Unmarshal([]byte(params), &named); err != nil {
			t.Fatal(err)
		}
		headers = append(headers, "Mcp-Method", method, "Mcp-Name", named.Name+named.URI)
		params = strings.TrimSuffix(params, "}") + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version +
			`","io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}`
	}
	return f.raw(t, token, mcpSession, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":`+params+`}`, append(headers, more...)...)
}

func (f *fixture) raw(t *testing.T, token, mcpSession, body string, headers ...string) reply {
	t.Helper()
	if mcpSession != "" {
		headers = append(headers, "Mcp-Session-Id", mcpSession) // send would choose the version of the protocol
	}
	resp := f.send(t, http.MethodPost, token, "", body, headers...)
	defer func() { _ = resp.Body.Close() }()
	whole, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), resp.Header, string(whole)}
}

// lateServer adds operations that learn while they run that the scope "late" is missing.
func lateServer(server *mcp.Server) {
	needs := fmt.Errorf("the backend says: %w", mcpauth.NeedScopes("late"))
	failing := func(before func(context.Context, *mcp.CallToolRequest)) mcp.ToolHandlerFor[none, any] {
		return func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			if before != nil {
				before(ctx, req)
			}
			return nil, nil, needs
		}
	}
	mcp.AddTool(server, &mcp.Tool{Name: "typed"}, failing(nil))
	mcp.AddTool(server, &mcp.Tool{Name: "progress"}, failing(func(ctx context.Context, req *mcp.CallToolRequest) {
		_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: 1})
	}))
	mcp.AddTool(server, &mcp.Tool{Name: "closes"}, failing(func(_ context.Context, req *mcp.CallToolRequest) {
		req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{})
	}))
	server.AddTool(&mcp.Tool{Name: "low", InputSchema: map[string]any{"type": "object"}}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, needs
	})
	server.AddPrompt(&mcp.Prompt{Name: "prompt"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) { return nil, needs })
	server.AddResource(&mcp.Resource{Name: "r", URI: "late://r"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return nil, needs
	})
	mcpauthgosdk.Attach(server)
}

var lateRules = mcpauth.Rules{
	Tools: map[string]mcpauth.Rule{"typed": {Scopes: []string{"of:rule"}}, "low": {AnyScopes: [][]string{{"other"}, {"of:rule"}}}},
}

const lateScopes = "base of:rule"

func newLate(t *testing.T, stateless bool, options mcp.StreamableHTTPOptions, inner func(http.Handler) http.Handler) *fixture {
	t.Helper()
	f := newFixture(t, setup{attach: lateServer, config: func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"base"} }})
	options.Stateless = stateless
	f.guard(t, policyOf(t, lateRules), &options, inner)
	return f
}

// eachMode runs test for JSON and streams, stateful and stateless servers, and each version that they have.
func eachMode(t *testing.T, test func(t *testing.T, stateless, asJSON bool, version string)) {
	for _, stateless := range []bool{false, true} {
		for _, asJSON := range []bool{false, true} {
			for _, version := range versions {
				if !stateless && version >= "2026-07-28" {
					continue // the go-sdk has it for stateless servers only
				}
				t.Run(fmt.Sprintf("stateless=%t JSON=%t %s", stateless, asJSON, version), func(t *testing.T) {
					t.Parallel()
					test(t, stateless, asJSON, version)
				})
			}
		}
	}
}

// TestLate has operations that learn late that a scope is missing: the client gets the challenge, and nothing else, and the
// MCP session goes on.
func TestLate(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
		f := newLate(t, stateless, mcp.StreamableHTTPOptions{JSONResponse: asJSON}, nil)
		token, id := f.env.Token(map[string]any{"scope": lateScopes}), ""
		if !stateless {
			id = f.open(t, token)
		}
		for _, c := range []struct{ method, params, scopes string }{
			{"tools/call", `{"name":"typed"}`, "base of:rule late"},
			{"tools/call", `{"name":"low"}`, "base of:rule late"},
			{"prompts/get", `{"name":"prompt"}`, "base late"},
			{"resources/read", `{"uri":"late://r"}`, "base late"},
		} {
			for range 2 {
				got := f.ask(t, version, token, id, c.method, c.params)
				if got.status != http.StatusForbidden || !strings.Contains(got.challenge, `error="insufficient_scope", scope="`+c.scopes+`"`) {
					t.Errorf("%s %s: status %d, challenge %s, %s", c.method, c.params, got.status, got.challenge, got.body)
				}
				if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Connection") != "" ||
					strings.Contains(got.body, "jsonrpc") || strings.Contains(got.body, "backend") || !json.Valid([]byte(got.body)) {
					t.Errorf("%s %s: the answer is %v %q", c.method, c.params, got.header, got.body)
				}
			}
			holder := f.env.Token(map[string]any{"scope": lateScopes + " late"})
			if got := f.ask(t, version, holder, id, c.method, c.params); got.status != http.StatusOK || got.challenge != "" || !strings.Contains(got.body, "the backend says") {
				t.Errorf("%s %s, with the scope: %+v", c.method, c.params, got)
			}
		}
		if got := f.ask(t, version, token, id, "tools/call", `{"name":"whoami","arguments":{}}`); got.status != http.StatusOK || !strings.Contains(got.body, "usr_1") {
			t.Errorf("another call afterwards: %+v", got)
		}
	})
}

// TestLateAfterProgress sends something first. Under JSON, progress goes elsewhere, and the answer has not begun.
func TestLateAfterProgress(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
		f := newLate(t, stateless, mcp.StreamableHTTPOptions{JSONResponse: asJSON}, nil)
		token, id := f.env.Token(map[string]any{"scope": "base"}), ""
		if !stateless {
			id = f.open(t, token)
		}
		got := f.ask(t, version, token, id, "tools/call", `{"name":"progress"}`)
		if asJSON {
			if got.status != http.StatusForbidden {
				t.Errorf("got %+v", got)
			}
			return
		}
		wantToolError(t, got)
		if !strings.Contains(got.body, "notifications/progress") {
			t.Errorf("no progress: %s", got.body)
		}
	})
}

// wantToolError checks that the answer is a tool error that names the scope.
func wantToolError(t *testing.T, got reply) {
	t.Helper()
	if got.status != http.StatusOK || got.challenge != "" || strings.Count(got.body, `"isError":true`) != 1 || !strings.Contains(got.body, "needs the scopes late") {
		t.Errorf("want a tool error that names the scope, got %+v", got)
	}
}

// TestLateWithAnEventStore has a store: under 2025-11-25 the go-sdk sends an event before the tool runs.
func TestLateWithAnEventStore(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2025-11-25", "2025-06-18"} {
		f := newLate(t, false, mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil)}, nil)
		token := f.env.Token(map[string]any{"scope": lateScopes})
		id := f.open(t, token)
		for _, tool := range []string{"typed", "low"} {
			got := f.ask(t, version, token, id, "tools/call", `{"name":"`+tool+`"}`)
			if version >= "2025-11-25" {
				wantToolError(t, got)
			} else if got.status != http.StatusForbidden || got.challenge == "" {
				t.Errorf("%s: %+v", version, got)
			}
		}
		if got := f.ask(t, version, token, id, "prompts/get", `{"name":"prompt"}`); version >= "2025-11-25" && (got.status != http.StatusOK || !strings.Contains(got.body, "needs the scopes late")) {
			t.Errorf("a prompt: %+v", got)
		}
	}
}

// TestLateInABatch sends batches, of which the other calls have answers too. One of a single message is a batch as well.
func TestLateInABatch(t *testing.T) {
	t.Parallel()
	const typed = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"typed"}}`
	for _, asJSON := range []bool{false, true} {
		for _, batch := range []string{"[" + typed + "]", " \n\t[ " + typed + "," + callWhoami + "]"} {
			f := newLate(t, false, mcp.StreamableHTTPOptions{JSONResponse: asJSON}, nil)
			token := f.env.Token(map[string]any{"scope": lateScopes})
			got := f.raw(t, token, f.open(t, token), batch, "Mcp-Protocol-Version", "2025-03-26")
			wantToolError(t, got)
			if strings.Contains(batch, "whoami") != strings.Contains(got.body, "usr_1") {
				t.Errorf("%s: %s", batch, got.body)
			}
		}
	}
}

// TestLateAfterTheStream has a tool that ends the response while it runs. What it returns then can't be a challenge any more.
func TestLateAfterTheStream(t *testing.T) {
	t.Parallel()
	f := newLate(t, false, mcp.StreamableHTTPOptions{}, nil)
	token := f.env.Token(map[string]any{"scope": lateScopes})
	id := f.open(t, token)
	for i := range 20 { // each call has an id of its own, because the one before may still run
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"closes"}}`, i)
		got := f.raw(t, token, id, body, "Mcp-Protocol-Version", "2025-06-18")
		// Either the tool or the end of the response was first.
		empty := got.status == http.StatusOK && got.body == ""
		if challenged := got.status == http.StatusForbidden && got.challenge != ""; !empty && !challenged {
			t.Fatalf("got %+v", got)
		}
	}
}

// TestLateBehindAWrapper has code between Handler and the go-sdk that sets headers, compresses by its own account, or begins
// the response.
func TestLateBehindAWrapper(t *testing.T) {
	t.Parallel()
	wrap := func(before func(w http.ResponseWriter)) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				before(w)
				next.ServeHTTP(w, r)
			})
		}
	}
	for name, c := range map[string]struct {
		before func(w http.ResponseWriter)
		status int
	}{
		"headers": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", "3")
		}, http.StatusForbidden},
		"informational": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) }, http.StatusForbidden},
		"a status":      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }, http.StatusOK},
		"flushed":       {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, http.StatusOK},
		"a Flusher":     {func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newLate(t, true, mcp.StreamableHTTPOptions{}, wrap(c.before))
			got := f.ask(t, "2025-06-18", f.env.Token(map[string]any{"scope": lateScopes}), "", "tools/call", `{"name":"typed"}`)
			if c.status == http.StatusOK {
				wantToolError(t, got)
			} else if got.status != c.status || got.challenge == "" || got.header.Get("Content-Encoding") != "" || !json.Valid([]byte(got.body)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestLateUnderLoad mixes calls that end in a challenge with others, of several users at a time. Each gets its own answer.
func TestLateUnderLoad(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		for _, asJSON := range []bool{false, true} {
			f := newLate(t, stateless, mcp.StreamableHTTPOptions{JSONResponse: asJSON}, nil)
			var users sync.WaitGroup
			for user := range 8 {
				users.Go(func() {
					name := fmt.Sprintf("usr_load%d", user)
					token, id := f.env.Token(map[string]any{"sub": name, "scope": lateScopes}), ""
					if !stateless {
						id = f.open(t, token)
					}
					var calls sync.WaitGroup
					for i := range 20 {
						calls.Go(func() {
							body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":{}}}`, i, []string{"typed", "whoami"}[i%2])
							got := f.raw(t, token, id, body, "Mcp-Protocol-Version", "2025-11-25")
							if late := i%2 == 0; late != (got.status == http.StatusForbidden) || late != (got.challenge != "") || late == strings.Contains(got.body, name) {
								t.Errorf("%s, call %d: %+v", name, i, got)
							}
						})
					}
					calls.Wait()
				})
			}
			users.Wait()
		}
	}
}

// TestLateOfAPublicTool has a tool that works without credentials, and learns late that this caller has to sign in.
func TestLateOfAPublicTool(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		for _, asJSON := range []bool{false, true} {
			f := newFixture(t, setup{attach: lateServer, config: func(cfg *mcpauth.Config) {
				cfg.RequiredScopes = []string{"base"}
				cfg.Policy = policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"typed": {Public: true}}})
			}})
			server := httptest.NewServer(f.rs.Endpoint(mcpauthgosdk.Handler(f.rs, mcp.NewStreamableHTTPHandler(
				func(*http.Request) *mcp.Server { return f.server }, &mcp.StreamableHTTPOptions{Stateless: stateless, JSONResponse: asJSON}))))
			t.Cleanup(server.Close)
			f.url = server.URL + "/mcp"
			id := ""
			if !stateless {
				id = f.open(t, "")
			}
			for _, c := range []struct {
				token  string
				status int
				want   string
			}{
				{"", http.StatusUnauthorized, `Bearer scope="base late"`},
				{f.env.Token(map[string]any{"scope": "base"}), http.StatusForbidden, `Bearer error="insufficient_scope", scope="base late"`},
			} {
				got := f.ask(t, "2025-11-25", c.token, id, "tools/call", `{"name":"typed"}`)
				if got.status != c.status || !strings.HasPrefix(got.challenge, c.want) || strings.Contains(got.body, "jsonrpc") {
					t.Errorf("stateless=%t JSON=%t: %+v, want %s", stateless, asJSON, got, c.want)
				}
			}
		}
	}
}

// TestLateOverStdio has no HTTP request whose answer could be a challenge.
func TestLateOverStdio(t *testing.T) {
	t.Parallel()
	server := newServer(new(mcp.ServerOptions))
	lateServer(server)
	here, there := mcp.NewInMemoryTransports()
	if _, err := server.Connect(t.Context(), here, nil); err != nil {
		t.Fatal(err)
	}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := call(t.Context(), client, "typed"); err == nil || !strings.Contains(err.Error(), "needs the scopes late") {
		t.Errorf("got %v", err)
	}
}

// TestLateWithAClient calls with the go-sdk's client, which sees the 403.
func TestLateWithAClient(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{false, true} {
		f := newLate(t, stateless, mcp.StreamableHTTPOptions{}, nil)
		client := f.connect(t, func() string { return f.env.Token(map[string]any{"scope": lateScopes}) })
		if _, err := call(t.Context(), client, "typed"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("without the scope: %v", err)
		}
	}
}
