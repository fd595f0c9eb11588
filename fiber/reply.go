package mcpauthfiber

import (
	"net/http"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// writeReply sets the response to a decision that has a reply. unread tells that the client may still be sending.
func writeReply(ctx *fasthttp.RequestCtx, decision *mcpauth.Decision, unread bool) {
	header := &ctx.Response.Header
	setHeader(header, decision.Header)
	setHeader(header, decision.Reply.Header)
	ctx.SetStatusCode(decision.Reply.Status)
	header.SetNoDefaultContentType(true)
	respond(ctx, decision.Reply.Body, unread)
}

// setHeader is [mcpauth.Decision.SetHeader] for fasthttp.
func setHeader(header *fasthttp.ResponseHeader, set http.Header) {
	for name, values := range set { // first, because newer fasthttp changes the order of the others
		if name != fasthttp.HeaderVary || len(values) == 0 {
			header.Del(name)
		}
	}
	for name, values := range set {
		addHeader(header, name, values)
	}
}
