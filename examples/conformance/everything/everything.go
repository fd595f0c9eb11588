// Package everything is the MCP server that the official conformance suite tests: it has the tools, prompts and resources
// that the suite's scenarios name. It does not authenticate its callers.
package everything

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// New returns the server. The suite sets the names of tools, prompts and resources; the server's name and its texts are
// ours.
func New() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "mcpauth-conformance", Version: "0.1.0"}, &mcp.ServerOptions{
		CompletionHandler:  complete,
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	addContentTools(server)
	addStreamingTools(server)
	addAskingTools(server)
	addDiagnosticTools(server)
	addRounds(server, rand.Text())
	addResources(server)
	addPrompts(server)
	return server
}

// A Mode is the way in which an MCP server keeps sessions.
type Mode int

// The modes.
const (
	Stateful  Mode = iota // with sessions (MCP 2025-11-25)
	Resumable             // with sessions, and streams that clients can resume
	Stateless             // without sessions (MCP 2026-07-28)
)

// Handler serves server over HTTP.
func Handler(server *mcp.Server, mode Mode) http.Handler {
	options := &mcp.StreamableHTTPOptions{Stateless: mode == Stateless}
	if mode == Resumable {
		options.EventStore = mcp.NewMemoryEventStore(nil)
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
}

func complete(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	var values []string
	for _, value := range []string{"paris", "park", "party", "testValue1"} {
		if strings.HasPrefix(value, req.Params.Argument.Value) {
			values = append(values, value)
		}
	}
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: append([]string{}, values...), Total: len(values)}}, nil
}

const templatePrefix, templateSuffix = "test://template/", "/data"

func addResources(server *mcp.Server) {
	add := func(uri, mimeType, description string, contents mcp.ResourceContents) {
		contents.URI, contents.MIMEType = uri, mimeType
		server.AddResource(&mcp.Resource{
			URI: uri, Name: strings.TrimPrefix(uri, "test://"), MIMEType: mimeType, Description: description,
		}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			answer := contents
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{&answer}}, nil
		})
	}
	add("test://static-text", "text/plain", "A text that never changes.",
		mcp.ResourceContents{Text: "This is the content of the static text resource."})
	add("test://static-binary", "image/png", "An image that never changes.", mcp.ResourceContents{Blob: pixel()})
	add("test://watched-resource", "text/plain", "A text that can be subscribed to.", mcp.ResourceContents{Text: "Nothing new."})

	server.AddResourceTemplate(&mcp.ResourceTemplate{
		URITemplate: templatePrefix + "{id}" + templateSuffix, Name: "template", MIMEType: "application/json",
		Description: "A document about the id in its address.",
	}, func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		uri := req.Params.URI
		id := strings.TrimSuffix(strings.TrimPrefix(uri, templatePrefix), templateSuffix)
		document, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
		if err != nil {
			return nil, err
		}
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
			{URI: uri, MIMEType: "application/json", Text: string(document)},
		}}, nil
	})
}

func addPrompts(server *mcp.Server) {
	add := func(name, description string, say func(arguments map[string]string) []mcp.Content, arguments ...string) {
		prompt := &mcp.Prompt{Name: name, Description: description}
		for _, argument := range arguments {
			prompt.Arguments = append(prompt.Arguments, &mcp.PromptArgument{Name: argument, Description: "any text", Required: true})
		}
		server.AddPrompt(prompt, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{Description: description, Messages: messages(say(req.Params.Arguments)...)}, nil
		})
	}
	add("test_simple_prompt", "A prompt without arguments.", func(map[string]string) []mcp.Content {
		return []mcp.Content{text("This is a simple prompt for testing.")}
	})
	add("test_prompt_with_arguments", "A prompt that repeats its arguments.", func(arguments map[string]string) []mcp.Content {
		return []mcp.Content{text("Prompt with arguments: arg1='%s', arg2='%s'", arguments["arg1"], arguments["arg2"])}
	}, "arg1", "arg2")
	add("test_prompt_with_embedded_resource", "A prompt with a resource in it.", func(arguments map[string]string) []mcp.Content {
		return []mcp.Content{
			embedded(arguments["resourceUri"], "Embedded resource content for testing."),
			text("Please process the embedded resource above."),
		}
	}, "resourceUri")
	add("test_prompt_with_image", "A prompt with an image in it.", func(map[string]string) []mcp.Content {
		return []mcp.Content{&mcp.ImageContent{Data: pixel(), MIMEType: "image/png"}, text("Please analyze the image above.")}
	})
}

func messages(contents ...mcp.Content) []*mcp.PromptMessage {
	var all []*mcp.PromptMessage
	for _, content := range contents {
		all = append(all, &mcp.PromptMessage{Role: "user", Content: content})
	}
	return all
}

func text(format string, args ...any) *mcp.TextContent {
	return &mcp.TextContent{Text: fmt.Sprintf(format, args...)}
}

func embedded(uri, content string) *mcp.EmbeddedResource {
	return &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: uri, MIMEType: "text/plain", Text: content}}
}
