package mcpauthgosdk_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
)

// stateServer adds operations that seal a state in their first round, and say in the second what it holds.
func stateServer(sealer *mcpauth.Sealer) func(*mcp.Server) {
	questions := mcp.InputRequestMap{"sure": &mcp.ElicitParams{Message: "Sure?", RequestedSchema: map[string]any{"type": "object"}}}
	// round returns the state to send, or the answer.
	round := func(ctx context.Context, req mcp.Request, state string) (sealed, answer string, err error) {
		if state == "" {
			sealed, err = mcpauthgosdk.SealState(ctx, sealer, req, []byte("refund 17 EUR"), time.Minute)
			return sealed, "", err
		}
		data, err := mcpauthgosdk.OpenState(ctx, sealer, req)
		return "", string(data), err
	}
	return func(server *mcp.Server) {
		for _, name := range []string{"refund", "other"} {
			mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
				sealed, answer, err := round(ctx, req, req.Params.RequestState)
				if err != nil || sealed == "" {
					return text(answer), nil, err
				}
				return &mcp.CallToolResult{InputRequests: questions, RequestState: sealed}, nil, nil
			})
		}
		server.AddPrompt(&mcp.Prompt{Name: "refund"}, func(ctx context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			sealed, answer, err := round(ctx, req, req.Params.RequestState)
			if err != nil || sealed == "" {
				return &mcp.GetPromptResult{Description: answer}, err
			}
			return &mcp.GetPromptResult{InputRequests: questions, RequestState: sealed}, nil
		})
		server.AddResource(&mcp.Resource{Name: "refund", URI: "refund://17"}, func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			sealed, answer, err := round(ctx, req, req.Params.RequestState)
			if err != nil || sealed == "" {
				return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{Text: answer}}}, err
			}
			return &mcp.ReadResourceResult{InputRequests: questions, RequestState: sealed}, nil
		})
		mcpauthgosdk.Attach(server)
	}
}

// TestR101RequestState takes the state of one user's call, and brings it back: as the same user, with a later token; as
// another user, who has stolen it; with another tool; and changed.
func TestR101RequestState(t *testing.T) {
	t.Parallel()
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setup{stateless: true, attach: stateServer(sealer)})
	const version = "2026-07-28"
	ada, eve := f.env.Token(nil), f.env.Token(map[string]any{"sub": "usr_eve"})
	later := f.env.Token(map[string]any{"jti": "later"})
	for _, c := range []struct{ method, params string }{
		{"tools/call", `{"name":"refund"}`}, {"prompts/get", `{"name":"refund"}`}, {"resources/read", `{"uri":"refund://17"}`},
	} {
		first := f.ask(t, version, ada, "", c.method, c.params)
		state := stateIn(t, first.body)
		if strings.Contains(first.body, "17 EUR") {
			t.Errorf("%s: the client can read the state: %s", c.method, first.body)
		}
		bring := func(token, method, params, state string) reply {
			return f.ask(t, version, token, "", method, strings.TrimSuffix(params, "}")+`,"requestState":"`+state+`"}`)
		}
		for name, got := range map[string]reply{
			"by another user":     bring(eve, c.method, c.params, state),
			"changed":             bring(ada, c.method, c.params, flip(state)),
			"not sealed":          bring(ada, c.method, c.params, "refund 1000 EUR"),
			"with another tool":   bring(ada, "tools/call", `{"name":"other"}`, state),
			"of another resource": bring(ada, c.method, c.params, stateIn(t, f.ask(t, version, ada, "", "tools/call", `{"name":"other"}`).body)),
		} {
			if strings.Contains(got.body, "17 EUR") || !strings.Contains(got.body, mcpauth.ErrNotSealed.Error()) {
				t.Errorf("%s, %s: %+v", c.method, name, got)
			}
		}
		for _, token := range []string{ada, later} {
			if got := bring(token, c.method, c.params, state); got.status != http.StatusOK || !strings.Contains(got.body, "refund 17 EUR") {
				t.Errorf("%s, by its user: %+v", c.method, got)
			}
		}
	}
}

func stateIn(t *testing.T, body string) string {
	t.Helper()
	_, data, _ := strings.Cut(body, "data: ")
	var message struct{ Result struct{ RequestState string } }
	if err := json.Unmarshal([]byte(data), &message); err != nil || message.Result.RequestState == "" {
		t.Fatalf("no state in %s", body)
	}
	return message.Result.RequestState
}

// flip changes one character in the middle of a text.
func flip(text string) string {
	b := []byte(text)
	b[len(b)/2] ^= 1
	return string(b)
}

// TestR101StateWithoutASession seals and opens nothing over stdio, where there is no user.
func TestR101StateWithoutASession(t *testing.T) {
	t.Parallel()
	sealer, err := mcpauth.NewSealer(mcpauth.NewSecret(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"", "something"} {
		req := &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{Name: "refund", RequestState: state}}
		sealed, err := mcpauthgosdk.SealState(t.Context(), sealer, req, nil, time.Minute)
		opened, openErr := mcpauthgosdk.OpenState(t.Context(), sealer, req)
		if sealed != "" || opened != nil || err == nil || openErr == nil {
			t.Errorf("sealed %q, %v; opened %q, %v", sealed, err, opened, openErr)
		}
	}
}
