package operations_test

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// newGoSDK returns a server of the official SDK that records what it runs.
func newGoSDK(r *recorder, stateless bool) http.Handler {
	return goSDKHandler(newGoSDKServer(r, everything), stateless)
}

func goSDKHandler(server *mcp.Server, stateless bool) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless})
}

// newGoSDKServer returns a server that has some of the operations.
func newGoSDKServer(r *recorder, has func(op) bool) *mcp.Server {
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
		if !has(op{tool, name}) {
			continue
		}
		server.AddTool(&mcp.Tool{Name: name, InputSchema: map[string]any{"type": "object"}},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				r.ran(tool, name)
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil
			})
	}
	for name := range listedPrompts {
		if !has(op{prompt, name}) {
			continue
		}
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			r.ran(prompt, name)
			return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{}}, nil
		})
	}
	read := func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		if !has(op{resource, req.Params.URI}) {
			return nil, mcp.ResourceNotFoundError(req.Params.URI)
		}
		r.ran(resource, req.Params.URI)
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: req.Params.URI, Text: "x"}}}, nil
	}
	for _, uri := range servedResources {
		if has(op{resource, uri}) {
			server.AddResource(&mcp.Resource{Name: uri, URI: uri}, read)
		}
	}
	for _, template := range resourceTemplates {
		if has(op{resource, template}) {
			server.AddResourceTemplate(&mcp.ResourceTemplate{Name: template, URITemplate: template}, read)
		}
	}
	return server
}

func toolNames() []string {
	names := append([]string{}, unlistedTools...)
	for name := range listedTools {
		names = append(names, name)
	}
	return names
}
