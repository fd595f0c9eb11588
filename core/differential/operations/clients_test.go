package operations_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	goclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	gomcp "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// everyScope returns the scopes of a caller with all rights.
func everyScope() string {
	var scopes []string
	for _, listed := range []map[string]string{listedTools, listedPrompts, listedResources} {
		for _, scope := range listed {
			scopes = append(scopes, scope)
		}
	}
	return strings.Join(scopes, " ")
}

// serve serves a server, behind the checks, on a socket, and returns its URL and a token with every scope.
func serve(t *testing.T, handler http.Handler) (url, token string) {
	t.Helper()
	env, rs := newResourceServer(t)
	compiled, err := mcpauth.NewPolicy(policy())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rs.RequireOperations(compiled)(handler))
	t.Cleanup(server.Close)
	return server.URL, env.Token(map[string]any{"scope": everyScope()})
}

type bearer string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(req)
}

// TestGoSDKClient has the official client do all that it can, in each version of the protocol.
func TestGoSDKClient(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{true, false} {
		for _, version := range []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
			t.Run(fmt.Sprintf("%s stateless=%v", version, stateless), func(t *testing.T) {
				t.Parallel()
				ran := new(recorder)
				url, token := serve(t, newGoSDK(ran, stateless))
				client := mcp.NewClient(&mcp.Implementation{Name: "c", Version: "1"}, nil)
				s, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
					Endpoint: url, HTTPClient: &http.Client{Transport: bearer(token)}, MaxRetries: -1,
				}, &mcp.ClientSessionOptions{ProtocolVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				check := func(err error) {
					t.Helper()
					if err != nil {
						t.Error(err)
					}
				}
				args := map[string]any{"name": "x", "Name": []any{map[string]any{"uri": nil}}, "big": strings.Repeat("é", 10_000)}
				call := &mcp.CallToolParams{Name: "secret", Arguments: args}
				call.SetProgressToken("token")
				_, err = s.CallTool(t.Context(), call)
				check(err)
				_, err = s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "review", Arguments: map[string]string{"name": "x"}})
				check(err)
				_, err = s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "note://1"})
				check(err)
				_, err = s.Complete(t.Context(), &mcp.CompleteParams{Ref: &mcp.CompleteReference{Type: "ref/resource", URI: "note://{id}"}, Argument: mcp.CompleteParamsArgument{Name: "id"}})
				check(err)
				_, err = s.ListTools(t.Context(), nil)
				check(err)
				_, err = s.ListResourceTemplates(t.Context(), nil)
				check(err)
				want := []op{{prompt, "review"}, {resource, "note://1"}, {resource, "note://{id}"}, {tool, "secret"}}
				if got := ran.take(); !slices.Equal(got, want) {
					t.Errorf("ran %q, want %q", got, want)
				}
				check(s.Subscribe(t.Context(), &mcp.SubscribeParams{URI: "memo://1"}))
			})
		}
	}
}

// TestMCPGoClient is TestGoSDKClient for mcp-go.
func TestMCPGoClient(t *testing.T) {
	t.Parallel()
	for _, stateless := range []bool{true, false} {
		for _, version := range []string{"2025-06-18", "2026-07-28"} {
			t.Run(fmt.Sprintf("%s stateless=%v", version, stateless), func(t *testing.T) {
				t.Parallel()
				ran := new(recorder)
				url, token := serve(t, newMCPGo(ran, stateless))
				c, err := goclient.NewStreamableHttpClient(url, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + token}))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				check := func(err error) {
					t.Helper()
					if err != nil {
						t.Error(err)
					}
				}
				check(c.Start(t.Context()))
				var hello gomcp.InitializeRequest
				hello.Params.ProtocolVersion, hello.Params.ClientInfo = version, gomcp.Implementation{Name: "c", Version: "1"}
				_, err = c.Initialize(t.Context(), hello)
				check(err)
				var call gomcp.CallToolRequest
				call.Params.Name, call.Params.Arguments = "secret", map[string]any{"uri": "x", "NAME": 1}
				_, err = c.CallTool(t.Context(), call)
				check(err)
				var get gomcp.GetPromptRequest
				get.Params.Name = "review"
				_, err = c.GetPrompt(t.Context(), get)
				check(err)
				var read gomcp.ReadResourceRequest
				read.Params.URI = "note://1"
				_, err = c.ReadResource(t.Context(), read)
				check(err)
				want := []op{{prompt, "review"}, {resource, "note://1"}, {tool, "secret"}}
				if got := ran.take(); !slices.Equal(got, want) {
					t.Errorf("ran %q, want %q", got, want)
				}
			})
		}
	}
}

// TestClientsOfOtherLanguages has messages as the SDKs for TypeScript, Python and other languages write them.
func TestClientsOfOtherLanguages(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, body := range []string{
		`{"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{},"roots":{"listChanged":true},"sampling":{}},"clientInfo":{"name":"inspector","title":"Inspector","version":"0.20.0","icons":[{"src":"data:,"}]}},"jsonrpc":"2.0","id":0}`,
		`{"method":"notifications/initialized","jsonrpc":"2.0"}`,
		`{"method":"tools/call","params":{"name":"secret","arguments":{"query":"a \"b\" \\ \u2028 \ud83d\udd11","limit":1e2},"_meta":{"progressToken":3}},"jsonrpc":"2.0","id":3}`,
		`{"method":"tools/call","params":{"name":"secret","arguments":{"text":"cut \ud83d"}},"jsonrpc":"2.0","id":4}`,
		`{"jsonrpc":"2.0","id":"b1b5","method":"tools/call","params":{"_meta":null,"name":"secret","arguments":null}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"secret","arguments":{},"task":{"ttl":60000,"pollInterval":1000}}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"secret","arguments":{"n":123456789012345678901234567890,"f":-0.0}}}`,
		`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"secret","inputResponses":{"ask":{"action":"accept","content":{"name":"x","uri":"y"}}},"requestState":"AAA="}}`,
		`{"method":"prompts/get","params":{"name":"review","arguments":{"code":"func main() {}\n"}},"jsonrpc":"2.0","id":7}`,
		`{"method":"resources/read","params":{"uri":"note://1"},"jsonrpc":"2.0","id":8}`,
		`{"method":"completion/complete","params":{"argument":{"name":"code","value":""},"ref":{"type":"ref/prompt","name":"review","title":"Review"},"context":{"arguments":{"name":"a"}}},"jsonrpc":"2.0","id":9}`,
		`{"method":"completion/complete","params":{"argument":{"name":"id","value":"1"},"ref":{"type":"ref/resource","uri":"note://{id}"}},"jsonrpc":"2.0","id":10}`,
		`{"method":"ping","jsonrpc":"2.0","id":11}`, `{"jsonrpc":"2.0","id":11,"method":"ping","params":null}`,
		`{"method":"tools/list","params":{"cursor":"eyJuYW1lIjoieCJ9"},"jsonrpc":"2.0","id":12}`, `{"jsonrpc":"2.0","id":13,"method":"tools/list","params":{}}`,
		`{"method":"logging/setLevel","params":{"level":"debug"},"jsonrpc":"2.0","id":14}`,
		`{"jsonrpc":"2.0","id":0,"result":{"action":"accept","content":{"name":"x","name2":null,"method":"tools/call"}}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"model":"m","role":"assistant","content":{"type":"text","text":"hi"}}}`,
		`{"jsonrpc":"2.0","id":2,"result":{"roots":[{"uri":"file:///home/x","name":"x"}]}}`, `{"jsonrpc":"2.0","id":3,"result":{}}`,
		`{"jsonrpc":"2.0","id":4,"error":{"code":-1,"message":"declined","data":{"x":1}}}`, `{"jsonrpc":"2.0","id":4,"result":{},"error":null}`,
		`{"method":"notifications/cancelled","params":{"requestId":3,"reason":"AbortError"},"jsonrpc":"2.0"}`,
		`{"method":"notifications/progress","params":{"progressToken":1,"progress":0.5,"total":1,"message":"half"},"jsonrpc":"2.0"}`,
		`{"method":"notifications/roots/list_changed","jsonrpc":"2.0"}`,
		`{"jsonrpc":"2.0","id":15,"method":"tasks/get","params":{"taskId":"786"}}`, `{"jsonrpc":"2.0","id":16,"method":"tasks/result","params":{"taskId":"786"}}`,
		`{"jsonrpc":"2.0","id":17,"method":"tasks/cancel","params":{"taskId":"786"}}`, `{"jsonrpc":"2.0","id":18,"method":"tasks/list"}`,
		`{"jsonrpc":"2.0","id":19,"method":"resources/templates/list","params":{}}`, `{"jsonrpc":"2.0","id":20,"method":"server/discover","params":{}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]`,
		"\r\n {\"jsonrpc\" : \"2.0\",\r\n\t\"id\" : 1, \"method\" : \"ping\" }\r\n",
		`{"jsonrpc":"2.0","id":21,"method":"tools/call","params":{"name":"secret","arguments":` + strings.Repeat(`{"a":[`, 200) + strings.Repeat(`]}`, 200) + `}}`,
		`{"jsonrpc":"2.0","id":22,"method":"tools/call","params":{"name":"secret","arguments":{"file":"` + strings.Repeat("QUJD", 15_000) + `"}}}`,
		`{"jsonrpc":"2.0","id":23,"method":"tools/call","params":{"name":"secret","arguments":{` + strings.Repeat(`"k":1,`, 1_000) + `"z":2}}}`,
	} {
		if v := l.try(t, &message{body: body}); !v.readable {
			t.Errorf("refused: %.300s", body)
		}
	}
	l.finish(t)
	l.close(t)
}
