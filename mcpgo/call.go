package mcpauthmcpgo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// callKey is the key under which a call answers with itself.
type callKey struct{}

// callIn returns the call that ctx belongs to, nil when it did not come through a Handler.
func callIn(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// A call is the context of a request that is passed to mcp-go. mcp-go derives the tool's context from it, so the tool gets
// the values of its own request.
type call struct {
	context.Context // of the request, which has the session until the request is answered
	handler         *sdkHandler
	session         *mcpauth.Session // nil without credentials
	inner           string           // mcp-go's id for what belongs to the call, if it was set here
	opened          string           // mcp-go's id of the MCP session that the call opens without credentials
	publicHost      bool             // the Host header is that of the resource
	task            atomic.Bool      // the call has created a task, which goes on
}

// sessionKey is the key that mcpauth.SessionFromContext asks its context for. It is not exported, so it is found out by
// calling the function.
var sessionKey = func() any {
	asked := &keyContext{Context: context.Background()}
	_, _ = mcpauth.SessionFromContext(asked)
	return asked.key
}()

type keyContext struct {
	context.Context
	key any
}

func (c *keyContext) Value(key any) any {
	c.key = key
	return nil
}

func (c *call) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case sessionKey:
		if c.task.Load() && c.session != nil {
			return c.session
		}
	case http.LocalAddrContextKey:
		if c.publicHost {
			// mcp-go compares the Host header with the address of the connection. A page that rebinds a name uses a name of
			// its own, never this one.
			return nil
		}
	}
	return c.Context.Value(key)
}

// errNoCaller is the answer to calls that came in past Handler, or whose context ContextFunc has replaced.
var errNoCaller = errors.New("mcpauthmcpgo: nothing says who makes this call; mount what mcpauthmcpgo.Handler returns, " +
	"and let ContextFunc derive its context from the one that it is given")

// addHooks adds the hooks by which Handler learns what the messages are.
func addHooks(hooks *server.Hooks) {
	hooks.AddOnRequestInitialization(func(ctx context.Context, _, _ any) error {
		if callIn(ctx) == nil && overHTTP(server.ClientSessionFromContext(ctx)) {
			return errNoCaller
		}
		return nil
	})
	hooks.AddBeforeSubscriptionsListen(func(ctx context.Context, _ any, _ *mcp.SubscriptionsListenRequest) {
		mcpauth.EndWithToken(ctx) // whatever the headers say: this is a stream
	})
	hooks.AddAfterCallTool(func(ctx context.Context, _ any, _ *mcp.CallToolRequest, result any) {
		if _, created := result.(*mcp.CreateTaskResult); !created {
			return
		}
		if c := callIn(ctx); c != nil {
			c.task.Store(true)
		}
	})
	hooks.AddOnError(stepUpLate)
}

// overHTTP reports whether session is that of one of mcp-go's HTTP transports. Only the names of their types, which are not
// exported, tell them from the sessions of stdio, of clients in the same process, and of other transports.
func overHTTP(session server.ClientSession) bool {
	switch fmt.Sprintf("%T", session) {
	case "*server.sseSession", "*server.streamableHttpSession":
		return true
	}
	return false
}
