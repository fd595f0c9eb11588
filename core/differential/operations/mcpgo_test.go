package operations_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

var silent = slog.New(slog.DiscardHandler)

// newMCPGoServer returns a server of mcp-go that has some of the operations, and records what it runs.
func newMCPGoServer(r *recorder, has func(op) bool) *server.MCPServer {
	hooks := new(server.Hooks)
	hooks.AddAfterSubscribe(func(_ context.Context, _ any, req *mcp.SubscribeRequest, _ *mcp.EmptyResult) {
		r.ran(resource, req.Params.URI)
	})
	hooks.AddBeforeSubscriptionsListen(func(_ context.Context, _ any, req *mcp.SubscriptionsListenRequest) {
		for _, uri := range req.Params.Notifications.ResourceSubscriptions {
			r.ran(resource, uri)
		}
	})
	s := server.NewMCPServer("operations", "1",
		server.WithHooks(hooks), server.WithLogger(silent), server.WithResourceCapabilities(true, true), server.WithPromptCapabilities(true),
		server.WithTaskCapabilities(true, true, true), server.WithCompletions(), server.WithLogging(),
		server.WithPromptCompletionProvider(completions{r}), server.WithResourceCompletionProvider(completions{r}))
	for _, name := range toolNames() {
		if !has(op{tool, name}) {
			continue
		}
		if name == "task" {
			s.AddTaskTool(mcp.NewTool(name, mcp.WithTaskSupport(mcp.TaskSupportOptional)),
				func(context.Context, mcp.CallToolRequest) (*mcp.CreateTaskResult, error) {
					r.later(tool, name)
					return &mcp.CreateTaskResult{}, nil
				})
			continue
		}
		s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			r.ran(tool, name)
			return mcp.NewToolResultText("done"), nil
		})
	}
	for name := range listedPrompts {
		if !has(op{prompt, name}) {
			continue
		}
		s.AddPrompt(mcp.NewPrompt(name), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			r.ran(prompt, name)
			return mcp.NewGetPromptResult("", []mcp.PromptMessage{}), nil
		})
	}
	read := func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		if !has(op{resource, req.Params.URI}) {
			return nil, server.ErrResourceNotFound // mcp-go makes another error of it than of a URI that no template matches
		}
		r.ran(resource, req.Params.URI)
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, Text: "x"}}, nil
	}
	for _, uri := range servedResources {
		if has(op{resource, uri}) {
			s.AddResource(mcp.NewResource(uri, uri), read)
		}
	}
	for _, template := range resourceTemplates {
		if has(op{resource, template}) {
			s.AddResourceTemplate(mcp.NewResourceTemplate(template, template), read)
		}
	}
	return s
}

func everything(op) bool { return true }

func newMCPGo(r *recorder, stateless bool) http.Handler {
	return server.NewStreamableHTTPServer(newMCPGoServer(r, everything), server.WithStateLess(stateless), server.WithStreamableHTTPLogger(silent))
}

// newMCPGoSSE answers as mcp-go's older transport does: it decodes the first document of a body, and ignores whatever
// follows.
func newMCPGoSSE(r *recorder) http.Handler { return sseOf(newMCPGoServer(r, everything)) }

func sseOf(s *server.MCPServer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var message json.RawMessage
		if err := json.NewDecoder(req.Body).Decode(&message); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		if answer, err := json.Marshal(s.HandleMessage(req.Context(), message)); err == nil {
			_, _ = w.Write(answer)
		}
	})
}

// completions records what completions are asked for.
type completions struct{ r *recorder }

func (c completions) CompletePromptArgument(_ context.Context, name string, _ mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	c.r.ran(prompt, name)
	return &mcp.Completion{}, nil
}

func (c completions) CompleteResourceArgument(_ context.Context, uri string, _ mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	c.r.ran(resource, uri)
	return &mcp.Completion{}, nil
}
