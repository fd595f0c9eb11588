package mcpauthgosdk

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// The go-sdk's own RequireBearerToken would read every byte of a token that was judged already, and copy the request once
// more. The contexts here answer for it, and for mcpauth, under the keys that both ask for.
var (
	tokenInfoKey = keyOf(func(ctx context.Context) { auth.TokenInfoFromContext(ctx) })
	contextKey   = keyOf(func(ctx context.Context) { _, _ = mcpauth.SessionFromContext(ctx) })
)

// keyOf returns the key that get asks its context for.
func keyOf(get func(ctx context.Context)) any {
	asked := &keyContext{Context: context.Background()}
	get(asked)
	return asked.key
}

type keyContext struct {
	context.Context
	key any
}

func (c *keyContext) Value(key any) any {
	c.key = key
	return nil
}

// mustBeSeen panics when the go-sdk does not find the caller in a requestContext: without it, everybody could use
// everybody's MCP session.
func mustBeSeen() {
	if ctx := (&requestContext{Context: context.Background()}); auth.TokenInfoFromContext(ctx) != &ctx.info {
		panic("mcpauthgosdk: this version of the go-sdk looks for its TokenInfo elsewhere; use the one in mcpauthgosdk's go.mod")
	}
}

// A requestContext is the context of a request that is handed to the go-sdk, which keeps it for all calls of an MCP
// session. Only the go-sdk finds the caller in it: for everybody else it would soon be the wrong one.
type requestContext struct {
	context.Context
	info       auth.TokenInfo
	publicHost bool // the Host header is that of the resource
}

func (c *requestContext) Value(key any) any {
	switch key {
	case tokenInfoKey:
		return &c.info
	case contextKey:
		return nil
	case http.LocalAddrContextKey:
		// The go-sdk compares the Host header with the address that the connection came in at. A page that rebinds a name
		// has a name of its own, never this one.
		if c.publicHost {
			return nil
		}
	}
	return c.Context.Value(key)
}

// A callContext is the context of one call: that of the request which opened the MCP session, but for the caller.
type callContext struct {
	context.Context
	info    *auth.TokenInfo
	session *mcpauth.Session
}

func (c *callContext) Value(key any) any {
	switch key {
	case tokenInfoKey:
		return c.info
	case contextKey:
		return c.session
	}
	return c.Context.Value(key)
}
