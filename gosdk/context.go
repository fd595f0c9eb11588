package mcpauthgosdk

import (
	"context"
	"net/http"
	"sync/atomic"
	"unsafe"

	"github.com/modelcontextprotocol/go-sdk/auth"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// These keys let the contexts here answer both the go-sdk and mcpauth. The go-sdk's own RequireBearerToken would read every
// byte of an already verified token again, and copy the request once more.
var (
	tokenInfoKey = keyOf(func(ctx context.Context) { auth.TokenInfoFromContext(ctx) })
	contextKey   = keyOf(func(ctx context.Context) { _, _ = mcpauth.SessionFromContext(ctx) })
)

// keyOf returns the key that get looks up in its context.
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

// mustBeSeen panics when the go-sdk does not find the caller in a requestContext. Without the caller, any user could use any
// MCP session.
func mustBeSeen() {
	if ctx := (&requestContext{Context: context.Background()}); auth.TokenInfoFromContext(ctx) != &ctx.info {
		panic("mcpauthgosdk: this version of the go-sdk looks for its TokenInfo elsewhere; use the version in mcpauthgosdk's go.mod")
	}
}

// requestKey is the key under which a requestContext returns itself.
type requestKey struct{}

func requestIn(ctx context.Context) *requestContext {
	c, _ := ctx.Value(requestKey{}).(*requestContext)
	return c
}

// A requestContext is the context of a request that is handed to the go-sdk, which keeps it for all calls of an MCP session.
// Only the go-sdk finds the caller in it, because later calls may have other callers. Its other values are there until its
// own request is answered, because they may not fit later calls either.
type requestContext struct {
	context.Context // of the request, with what the middlewares in front added
	rs              *mcpauth.ResourceServer
	session         *mcpauth.Session
	info            auth.TokenInfo
	request         http.Request // with this context, in the same piece of memory
	publicHost      bool         // the Host header is the resource's host

	finished atomic.Bool
	asked    atomic.Uint64 // how many values were asked for
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
		// Hide the local address, with which the go-sdk would compare the Host header. This Host is the resource's own, and
		// so not that of a page that rebinds its name.
		return nil
	}
	if c.finished.Load() {
		return nil
	}
	return c.Context.Value(key)
}

// A callContext is the context of one call. The go-sdk derives it from the context of the request that opened the MCP
// session. The caller and values of that request are replaced with those of the call's own request; values that the go-sdk
// and receiving middlewares added stay. The go-sdk cancels it.
type callContext struct {
	context.Context
	info     *auth.TokenInfo
	opening  *requestContext // nil without HTTP, as request is
	request  *requestContext // of the call
	returned atomic.Bool     // whether the call has returned
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
	// A value was added after the opening request if it was found without asking that request, or differs from its value. An
	// added nil counts, too: it hides the request's value.
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

// identical reports whether two values are the same in memory. Comparing them with == would panic for maps and slices, and
// confuse two tenants of the same name.
func identical(a, b any) bool {
	type words [2]unsafe.Pointer
	return *(*words)(unsafe.Pointer(&a)) == *(*words)(unsafe.Pointer(&b)) //nolint:gosec // an interface is two words
}
