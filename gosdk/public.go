package mcpauthgosdk

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// IsPublic reports whether a request without credentials may use the MCP session that it names.
func (h *sdkHandler) IsPublic(r *http.Request) bool { return h.public.IsPublic(r) }

// ServePublic passes a request without credentials to the go-sdk. It returns false if its MCP session got a user meanwhile, or
// if there are too many MCP sessions without one.
func (h *sdkHandler) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) (served bool) {
	ctx := h.newContext(r, nil)
	defer ctx.finished.Store(true)
	return h.public.ServePublic(w, &ctx.request, opens, h.next.ServeHTTP)
}

// end has the go-sdk end an MCP session that was opened without credentials.
func (h *sdkHandler) end(id string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, h.rs.Resource(), http.NoBody)
	if err != nil {
		return // unreachable: the resource is a URL
	}
	ctx := h.newContext(r, nil)
	defer ctx.finished.Store(true)
	ctx.request.Header.Set(sessionHeader, id)
	h.next.ServeHTTP(discard{}, &ctx.request)
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// forgetInfo takes the caller from a call without credentials: there is none, and tools that look for one must not find a
// caller without a name.
func (c *callContext) forgetInfo(req mcp.Request) {
	c.info = nil
	if extra := req.GetExtra(); extra != nil {
		extra.TokenInfo = nil
	}
}
