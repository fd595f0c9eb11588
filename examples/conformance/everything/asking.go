//nolint:staticcheck // roots, sampling and logging are deprecated as of 2026-07-28, and part of the suite
package everything

import (
	"context"
	"encoding/json"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// addAskingTools adds tools that ask the client something during a call, over its stream (MCP 2025-11-25).
func addAskingTools(server *mcp.Server) {
	type prompt struct {
		Prompt string `json:"prompt" jsonschema:"what to ask the model"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "test_sampling", Description: "Asks the client's model."},
		func(ctx context.Context, req *mcp.CallToolRequest, arguments prompt) (*mcp.CallToolResult, any, error) {
			result, err := req.Session.CreateMessage(ctx, sampling(arguments.Prompt, 100))
			if err != nil {
				return nil, nil, err
			}
			said := "something that is not text"
			if content, ok := result.Content.(*mcp.TextContent); ok {
				said = content.Text
			}
			return answer(text("LLM response: %s", said)), nil, nil
		})

	type message struct {
		Message string `json:"message" jsonschema:"what to ask the user"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "test_elicitation", Description: "Asks the user."},
		func(ctx context.Context, req *mcp.CallToolRequest, arguments message) (*mcp.CallToolResult, any, error) {
			result, err := ask(ctx, req, arguments.Message, usernameSchema)
			return result, nil, err
		})
	add(server, "test_elicitation_sep1034_defaults", "Asks the user, with answers filled in.",
		func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return ask(ctx, req, "Is this right?", defaultsSchema)
		})
	add(server, "test_elicitation_sep1330_enums", "Asks the user to choose, in five ways.",
		func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return ask(ctx, req, "What shall it be?", enumsSchema)
		})
}

func ask(ctx context.Context, req *mcp.CallToolRequest, question, schema string) (*mcp.CallToolResult, error) {
	result, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: question, RequestedSchema: json.RawMessage(schema)})
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(result.Content)
	if err != nil {
		return nil, err
	}
	return answer(text("Elicitation completed: action=%s, content=%s", result.Action, content)), nil
}

func sampling(question string, tokens int64) *mcp.CreateMessageParams {
	return &mcp.CreateMessageParams{
		Messages:  []*mcp.SamplingMessage{{Role: "user", Content: text("%s", question)}},
		MaxTokens: tokens,
	}
}

const usernameSchema = `{"type": "object", "required": ["username", "email"], "properties": {
	"username": {"type": "string", "description": "User's response"},
	"email": {"type": "string", "description": "User's email address"}
}}`

const defaultsSchema = `{"type": "object", "required": [], "properties": {
	"name": {"type": "string", "description": "a name", "default": "John Doe"},
	"age": {"type": "integer", "description": "in years", "default": 30},
	"score": {"type": "number", "description": "in points", "default": 95.5},
	"status": {"type": "string", "description": "a choice", "enum": ["active", "inactive", "pending"], "default": "active"},
	"verified": {"type": "boolean", "description": "yes or no", "default": true}
}}`

const enumsSchema = `{"type": "object", "required": [], "properties": {
	"untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
	"titledSingle": {"type": "string", "oneOf": [
		{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}, {"const": "value3", "title": "Third Option"}]},
	"legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
	"untitledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
	"titledMulti": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"anyOf": [
		{"const": "value1", "title": "First Choice"}, {"const": "value2", "title": "Second Choice"}, {"const": "value3", "title": "Third Choice"}]}}
}}`
