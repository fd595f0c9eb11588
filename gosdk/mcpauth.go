// Package mcpauthgosdk brings the verified session to the tools of an MCP server on the official go-sdk: each call sees
// the session of its own request, and an MCP session answers only to the user who opened it.
//
// By itself the go-sdk shows a tool the context of the request that created the MCP session, which may be hours old and,
// once its id has leaked, somebody else's.
package mcpauthgosdk

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// sessionKey is where the session travels in auth.TokenInfo.Extra.
const sessionKey = "github.com/scalekit-mcp/mcpauth.Session"

// Handler hands the session of each request on to the go-sdk, as req.Extra.TokenInfo, whose UserID is the session's
// [mcpauth.Session.Principal]. A request on an MCP session that another principal opened gets 403, whatever its method
// (MCP "Session Hijacking").
//
// handler is what mcp.NewStreamableHTTPHandler returns, and the result goes to an adapter's Mount. Should it be reached
// without the middleware in front, rs decides about the request here: it is never open.
func Handler(rs *mcpauth.ResourceServer, handler http.Handler) http.Handler {
	if rs == nil {
		panic("mcpauthgosdk: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
	if handler == nil {
		panic("mcpauthgosdk: nil handler")
	}
	// The context key that the go-sdk looks at can be set by its own middleware only. That one is told to accept what
	// was accepted already: a second judgement, by another clock, could only contradict the first.
	const never = 100 * 365 * 24 * time.Hour
	identified := auth.RequireBearerToken(tokenInfo, &auth.RequireBearerTokenOptions{ClockSkew: never})(withoutToken(handler))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := mcpauth.SessionFromContext(r.Context()); err != nil {
			decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
			if decision.Reply != nil {
				decision.WriteReply(w)
				return
			}
			decision.SetHeader(w.Header())
			r = r.WithContext(mcpauth.NewContext(r.Context(), decision.Session))
		}
		identified.ServeHTTP(w, r)
	})
}

// withoutToken keeps the token from the tools, which the go-sdk would give all headers of the request: what a tool
// doesn't have, it can't pass on (MCP "Token Passthrough").
func withoutToken(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := *r
		copied.Header = maps.Clone(r.Header) // the original is still that of the middlewares in front
		delete(copied.Header, "Authorization")
		handler.ServeHTTP(w, &copied)
	})
}

// tokenInfo is the go-sdk's view of the session in ctx. It does not look at the token.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{
		Scopes:     session.Scopes(),
		Expiration: session.ExpiresAt(),
		UserID:     session.Principal(),
		Extra:      map[string]any{sessionKey: session},
	}, nil
}

// Attach makes [mcpauth.SessionFromContext] work in the tools, prompts and resources of server: the context of each call
// carries the session of the request that made the call, and none when that request had none. The server's HTTP handler
// has to be wrapped by [Handler].
func Attach(server *mcp.Server) {
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			return next(mcpauth.NewContext(ctx, sessionOf(req)), method, req)
		}
	})
}

func sessionOf(req mcp.Request) *mcpauth.Session {
	extra := req.GetExtra()
	if extra == nil || extra.TokenInfo == nil {
		return nil
	}
	session, _ := extra.TokenInfo.Extra[sessionKey].(*mcpauth.Session)
	return session
}
