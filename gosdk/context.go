package mcpauthgosdk

import (
	"context"
	"net/http"
	"sync/atomic"
	"unsafe"

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

// requestKey is the key under which a requestContext answers with itself.
type requestKey struct{}

func requestIn(ctx context.Context) *requestContext {
	c, _ := ctx.Value(requestKey{}).(*requestContext)
	return c
}

// A requestContext is the context of a request that is handed to the go-sdk, which keeps it for all calls of an MCP
// session. Only the go-sdk finds the caller in it: for everybody else it would soon be the wrong one. Its other values
// are there until its own request is answered, and then are somebody else's past.
type requestContext struct {
	context.Context // of the request, with what the middlewares in front added
	session         *mcpauth.Session
	info            auth.TokenInfo
	publicHost      bool // the Host header is that of the resource

	finished atomic.Bool
	asked    atomic.Uint64 // how often values were asked for
}

func (c *requestContext) Value(key any) any {
	switch key {
	case tokenInfoKey:
		return &c.info
	case contextKey:
		return nil
	case requestKey{}:
		return c
	}
	c.asked.Add(1)
	if key == http.LocalAddrContextKey && c.publicHost {
		// The go-sdk compares the Host header with the address that the connection came in at. A page that rebinds a name
		// has a name of its own, never this one.
		return nil
	}
	if c.finished.Load() {
		return nil
	}
	return c.Context.Value(key)
}

// A callContext is the context of one call. The go-sdk derives it from the context of the request that opened the MCP
// session; that request's caller and values are replaced by those of the call's own request, and what the go-sdk and
// receiving middlewares added stays. It is cancelled as the go-sdk says.
type callContext struct {
	context.Context
	info     *auth.TokenInfo
	opening  *requestContext // nil without HTTP, and then request is, too
	request  *requestContext // of the call
	returned atomic.Bool     // the call has
}

func (c *callContext) Value(key any) any {
	switch key {
	case tokenInfoKey:
		return c.info
	case contextKey:
		if c.request == nil || c.returned.Load() {
			return nil
		}
		return c.request.session
	}
	if c.opening == nil {
		return c.Context.Value(key)
	}
	// What was found without asking the opening request, or is not what that one has, was added on the way: a nil, too,
	// which hides what the request has.
	asked := c.opening.asked.Load()
	value := c.Context.Value(key)
	if c.opening.asked.Load() == asked || value != nil && !identical(value, c.opening.Context.Value(key)) {
		return value
	}
	if c.request == nil {
		return nil
	}
	return c.request.Context.Value(key)
}

// identical reports whether two values are one in memory. Comparing them would panic for maps and slices, and take two
// tenants of the same name for one.
func identical(a, b any) bool {
	type words [2]unsafe.Pointer
	return *(*words)(unsafe.Pointer(&a)) == *(*words)(unsafe.Pointer(&b)) //nolint:gosec // an interface is two words
}
