package operations_test

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// newGoSDK returns a server of the official SDK that records what it runs.
func newGoSDK(r *recorder, stateless bool) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "operations", Version: "1"}, &mcp.ServerOptions{
		CompletionHandler: func(_ context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			if ref := req.Params.Ref; ref.Type == "ref/prompt" {
				r.ran(prompt, ref.Name)
			} else {
				r.ran(resource, ref.URI)
			}
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{}}}, nil
		},
		SubscribeHandler: func(_ context.Context, req *mcp.SubscribeRequest) error {
			r.ran(resource, req.Params.URI)
			return nil
		},
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	for _, name := range toolNames() {
		server.AddTool(&mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				r.ran(tool, name)
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil
			})
	}
	for name := range listedPrompts {
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			r.ran(prompt, name)
			return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{}}, nil
		})
	}
	read := func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		r.ran(resource, req.Params.URI)
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: req.Params.URI, Text: "x"}}}, nil
	}
	for _, uri := range servedResources {
		server.AddResource(&mcp.Resource{Name: uri, URI: uri}, read)
	}
	for _, template := range resourceTemplates {
		server.AddResourceTemplate(&mcp.ResourceTemplate{Name: template, URITemplate: template}, read)
	}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless})
}

func toolNames() []string {
	names := append([]string{}, unlistedTools...)
	for name := range listedTools {
		names = append(names, name)
	}
	return names
}
