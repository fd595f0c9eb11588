package mcpauthgosdk_test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// hiding is a policy that hides what is called secret.
var hiding = mcpauth.Rules{Check: func(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
	if strings.Contains(op.Name, "secret") {
		return fmt.Errorf("not for you: %w", mcpauth.ErrHidden)
	}
	return nil
}}

// secrets are operations that are hidden. Some names are written differently in JSON, in Go and in HTML.
var secrets = []struct{ method, params string }{
	{"tools/call", `{"name":"secret"}`},
	{"tools/call", `{"name":"\u0073ecret"}`},
	{"tools/call", `{"arguments":{"name":"other"},"name":"secret & <b> \"q\" \\ é"}`},
	{"prompts/get", `{"name":"secret"}`},
	{"prompts/get", `{"name":"secret & \"q\""}`},
	{"resources/read", `{"uri":"secret://1?a=1&b=<2>"}`},
	{"resources/read", `{"uri":"secrets://7"}`},
	{"completion/complete", `{"ref":{"type":"ref/prompt","name":"secret"},"argument":{"name":"a","value":"b"}}`},
	{"completion/complete", `{"ref":{"type":"ref/resource","uri":"secrets://{id}"},"argument":{"name":"a","value":"b"}}`},
}

// hide returns a fixture whose policy hides the secrets, and the number of times that one ran; and a fixture that does not
// have them, of the same environment.
func hide(t *testing.T, stateless, attached bool, options mcp.StreamableHTTPOptions) (has, hasNot *fixture, ran *atomic.Int32) {
	t.Helper()
	ran = new(atomic.Int32)
	attach := func(server *mcp.Server) {
		server.AddReceivingMiddleware(noCompletions)
		if attached {
			mcpauthgosdk.Attach(server)
		}
	}
	has = newFixture(t, setup{attach: func(server *mcp.Server) {
		attach(server)
		addSecrets(server, ran)
	}})
	hasNot = &fixture{env: has.env, rs: has.rs, server: newServer(new(mcp.ServerOptions))}
	attach(hasNot.server)
	options.Stateless = stateless
	has.guard(t, policyOf(t, hiding), &options, nil)
	hasNot.guard(t, policyOf(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{"whoami": {}}}), &options, nil)
	return has, hasNot, ran
}

// noCompletions answers requests for completions.
func noCompletions(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		if params, ok := req.GetParams().(*mcp.CompleteParams); ok {
			return nil, fmt.Errorf("nothing to complete for %q", params.Ref.Name+params.Ref.URI)
		}
		return next(ctx, method, req)
	}
}

func addSecrets(server *mcp.Server, ran *atomic.Int32) {
	for _, name := range []string{"secret", `secret & <b> "q" \ é`} {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			ran.Add(1)
			return text("ran"), nil
		})
	}
	for _, name := range []string{"secret", `secret & "q"`} {
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			ran.Add(1)
			return new(mcp.GetPromptResult), nil
		})
	}
	read := func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		ran.Add(1)
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Text: "ran"}}}, nil
	}
	server.AddResource(&mcp.Resource{Name: "s", URI: "secret://1?a=1&b=<2>"}, read)
	server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "s", URITemplate: "secrets://{id}"}, read)
}

// same compares what came back, except for the date.
func same(a, b reply) bool {
	a.header.Del("Date")
	b.header.Del("Date")
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

// inBase64 is the value of Mcp-Name for the name in params, in the form that SEP-2243 has for text that is not ASCII.
func inBase64(t *testing.T, params string) string {
	t.Helper()
	var named struct{ Name, URI string }
	if err := json.Unmarshal([]byte(params), &named); err != nil {
		t.Fatal(err)
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(named.Name+named.URI)) + "?="
}

// TestHidden asks for hidden operations, and for the same on a server that does not have them: there is no difference, and
// none runs. Attach makes none either.
func TestHidden(t *testing.T) {
	t.Parallel()
	for _, attached := range []bool{true, false} {
		eachMode(t, func(t *testing.T, stateless, asJSON bool, version string) {
			has, hasNot, ran := hide(t, stateless, attached, mcp.StreamableHTTPOptions{JSONResponse: asJSON})
			ids := map[*fixture]string{}
			if !stateless {
				ids[has], ids[hasNot] = has.open(t, has.env.Token(nil)), hasNot.open(t, hasNot.env.Token(nil))
			}
			for _, c := range secrets {
				for _, headers := range [][]string{nil, {"Mcp-Name", "secret"}, {"Mcp-Name", "other"}, {"Mcp-Name", inBase64(t, c.params)}, {"Accept", "text/html"}, {"Mcp-Method", "tools/list"}} {
					got := has.ask(t, version, has.env.Token(nil), ids[has], c.method, c.params, headers...)
					want := hasNot.ask(t, version, hasNot.env.Token(nil), ids[hasNot], c.method, c.params, headers...)
					if !same(got, want) {
						t.Errorf("%s %s %q:\n got %+v\nwant %+v", c.method, c.params, headers, got, want)
					}
				}
			}
			if n := ran.Load(); n != 0 {
				t.Errorf("%d hidden operations ran", n)
			}
			if got := has.ask(t, version, has.env.Token(nil), ids[has], "tools/call", `{"name":"headers"}`); got.status != http.StatusOK || !strings.Contains(got.body, "Mcp-Protocol-Version") {
				t.Errorf("another operation: %+v", got)
			}
		})
	}
}

// TestHiddenInABatch hides one of several calls, more than once, and runs the others.
func TestHiddenInABatch(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		has, hasNot, ran := hide(t, false, true, mcp.StreamableHTTPOptions{JSONResponse: asJSON})
		secret := func(id int) string {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"secret"}}`, id)
		}
		batch := "[" + secret(1) + ", " + callWhoami + "," + secret(2) + `,{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"secrets://1"}}]`
		var answers []map[string]bool
		for _, f := range []*fixture{has, hasNot} {
			got := f.raw(t, f.env.Token(nil), f.open(t, f.env.Token(nil)), batch, "Mcp-Protocol-Version", "2025-03-26")
			lines := map[string]bool{}
			for line := range strings.SplitSeq(got.body, "\n") {
				if asJSON {
					var messages []json.RawMessage
					if err := json.Unmarshal([]byte(line), &messages); err != nil {
						t.Fatal(err)
					}
					for _, message := range messages {
						lines[string(message)] = true
					}
				} else if strings.HasPrefix(line, "data") {
					lines[line] = true
				}
			}
			answers = append(answers, lines)
		}
		if fmt.Sprint(answers[0]) != fmt.Sprint(answers[1]) || len(answers[0]) != 4 || ran.Load() != 0 {
			t.Errorf("%d ran; the answers are\n%v\n%v", ran.Load(), answers[0], answers[1])
		}
	}
}

// TestHiddenInALongBody has calls up to the bound that the go-sdk and a policy both have for bodies.
func TestHiddenInALongBody(t *testing.T) {
	t.Parallel()
	has, hasNot, ran := hide(t, true, true, mcp.StreamableHTTPOptions{JSONResponse: true})
	hasNot.guard(t, policyOf(t, mcpauth.Rules{Check: func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return nil }}),
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}, nil)
	for _, length := range []int{mcp.DefaultMaxRequestBodyBytes - 100, mcp.DefaultMaxRequestBodyBytes - 10, mcp.DefaultMaxRequestBodyBytes} {
		body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"secret","arguments":{"a":"`
		body += strings.Repeat("x", length-len(body)-len(`"}}}`)) + `"}}}`
		got, want := has.raw(t, has.env.Token(nil), "", body), hasNot.raw(t, hasNot.env.Token(nil), "", body)
		if !same(got, want) {
			t.Errorf("%d bytes:\n got %+v\nwant %+v", length, got, want)
		}
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("%d hidden operations ran", n)
	}
}

// TestHiddenIsLogged writes one line for each.
func TestHiddenIsLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Logger = textLogger(&log) }})
	f.guard(t, policyOf(t, hiding), &mcp.StreamableHTTPOptions{Stateless: true}, nil)
	got := f.ask(t, "2025-11-25", f.env.Token(nil), "", "tools/call", `{"name":"secret"}`)
	if got.status != http.StatusOK || !strings.Contains(log.String(), "outcome=operation_refused") || !strings.Contains(log.String(), "not for you") {
		t.Errorf("status %d, log %s", got.status, log.String())
	}
	if strings.Contains(got.body, "not for you") {
		t.Errorf("the client sees the reason: %s", got.body)
	}
}

// TestHiddenFailsClosed leaves out each part. What is hidden never runs.
func TestHiddenFailsClosed(t *testing.T) {
	t.Parallel()
	compressed := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer func() { _ = z.Close() }()
			next.ServeHTTP(gzipped{w, z}, r)
		})
	}
	wrapped := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) })
	}
	for name, c := range map[string]struct {
		inner, outer func(http.Handler) http.Handler // around the go-sdk, and around Handler
		status       int
	}{
		"as it should be":       {nil, nil, http.StatusOK},
		"compressed":            {compressed, nil, http.StatusOK},
		"Handler is wrapped":    {nil, wrapped, http.StatusForbidden},
		"the go-sdk is wrapped": {wrapped, nil, http.StatusOK},
	} {
		for _, attached := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, attached=%t", name, attached), func(t *testing.T) {
				t.Parallel()
				has, _, ran := hide(t, true, attached, mcp.StreamableHTTPOptions{})
				var handler http.Handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return has.server }, &mcp.StreamableHTTPOptions{Stateless: true})
				if c.inner != nil {
					handler = c.inner(handler)
				}
				handler = mcpauthgosdk.Handler(has.rs, handler)
				if c.outer != nil {
					handler = c.outer(handler)
				}
				server := httptest.NewServer(has.rs.RequireOperations(policyOf(t, hiding))(handler))
				t.Cleanup(server.Close)
				has.url = server.URL + "/mcp"
				got := has.ask(t, "2025-11-25", has.env.Token(nil), "", "tools/call", `{"name":"secret"}`)
				if got.status != c.status || ran.Load() != 0 || got.challenge != "" {
					t.Errorf("%d ran, %+v", ran.Load(), got)
				}
				if c.status == http.StatusOK && !strings.Contains(got.body, `unknown tool \"secret\"`) {
					t.Errorf("the answer is %s", got.body)
				}
			})
		}
	}
}

type gzipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w gzipped) Write(p []byte) (int, error) { return w.z.Write(p) }

// TestHiddenByTheConfig has the policy in Config, which Mount and Handler enforce. Callers without credentials get 401.
func TestHiddenByTheConfig(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	rules := hiding
	rules.Tools = map[string]mcpauth.Rule{"secret": {Public: true}, "whoami": {Public: true}}
	f := newFixture(t, setup{
		stateless: true,
		config:    func(cfg *mcpauth.Config) { cfg.Policy = policyOf(t, rules) },
		attach: func(server *mcp.Server) {
			addSecrets(server, &ran)
			mcpauthgosdk.Attach(server)
		},
	})
	handler := mcpauthgosdk.Handler(f.rs, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return f.server }, &mcp.StreamableHTTPOptions{Stateless: true}))
	wrapped := http.HandlerFunc(handler.ServeHTTP)
	for name, c := range map[string]struct {
		handler  http.Handler
		withUser int
	}{
		"an endpoint":       {f.rs.Endpoint(handler), http.StatusOK},
		"a wrapped Handler": {f.rs.Endpoint(wrapped), http.StatusForbidden},
		"Handler alone":     {handler, http.StatusOK},
	} {
		server := httptest.NewServer(c.handler)
		t.Cleanup(server.Close)
		f.url = server.URL + "/mcp"
		got := f.ask(t, "2025-11-25", f.env.Token(nil), "", "tools/call", `{"name":"secret"}`)
		if got.status != c.withUser || ran.Load() != 0 || got.status == http.StatusOK && !strings.Contains(got.body, `unknown tool \"secret\"`) {
			t.Errorf("%s: %+v", name, got)
		}
		if got := f.ask(t, "2025-11-25", "", "", "tools/call", `{"name":"secret"}`); got.status != http.StatusUnauthorized || ran.Load() != 0 {
			t.Errorf("%s, without credentials: %+v", name, got)
		}
	}
}

// TestHiddenSubscriptions subscribes to what is hidden: the stream says what it does for every URI that is not there.
func TestHiddenSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setup{server: mcp.ServerOptions{
		SubscribeHandler: func(_ context.Context, req *mcp.SubscribeRequest) error {
			if req.Params.URI == "secrets://1" {
				t.Error("the server saw the hidden URI")
			}
			return fmt.Errorf("%q is not there", req.Params.URI)
		},
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	}})
	f.guard(t, policyOf(t, hiding), &mcp.StreamableHTTPOptions{}, nil)
	got := f.ask(t, "2025-11-25", f.env.Token(nil), f.open(t, f.env.Token(nil)), "resources/subscribe", `{"uri":"secrets://1"}`)
	if got.status != http.StatusOK || !strings.Contains(got.body, `\"secrets://1\" is not there`) {
		t.Errorf("got %+v", got)
	}
}
