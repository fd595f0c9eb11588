//nolint:staticcheck // roots, sampling and logging are deprecated as of 2026-07-28, and part of the suite
package everything

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const toolPrefix = "test_input_required_result_"

// addRounds adds tools and a prompt that answer with a question, and work when the client calls again with the answer (MCP
// 2026-07-28). What they remember between the calls is in the state that the client carries, signed.
func addRounds(server *mcp.Server, secret string) {
	rounds := func(name, description string, round func(*mcp.CallToolRequest) (*mcp.CallToolResult, error)) {
		add(server, toolPrefix+name, description, func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return round(req)
		})
	}
	rounds("elicitation", "Asks for a name.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if name, ok := accepted(req.Params.InputResponses, "user_name")["name"].(string); ok {
			return answer(text("Hello, %s!", name)), nil
		}
		return question(mcp.InputRequestMap{"user_name": elicit("What is your name?", "name", "string")}), nil
	})
	rounds("sampling", "Asks the client's model.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said, ok := sampled(req.Params.InputResponses, "capital_question"); ok {
			return answer(text("The model says: %s", said)), nil
		}
		return question(mcp.InputRequestMap{"capital_question": sampling("What is the capital of France?", 100)}), nil
	})
	rounds("list_roots", "Asks for the client's roots.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if roots, ok := req.Params.InputResponses["client_roots"].(*mcp.ListRootsResult); ok {
			var uris []string
			for _, root := range roots.Roots {
				uris = append(uris, root.URI)
			}
			return answer(text("%d roots: %s", len(uris), strings.Join(uris, " "))), nil
		}
		return question(mcp.InputRequestMap{"client_roots": &mcp.ListRootsParams{}}), nil
	})
	confirm := func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if state := req.Params.RequestState; state != "" {
			if _, err := open(secret, state); err != nil {
				return nil, err
			}
			if accepted(req.Params.InputResponses, "confirm") != nil {
				return answer(text("state-ok: what you sent is what you were given")), nil
			}
		}
		result := question(mcp.InputRequestMap{"confirm": elicit("Please confirm", "ok", "boolean")})
		result.RequestState = seal(secret, nil)
		return result, nil
	}
	rounds("request_state", "Asks for a confirmation, and expects its state back.", confirm)
	rounds("tampered_state", "Notices when its state was changed.", confirm)
	rounds("multiple_inputs", "Asks for three things at once.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		responses := req.Params.InputResponses
		name, named := accepted(responses, "user_name")["name"].(string)
		greeting, greeted := sampled(responses, "greeting")
		roots, rooted := responses["client_roots"].(*mcp.ListRootsResult)
		if named && greeted && rooted {
			if _, err := open(secret, req.Params.RequestState); err != nil {
				return nil, err
			}
			return answer(text("%s, %s (%d roots)", greeting, name, len(roots.Roots))), nil
		}
		result := question(mcp.InputRequestMap{
			"user_name":    elicit("What is your name?", "name", "string"),
			"greeting":     sampling("Generate a greeting", 50),
			"client_roots": &mcp.ListRootsParams{},
		})
		result.RequestState = seal(secret, nil)
		return result, nil
	})
	rounds("multi_round", "Asks twice.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return twice(secret, req)
	})
	rounds("capabilities", "Asks for what the client can do.", func(req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if len(req.Params.InputResponses) > 0 {
			return answer(text("Thank you.")), nil
		}
		requests := mcp.InputRequestMap{}
		if can := req.ClientCapabilities(); can != nil {
			if can.Elicitation != nil {
				requests["user_name"] = elicit("What is your name?", "name", "string")
			}
			if can.Sampling != nil {
				requests["greeting"] = sampling("Generate a greeting", 50)
			}
		}
		if len(requests) == 0 {
			return answer(text("The client supports no kind of question.")), nil
		}
		return question(requests), nil
	})

	server.AddPrompt(&mcp.Prompt{Name: toolPrefix + "prompt", Description: "Asks for a context."},
		func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			if about, ok := accepted(req.Params.InputResponses, "user_context")["context"].(string); ok {
				return &mcp.GetPromptResult{Messages: messages(text("Context: %s", about))}, nil
			}
			return &mcp.GetPromptResult{InputRequests: mcp.InputRequestMap{
				"user_context": elicit("What context should the prompt use?", "context", "string"),
			}}, nil
		})
}

// progress is what multi_round remembers between its calls.
type progress struct {
	Name string `json:"name"`
}

func twice(secret string, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if req.Params.RequestState == "" {
		result := question(mcp.InputRequestMap{"step1": elicit("Step 1: What is your name?", "name", "string")})
		result.RequestState = seal(secret, nil)
		return result, nil
	}
	payload, err := open(secret, req.Params.RequestState)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		name, _ := accepted(req.Params.InputResponses, "step1")["name"].(string)
		if payload, err = json.Marshal(progress{Name: name}); err != nil {
			return nil, err
		}
		result := question(mcp.InputRequestMap{"step2": elicit("Step 2: What is your favorite color?", "color", "string")})
		result.RequestState = seal(secret, payload)
		return result, nil
	}
	var before progress
	if err := json.Unmarshal(payload, &before); err != nil {
		return nil, err
	}
	color, _ := accepted(req.Params.InputResponses, "step2")["color"].(string)
	return answer(text("%s likes %s.", before.Name, color)), nil
}

func question(requests mcp.InputRequestMap) *mcp.CallToolResult {
	return &mcp.CallToolResult{InputRequests: requests}
}

func elicit(message, property, kind string) *mcp.ElicitParams {
	return &mcp.ElicitParams{Message: message, RequestedSchema: map[string]any{
		"type":       "object",
		"properties": map[string]any{property: map[string]any{"type": kind}},
		"required":   []string{property},
	}}
}

// accepted returns what the user answered, or nil without an answer.
func accepted(responses mcp.InputResponseMap, key string) map[string]any {
	result, ok := responses[key].(*mcp.ElicitResult)
	if !ok || result == nil || result.Action != "accept" {
		return nil
	}
	return result.Content
}

// sampled returns what the client's model answered.
func sampled(responses mcp.InputResponseMap, key string) (string, bool) {
	result, ok := responses[key].(*mcp.CreateMessageWithToolsResult)
	if !ok || result == nil {
		return "", false
	}
	for _, content := range result.Content {
		if content, ok := content.(*mcp.TextContent); ok {
			return content.Text, true
		}
	}
	return "", false
}

// seal returns payload with its MAC, so that only this server can make such a state.
func seal(secret string, payload []byte) string {
	return base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(mac(secret, payload))
}

func open(secret, state string) ([]byte, error) {
	body, sum, _ := strings.Cut(state, ".")
	payload, err := base64.RawURLEncoding.DecodeString(body)
	got, errSum := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || errSum != nil || !hmac.Equal(got, mac(secret, payload)) {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the state is not from this server, or was changed"}
	}
	return payload, nil
}

func mac(secret string, payload []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(payload)
	return h.Sum(nil)
}
