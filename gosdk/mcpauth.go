// Package mcpauthgosdk brings the verified session to the tools of an MCP server on the official go-sdk: each call sees
// the session of its own request, an MCP session answers only to the user who opened it, and callers are shown only what
// their scopes allow.
//
// By itself the go-sdk shows a tool the context of the request that created the MCP session, which may be hours old and,
// once its id has leaked, somebody else's.
package mcpauthgosdk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// requestExtra is where a request's context, and with it its session, travels in auth.TokenInfo.Extra.
const requestExtra = "github.com/scalekit-mcp/mcpauth"

// Handler hands the session of each request on to the go-sdk, as req.Extra.TokenInfo, whose UserID is the session's
// [mcpauth.Session.Principal]. A request on an MCP session that another principal opened gets 403, whatever its method
// (MCP "Session Hijacking"), and is logged; one with two Mcp-Session-Id headers gets 400.
//
// handler is what mcp.NewStreamableHTTPHandler returns, and the result goes to an adapter's Mount. Should it be reached
// without the middleware in front, or behind that of another resource server, rs decides about the request here: it is
// never open. The scopes that rs requires are required in either case.
//
// Behind Handler, [mcpauth.SessionFromContext] works only where [Attach] makes it work. Everything else there has the
// context of the request that opened the MCP session, whose token may have other scopes, or be from another
// organization, than that of the call. The function that chooses a server for a request asks [Session]; it sees that
// request's own values.
//
// A proxy on the same machine may keep the Host header of the public URL: the go-sdk's protection against DNS rebinding
// lets that host pass, and still no other.
//
// Handler panics when rs or handler is nil, when the go-sdk is a version that would not find the caller of a request, and
// when handler is that of mcp.NewSSEHandler: that transport hands no caller on, so that whoever knows a session's id
// could post to it. Behind a wrapper that hides it, its calls fail where [Attach] sits.
func Handler(rs *mcpauth.ResourceServer, handler http.Handler) http.Handler {
	if rs == nil {
		panic("mcpauthgosdk: nil *mcpauth.ResourceServer; did mcpauth.New return an error?")
	}
	if handler == nil {
		panic("mcpauthgosdk: nil handler")
	}
	if _, sse := handler.(*mcp.SSEHandler); sse {
		panic("mcpauthgosdk: the go-sdk's SSE transport does not say who makes a call; use mcp.NewStreamableHTTPHandler")
	}
	mustBeSeen()
	h := &sdkHandler{rs: rs, next: handler}
	if u, err := url.Parse(rs.Resource()); err == nil {
		h.publicHost = u.Hostname()
	}
	serve := h.serve
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, serve) })
}

type sdkHandler struct {
	rs         *mcpauth.ResourceServer
	next       http.Handler
	publicHost string
}

const sessionHeader = "Mcp-Session-Id"

// serve hands an allowed request on to the go-sdk.
func (h *sdkHandler) serve(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, "no session", http.StatusInternalServerError) // unreachable: Serve has put it there
		return
	}
	ids := r.Header[sessionHeader]
	if len(ids) > 1 { // which of them did a proxy in front look at?
		http.Error(w, "more than one "+sessionHeader, http.StatusBadRequest)
		return
	}
	ctx := &requestContext{
		Context:    r.Context(),
		session:    session,
		publicHost: h.publicHost != "" && strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), h.publicHost),
	}
	ctx.info = tokenInfo(ctx)
	defer ctx.finished.Store(true)
	r = r.WithContext(ctx)
	// The go-sdk gives the tools all headers: what a tool doesn't have, it can't pass on (MCP "Token Passthrough").
	r.Header = maps.Clone(r.Header) // the original is still that of the middlewares in front
	delete(r.Header, "Authorization")
	if len(ids) == 0 {
		h.next.ServeHTTP(w, r)
		return
	}
	seen := &foreignWriter{ResponseWriter: w}
	h.next.ServeHTTP(seen, r)
	if seen.foreign {
		h.rs.LogRefusal(ctx, mcpauth.OutcomeForeignSession, "the MCP session belongs to another user",
			"nothing to do here if it happens once; if it goes on, the ids of MCP sessions have leaked", slog.Any("session", session))
	}
}

// A foreignWriter notices that the go-sdk refuses a request on another user's MCP session.
type foreignWriter struct {
	http.ResponseWriter
	forbidden, foreign bool
}

func (w *foreignWriter) WriteHeader(status int) {
	w.forbidden = status == http.StatusForbidden
	w.ResponseWriter.WriteHeader(status)
}

func (w *foreignWriter) Write(p []byte) (int, error) {
	if w.forbidden && bytes.HasPrefix(p, []byte("session user mismatch")) {
		w.foreign = true
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController the writer below.
func (w *foreignWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for those who look for an http.Flusher.
func (w *foreignWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// tokenInfo is the go-sdk's view of a request's session.
func tokenInfo(ctx *requestContext) auth.TokenInfo {
	return auth.TokenInfo{
		Scopes:     ctx.session.Scopes(),
		Expiration: ctx.session.ExpiresAt(),
		UserID:     ctx.session.Principal(),
		Extra:      map[string]any{requestExtra: ctx},
	}
}

// Session returns the session of a request behind [Handler], or [mcpauth.ErrNoSession], which it is also when the request
// has been answered. It is for the function that
// mcp.NewStreamableHTTPHandler is given, which chooses the server of a new MCP session; tools use
// [mcpauth.SessionFromContext].
//
// What is chosen stays for as long as the MCP session lasts, whatever later tokens of the user say. To show callers
// different things by their scopes, use [Hide].
func Session(r *http.Request) (*mcpauth.Session, error) {
	if ctx := requestOf(auth.TokenInfoFromContext(r.Context())); ctx != nil && !ctx.finished.Load() {
		return ctx.session, nil
	}
	return nil, mcpauth.ErrNoSession
}

// Attach makes [mcpauth.SessionFromContext] work in the tools, prompts, resources and completions of server: the context
// of each call carries the session of the request that made the call until the call returns, and none when that request
// had none, as over stdio. auth.TokenInfoFromContext answers for the same request. The server's HTTP handler has to be
// wrapped by [Handler].
//
// The other values in the context of a call are, first, what the go-sdk and receiving middlewares added, and then those
// of the call's own request: a tenant or a span that an HTTP middleware stored is that of the call. What only the request
// had that opened the MCP session is not there. The context is cancelled as the go-sdk says.
//
// It ends a response to subscriptions/listen with its token ([mcpauth.EndWithToken]), whatever the request's headers say.
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
			call := &callContext{Context: ctx, info: info, opening: requestIn(ctx), request: requestOf(info)}
			defer call.returned.Store(true)
			if call.request == nil && call.opening != nil {
				return nil, errNoCaller
			}
			if method == "subscriptions/listen" && call.request != nil {
				mcpauth.EndWithToken(call.request.Context)
			}
			return next(call, method, req)
		}
	})
}

// errNoCaller is the answer to calls over a transport that does not say who makes them.
var errNoCaller = errors.New("mcpauthgosdk: this transport does not say who makes a call; use mcp.NewStreamableHTTPHandler")

// infoOf returns what the go-sdk knows about the caller of req, nil when there was no HTTP request.
func infoOf(req mcp.Request) *auth.TokenInfo {
	if extra := req.GetExtra(); extra != nil {
		return extra.TokenInfo
	}
	return nil
}

// requestOf returns the context of the request that info is about, nil when it is not Handler's.
func requestOf(info *auth.TokenInfo) *requestContext {
	if info == nil {
		return nil
	}
	ctx, _ := info.Extra[requestExtra].(*requestContext)
	return ctx
}

func sessionOf(info *auth.TokenInfo) *mcpauth.Session {
	if ctx := requestOf(info); ctx != nil {
		return ctx.session
	}
	return nil
}
