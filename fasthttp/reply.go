package mcpauthfasthttp

import (
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// writeReply sets the response to a decision that has a reply. unread tells that the client may still be sending.
func writeReply(ctx *fasthttp.RequestCtx, decision *mcpauth.Decision, unread bool) {
	setHeader(&ctx.Response.Header, decision)
	ctx.SetStatusCode(decision.Reply.Status)
	ctx.Response.Header.SetNoDefaultContentType(true)
	respond(ctx, decision.Reply.Body, unread)
}
