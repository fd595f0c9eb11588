// Package mcpauthgosdk brings the verified session to the tools of an MCP server on the official go-sdk: each call sees
// the session of its own request, an MCP session answers only to the user who opened it, and callers are shown only what
// their scopes allow.
//
// By itself the go-sdk shows a tool the context of the request that created the MCP session, which may be hours old and,
// once its id has leaked, somebody else's.
package mcpauthgosdk

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"

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
//
// Behind Handler, [mcpauth.SessionFromContext] works only where [Attach] makes it work. Everything else there has the
// context of the request that opened the MCP session, whose token may have other scopes, or be from another
// organization, than that of the call. The function that chooses a server for a request asks [Session].
//
// A proxy on the same machine may keep the Host header of the public URL: the go-sdk's protection against DNS rebinding
// lets that host pass, and still no other.
//
// Handler panics when rs or handler is nil, and when the go-sdk is a version that would not find the caller of a request.
func Handler(rs *mcpauth.ResourceServer, handler http.Handler) http.Handler {
	if rs == nil {
		panic("mcpauthgosdk: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
	if handler == nil {
		panic("mcpauthgosdk: nil handler")
	}
	mustBeSeen()
	public := ""
	if u, err := url.Parse(rs.Resource()); err == nil {
		public = u.Hostname()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		if err != nil {
			decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
			if decision.Reply != nil {
				decision.WriteReply(w)
				return
			}
			decision.SetHeader(w.Header())
			session = decision.Session
		}
		r = r.WithContext(&requestContext{
			Context:    r.Context(),
			info:       tokenInfo(session),
			publicHost: public != "" && strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), public),
		})
		// The go-sdk gives the tools all headers: what a tool doesn't have, it can't pass on (MCP "Token Passthrough").
		r.Header = maps.Clone(r.Header) // the original is still that of the middlewares in front
		delete(r.Header, "Authorization")
		handler.ServeHTTP(w, r)
	})
}

// tokenInfo is the go-sdk's view of session.
func tokenInfo(session *mcpauth.Session) auth.TokenInfo {
	return auth.TokenInfo{
		Scopes:     session.Scopes(),
		Expiration: session.ExpiresAt(),
		UserID:     session.Principal(),
		Extra:      map[string]any{sessionKey: session},
	}
}

// Session returns the session of a request behind [Handler], or [mcpauth.ErrNoSession]. It is for the function that
// mcp.NewStreamableHTTPHandler is given, which chooses the server of a new MCP session; tools use
// [mcpauth.SessionFromContext].
//
// What is chosen stays for as long as the MCP session lasts, whatever later tokens of the user say. To show callers
// different things by their scopes, use [Hide].
func Session(r *http.Request) (*mcpauth.Session, error) {
	if session := sessionOf(auth.TokenInfoFromContext(r.Context())); session != nil {
		return session, nil
	}
	return nil, mcpauth.ErrNoSession
}

// Attach makes [mcpauth.SessionFromContext] work in the tools, prompts, resources and completions of server: the context
// of each call carries the session of the request that made the call, and none when that request had none, as over
// stdio. auth.TokenInfoFromContext answers for the same request. The server's HTTP handler has to be wrapped by
// [Handler].
//
// It also makes room on the stack of the goroutine that the go-sdk starts for each call, before the go-sdk's own work
// would have the runtime copy that stack again and again: a tool call takes less time with Attach than without.
//
// A receiving middleware that is added to server later runs earlier, and finds no session: attach last.
func Attach(server *mcp.Server) {
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			makeRoom(false)
			info := infoOf(req)
			return next(&callContext{Context: ctx, info: info, session: sessionOf(info)}, method, req)
		}
	})
}

// infoOf returns what the go-sdk knows about the caller of req, nil when there was no HTTP request.
func infoOf(req mcp.Request) *auth.TokenInfo {
	if extra := req.GetExtra(); extra != nil {
		return extra.TokenInfo
	}
	return nil
}

func sessionOf(info *auth.TokenInfo) *mcpauth.Session {
	if info == nil {
		return nil
	}
	session, _ := info.Extra[sessionKey].(*mcpauth.Session)
	return session
}
