//nolint:staticcheck // roots, sampling and logging are deprecated as of 2026-07-28, and part of the suite
package everything

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type none struct{}

// add adds a tool without arguments.
func add(server *mcp.Server, name, description string, tool func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error)) {
	mcp.AddTool(server, &mcp.Tool{Name: name, Description: description},
		func(ctx context.Context, req *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
			result, err := tool(ctx, req)
			return result, nil, err
		})
}

func answer(contents ...mcp.Content) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: contents}
}

func addContentTools(server *mcp.Server) {
	constant := func(name, description string, contents ...mcp.Content) {
		add(server, name, description, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return answer(contents...), nil
		})
	}
	image := &mcp.ImageContent{Data: pixel(), MIMEType: "image/png"}
	constant("test_simple_text", "Answers with a text.", text("This is a simple text response for testing."))
	constant("test_image_content", "Answers with an image.", image)
	constant("test_audio_content", "Answers with a sound.", &mcp.AudioContent{Data: silence(), MIMEType: "audio/wav"})
	constant("test_embedded_resource", "Answers with a resource.",
		embedded("test://embedded-resource", "This is an embedded resource content."))
	constant("test_multiple_content_types", "Answers with a text, an image and a resource.",
		text("Multiple content types test:"), image, embedded("test://mixed-content-resource", "One of three."))
	add(server, "test_error_handling", "Fails.", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, errors.New("this tool intentionally returns an error for testing")
	})

	// Schemas have to reach the client unchanged (JSON Schema 2020-12).
	mcp.AddTool(server, &mcp.Tool{
		Name: "json_schema_2020_12_tool", Description: "Has a schema with a bit of everything.",
		InputSchema: json.RawMessage(schema2020),
	}, func(_ context.Context, _ *mcp.CallToolRequest, arguments map[string]any) (*mcp.CallToolResult, any, error) {
		return answer(text("%v", arguments)), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{
		Name: "test_x_mcp_header", Description: "Has an argument that clients repeat in a header.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{
			"region":{"type":"string","description":"repeated in Mcp-Param-Region","x-mcp-header":"Region"},
			"level":{"type":"integer","description":"not repeated"}}}`),
	}, func(_ context.Context, _ *mcp.CallToolRequest, arguments map[string]any) (*mcp.CallToolResult, any, error) {
		return answer(text("%v", arguments)), nil, nil
	})
}

const schema2020 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {"address": {
		"$anchor": "addressDef",
		"type": "object",
		"properties": {"street": {"type": "string"}, "city": {"type": "string"}}
	}},
	"properties": {
		"name": {"type": "string"},
		"address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"},
		"email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`

// pause waits between two messages of one call, so that each is flushed by itself. The suite requires it.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

func addStreamingTools(server *mcp.Server) {
	add(server, "test_tool_with_logging", "Logs while it works.", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, message := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			if err := log(ctx, req, message); err != nil {
				return nil, err
			}
			pause(ctx)
		}
		return answer(text("Three messages were logged.")), nil
	})
	add(server, "test_tool_with_progress", "Tells how far it is.", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		token := req.Params.GetProgressToken()
		for _, percent := range []float64{0, 50, 100} {
			if token != nil {
				if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
					ProgressToken: token, Progress: percent, Total: 100, Message: fmt.Sprintf("%v %%", percent),
				}); err != nil {
					return nil, err
				}
			}
			pause(ctx)
		}
		return answer(text("%v", token)), nil
	})
	add(server, "test_reconnection", "Closes its stream, and answers on the next.", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Extra != nil && req.Extra.CloseSSEStream != nil {
			req.Extra.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 10 * time.Millisecond})
		}
		pause(ctx)
		return answer(text("This came after the stream was closed.")), nil
	})
}

func log(ctx context.Context, req *mcp.CallToolRequest, message string) error {
	return req.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: message})
}

// addDiagnosticTools adds the tools of the scenario server-stateless.
func addDiagnosticTools(server *mcp.Server) {
	add(server, "test_missing_capability", "Needs a client that can sample.", func(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if can := req.ClientCapabilities(); can != nil && can.Sampling != nil {
			return answer(text("The client can sample.")), nil
		}
		data, err := json.Marshal(mcp.MissingRequiredClientCapabilityData{
			RequiredCapabilities: &mcp.ClientCapabilities{Sampling: &mcp.SamplingCapabilities{}},
		})
		if err != nil {
			return nil, err
		}
		return nil, &jsonrpc.Error{Code: mcp.CodeMissingRequiredClientCapabilities, Message: "the client can't sample", Data: data}
	})
	add(server, "test_streaming_elicitation", "Streams progress and no request.", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if token := req.Params.GetProgressToken(); token != nil {
			if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1, Total: 1}); err != nil {
				return nil, err
			}
		}
		return answer(text("The client was asked nothing.")), nil
	})
	add(server, "test_logging_tool", "Logs, which reaches only clients that asked for it.", func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return answer(text("A message was logged.")), log(ctx, req, "test_logging_tool was called")
	})
	add(server, "test_trigger_tool_change", "Changes the list of tools.", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		add(server, "transient_tool", "Is there after a change.", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return answer(), nil
		})
		return answer(text("The list of tools has changed.")), nil
	})
	add(server, "test_trigger_prompt_change", "Changes the list of prompts.", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		server.AddPrompt(&mcp.Prompt{Name: "transient_prompt", Description: "Is there after a change."},
			func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				return &mcp.GetPromptResult{Messages: messages(text("Nothing."))}, nil
			})
		return answer(text("The list of prompts has changed.")), nil
	})
}
