package mcpauthfasthttp

import (
	"context"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/valyala/fasthttp"
)

// A Decider decides about requests: a *[mcpauth.ResourceServer], or the *[mcpauth.Endpoint] that Mount of an adapter makes of
// it and a handler.
type Decider interface {
	Authenticate(ctx context.Context, req mcpauth.Request) mcpauth.Decision
}

// Guard answers a request itself if rs refuses it, and lets next answer it otherwise; it returns what next returns. It is
// [Middleware] for routers that have a context and paths of their own.
//
// parent is the request's context so far, and next gets a child of it, which carries the session until the response is
// finished, streams included. path is the one that was routed, percent-encoded: that of a metadata document is answered with
// the document. When next has returned or panicked, the response has the CORS headers of the decision, and a connection on
// which some of the request's body may be left is closed after it. Guard panics when rs is nil.
//
// With a *[mcpauth.Endpoint], next has to run the bridge to the same endpoint, and nothing else: it gets requests without
// credentials, too, about which only the endpoint can decide.
func Guard(parent context.Context, ctx *fasthttp.RequestCtx, rs Decider, path string, next func(context.Context) error) error {
	a := arrive(ctx)
	if a&refused != 0 {
		return nil
	}
	decision, ok := decided(ctx, rs, path)
	if !ok {
		lines := linesOf(&ctx.Request.Header)
		decision = rs.Authenticate(parent, mcpauth.Request{Method: alias(ctx.Method()), Path: path, Header: lines.get})
		lines.release()
	}
	if decision.Reply != nil {
		writeReply(ctx, &decision, discard(ctx, a))
		settle(ctx, arrive(ctx))
		return nil
	}
	answer := cors(&ctx.Response.Header, &decision)
	inner, end := decision.NewContext(parent)
	ctx.SetUserValue(end, end) // fasthttp closes it when the response was written
	defer func() {             // after a panic too: a middleware in front may recover
		if ctx.LastTimeoutErrorResponse() != nil {
			_ = end.Close() // a middleware in front has answered long ago, and fasthttp leaves ctx alone
			return
		}
		setCORS(&ctx.Response.Header, &answer)
		settle(ctx, arrive(ctx))
	}()
	return next(inner)
}

// routedPath returns the path of a request as it was sent, or as a handler in front has changed it. It is an alias.
func routedPath(ctx *fasthttp.RequestCtx) string { return alias(ctx.URI().PathOriginal()) }
