// Package mcpauthgosdk brings the verified session to the tools of an MCP server on the official go-sdk. Each call sees the
// session of its own request, an MCP session answers only to the user who opened it, and a policy decides what callers see and
// use ([Hide], [mcpauth.Config.Policy]).
//
// Without it, a tool gets the context of the request that created the MCP session. That request may be hours old, and
// another user's if the session's id has leaked.
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

// requestExtra is the key of auth.TokenInfo.Extra under which a request's context, and with it its session, is passed on.
const requestExtra = "github.com/scalekit-mcp/mcpauth"

// Handler passes the session of each request to the go-sdk, as req.Extra.TokenInfo, whose UserID is the session's
// [mcpauth.Session.Principal]. A request on an MCP session that another principal opened gets 403, whatever its method (MCP
// "Session Hijacking"), and is logged. A request with two Mcp-Session-Id headers gets 400.
//
// handler is the result of mcp.NewStreamableHTTPHandler. Give the result of Handler to an adapter's Mount. If a request
// comes without the adapter's middleware, or through that of another resource server, rs decides about it here: the endpoint
// is never open. The scopes that rs requires are required in either case.
//
// Behind Handler, [mcpauth.SessionFromContext] works only where [Attach] makes it work. Other code there has the context of
// the request that opened the MCP session, whose token may have other scopes than that of the call, or be from another
// organization. The function that chooses a server for a request calls [Session]; it sees that request's own values.
//
// Handler enforces [mcpauth.Config.Policy]. If that has public rules, and the result of Handler is given directly to Mount,
// Handler also runs public operations without credentials, as [mcpauth.ResourceServer.Endpoint] says. Such a call has no
// session, and with [Attach] no TokenInfo. The function that chooses a server gets [mcpauth.ErrNoSession] from [Session]. An MCP
// session that was opened without credentials has an id of Handler's own. It ends when it was idle for a minute, unless a user
// signs in on it: then it belongs to that user, and ends when it was idle for an hour. At most 1,000 have no user; one more
// client gets 401.
//
// A proxy on the same machine may keep the Host header of the public URL: the go-sdk's protection against DNS rebinding
// accepts that host, and still no other.
//
// An operation that [mcpauth.Rules.Check] hides with [mcpauth.ErrHidden] is answered by the go-sdk as one that the server does
// not have. Handler's result must not be wrapped for that: give it to Mount with Config.Policy, or to RequireOperations.
//
// Handler panics when rs or handler is nil, when this version of the go-sdk would not find the caller of a request, and when
// handler is that of mcp.NewSSEHandler: that transport does not pass the caller on, so any user who knows a session's id
// could post to it. If a wrapper hides that transport, its calls fail in [Attach].
func Handler(rs *mcpauth.ResourceServer, handler http.Handler) http.Handler {
	if rs == nil {
		panic("mcpauthgosdk: nil *mcpauth.ResourceServer; check the error of mcpauth.New")
	}
	if handler == nil {
		panic("mcpauthgosdk: nil handler; give that of mcp.NewStreamableHTTPHandler")
	}
	if _, sse := handler.(*mcp.SSEHandler); sse {
		panic("mcpauthgosdk: the go-sdk's SSE transport does not say who makes a call; use mcp.NewStreamableHTTPHandler")
	}
	mustBeSeen()
	h := &sdkHandler{rs: rs, next: handler}
	h.public = mcpauth.NewPublicSessions(h.end)
	if u, err := url.Parse(rs.Resource()); err == nil {
		h.publicHost = u.Hostname()
	}
	return rs.SDKHandler(h)
}

type sdkHandler struct {
	rs         *mcpauth.ResourceServer
	next       http.Handler
	publicHost string
	public     *mcpauth.PublicSessions
}

const sessionHeader = "Mcp-Session-Id"

// ServeSession passes an allowed request to the go-sdk.
func (h *sdkHandler) ServeSession(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, "no session", http.StatusInternalServerError) // can't happen: Serve has put it there
		return
	}
	ids := r.Header[sessionHeader]
	if len(ids) > 1 { // a proxy in front may have checked either of them
		http.Error(w, "more than one "+sessionHeader+" header; send one", http.StatusBadRequest)
		return
	}
	ctx := h.newContext(r, session)
	defer ctx.finished.Store(true)
	h.serve(w, &ctx.request, session)
}

// serve passes a request with a session to the go-sdk.
func (h *sdkHandler) serve(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) {
	if len(r.Header[sessionHeader]) == 0 {
		h.next.ServeHTTP(w, r)
		return
	}
	named, foreign := h.public.ServeSession(w, r, session, h.next.ServeHTTP)
	if foreign {
		http.Error(w, "session user mismatch", http.StatusForbidden)
		h.logForeign(r.Context(), session)
	}
	if named {
		return
	}
	seen := &foreignWriter{ResponseWriter: w}
	h.next.ServeHTTP(seen, r)
	if seen.foreign {
		h.logForeign(r.Context(), session)
	}
}

// newContext returns the context of r for the go-sdk, with the copy of r that has it. A nil session is that of a caller without
// credentials.
func (h *sdkHandler) newContext(r *http.Request, session *mcpauth.Session) *requestContext {
	ctx := &requestContext{
		Context:    r.Context(),
		rs:         h.rs,
		session:    session,
		publicHost: h.publicHost != "" && strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), h.publicHost),
	}
	ctx.info = tokenInfo(ctx)
	ctx.request = *r.WithContext(ctx)
	// The go-sdk gives all headers to the tools. A tool without the token can't pass it on (MCP "Token Passthrough").
	ctx.request.Header = maps.Clone(r.Header) // middlewares in front still use the original
	h.rs.RemoveCredentials(ctx.request.Header)
	return ctx
}

func (h *sdkHandler) logForeign(ctx context.Context, session *mcpauth.Session) {
	h.rs.LogRefusal(ctx, mcpauth.OutcomeForeignSession, "the MCP session belongs to another user",
		"ignore a single case; if it goes on, find out how the ids of MCP sessions leak", slog.Any("session", session))
}

// A foreignWriter detects that the go-sdk refuses a request on another user's MCP session.
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

// Unwrap returns the writer below, for http.ResponseController.
func (w *foreignWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush flushes the writer below. It is for code that looks for an http.Flusher.
func (w *foreignWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// tokenInfo returns a request's session in the go-sdk's form. Without one there is no user in it.
func tokenInfo(ctx *requestContext) auth.TokenInfo {
	if ctx.session == nil { // Attach takes it away
		return auth.TokenInfo{Extra: map[string]any{requestExtra: ctx}}
	}
	return auth.TokenInfo{
		Scopes:     ctx.session.Scopes(),
		Expiration: ctx.session.ExpiresAt(),
		UserID:     ctx.session.Principal(),
		Extra:      map[string]any{requestExtra: ctx},
	}
}

// Session returns the session of a request behind [Handler]. It returns [mcpauth.ErrNoSession] when there is none, and after
// the request has been answered. It is for the function given to mcp.NewStreamableHTTPHandler, which chooses the server of a
// new MCP session; tools use [mcpauth.SessionFromContext].
//
// The chosen server stays for as long as the MCP session lasts, whatever later tokens of the user allow. To show callers
// different tools by their scopes, use [Hide].
func Session(r *http.Request) (*mcpauth.Session, error) {
	if ctx := requestOf(auth.TokenInfoFromContext(r.Context())); ctx != nil && ctx.session != nil && !ctx.finished.Load() {
		return ctx.session, nil
	}
	return nil, mcpauth.ErrNoSession
}

// Attach makes [mcpauth.SessionFromContext] work in the tools, prompts, resources and completions of server. The context of
// each call has the session of the request that made the call, until the call returns. It has none when that request had
// none, as over stdio. auth.TokenInfoFromContext returns the same request's caller. The server's HTTP handler has to be
// wrapped by [Handler].
//
// The other values in the context of a call are, first, those that the go-sdk and receiving middlewares added, and then
// those of the call's own request, such as a tenant or a span that an HTTP middleware stored. Values that only the request
// that opened the MCP session had are not there. The go-sdk cancels the context.
//
// A tool, prompt or resource that learns from its backend that a scope is missing returns an error with
// [mcpauth.NeedScopes] in its tree. It must not have had any effects yet: the client asks its user, and calls again. As long
// as nothing of the answer was sent, the client gets 403 with a challenge that names the scopes of the error, those of the
// operation's rule, if a policy is enforced, and those of every request.
//
// When something was sent already, the client gets the error, with the scopes in its text. That is so after a notification of
// progress or a question to the user, unless the server sends JSON; with an EventStore, for which the go-sdk begins its streams
// with an event (MCP 2025-11-25); and after another answer of the same batch. A caller who holds the scopes gets the error as the
// go-sdk shows it, and so does one over stdio. A client that [mcpauth.Config].ChallengeInResultFor names gets the challenge of
// a tool call in its result, whatever was sent.
//
// Attach also ends a response to subscriptions/listen with its token ([mcpauth.EndWithToken]), whatever the request's
// headers say.
//
// And it grows the stack of the goroutine that the go-sdk starts for each call, once and early. Otherwise the go-sdk's own
// work would make the runtime copy that stack several times, so a tool call takes less time with Attach than without.
//
// A receiving middleware that is added to server later runs earlier, and finds no session: call Attach last.
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
			if call.request != nil && call.request.session == nil {
				call.forgetInfo(req)
			}
			if method == "subscriptions/listen" && call.request != nil {
				mcpauth.EndWithToken(call.request.Context)
			}
			result, err := next(call, method, req)
			return call.late(req, result, err)
		}
	})
}

// errNoCaller is the error of calls over a transport that does not say who makes them.
var errNoCaller = errors.New("mcpauthgosdk: this transport does not say who makes a call; use mcp.NewStreamableHTTPHandler")

// infoOf returns what the go-sdk knows about the caller of req, or nil when there was no HTTP request.
func infoOf(req mcp.Request) *auth.TokenInfo {
	if extra := req.GetExtra(); extra != nil {
		return extra.TokenInfo
	}
	return nil
}

// requestOf returns the context of the request that info is about, or nil when Handler did not make info.
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
