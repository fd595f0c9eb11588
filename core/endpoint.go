package mcpauth

import (
	"context"
	"net/http"
)

// An Endpoint is an MCP server behind a resource server, as Mount of an adapter serves it. [ResourceServer.Endpoint] makes it.
type Endpoint struct {
	rs      *ResourceServer
	handler http.Handler // which authenticates
	public  *sdkHandler  // nil if every request needs credentials
}

// Endpoint returns the endpoint that Mount of an adapter serves: handler behind [ResourceServer.Serve], and behind
// [Config.Policy] if there is one.
//
// It is the only way to a public operation without credentials ([Rule.Public]). That takes three things at once. If one is
// missing, a request without credentials gets 401:
//
//   - rs was made by [New], with a policy that has public rules;
//   - handler is the result of [ResourceServer.SDKHandler] of the same rs, as mcpauthgosdk.Handler returns it, and not wrapped
//     by anything;
//   - the request comes to the Endpoint.
//
// With all three, a request that carries no Authorization header, and none that [Config.CredentialHeader] names, is read: a
// POST whose body is up to 64 KiB long and not longer than [Rules.MaxBodyBytes], comes within 5 s and is a JSON-RPC message, or
// a batch, that can be read in one way only. If each of its messages is public, the handler gets exactly these
// bytes. Public are
//
//   - the operations that a public rule names;
//   - what opens an MCP session, asks about the server or lists: initialize, ping, server/discover, logging/setLevel, and the
//     lists;
//   - the notifications that MCP has clients send: initialized, cancelled, progress and roots/list_changed. Others are a
//     server's own, and could run anything.
//
// There is no session in the context then: [SessionFromContext] returns [ErrNoSession]. The response ends after a minute.
// Everything else gets 401, with the scopes of the operations that it asks for. GET gets 405, because 401 would have clients
// sign in at once.
//
// A request with credentials of any kind is decided about as everywhere else: bad ones never count as none. The rules for the
// Origin header hold for all requests. Endpoint panics when rs or handler is nil.
func (rs *ResourceServer) Endpoint(handler http.Handler) *Endpoint {
	rs.mustBeSet()
	e := &Endpoint{rs: rs}
	switch sdk := sdkHandlerOf(handler); {
	case sdk != nil && sdk.rs == rs:
		e.handler = handler
		if rs.public {
			e.public = sdk
		}
	case handler != nil && rs.policy != nil:
		e.handler = rs.RequireOperations(rs.policy)(handler)
	default:
		e.handler = rs.RequireToken()(handler)
	}
	return e
}

// Authenticate is [ResourceServer.Authenticate] for routers without an http.ResponseWriter, which decide about a request in
// front of the endpoint's ServeHTTP. The outcome is OutcomeUndecided for a request without credentials that ServeHTTP has to
// decide about, because its operations may be public.
func (e *Endpoint) Authenticate(ctx context.Context, req Request) (decision Decision) {
	if e.public == nil {
		return e.rs.Authenticate(ctx, req)
	}
	defer e.rs.recoverDecision(ctx, &decision)
	return e.rs.decide(ctx, req, true)
}

// ServeHTTP decides about r, and has the handler answer it if it is allowed.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, here := e.rs.sessionIn(r.Context())
	if e.public == nil || here || e.rs.hasCredentials(linesOf(r.Header)) {
		e.handler.ServeHTTP(w, r)
		return
	}
	decision := e.Authenticate(r.Context(), Request{Method: r.Method, Path: r.URL.Path, Header: linesOf(r.Header)})
	if decision.Reply != nil {
		decision.WriteReply(w, r)
		return
	}
	var x hijackable
	writer, request := e.rs.open(&x, w, r, decision)
	returned := false
	defer x.close(&returned)
	e.public.servePublic(writer, request)
	returned = true
}

// An SDKServer is an MCP server of an SDK, as [ResourceServer.SDKHandler] needs it.
type SDKServer interface {
	// ServeSession runs a request whose context carries a session.
	ServeSession(w http.ResponseWriter, r *http.Request)

	// IsPublic reports whether a request without credentials may use the MCP session that it names: false if that belongs to a
	// user, or could, and true if r names none.
	IsPublic(r *http.Request) bool

	// ServePublic runs a request without credentials whose messages are all public. opens says whether one of them opens an
	// MCP session. It returns false, and has written nothing, if the request must not be run after all: then it gets 401.
	ServePublic(w http.ResponseWriter, r *http.Request, opens bool) (served bool)
}

// An SDKModule is a handler of a module for an MCP SDK that has more methods than an http.Handler. Mount of an adapter and
// [ResourceServer.RequireOperations] take it for the result of [ResourceServer.SDKHandler] that it stands for.
type SDKModule interface {
	http.Handler

	// SDKHandler returns the result of ResourceServer.SDKHandler, to which ServeHTTP hands all requests, if self is the
	// SDKModule itself, and nil otherwise. Then self embeds the SDKModule, and what it does in its own ServeHTTP must not be left
	// out.
	SDKHandler(self http.Handler) http.Handler
}

// sdkHandlerOf returns the sdkHandler that handler is, or stands for, and nil if it is something else.
func sdkHandlerOf(handler http.Handler) *sdkHandler {
	if module, ok := handler.(SDKModule); ok {
		handler = module.SDKHandler(handler)
	}
	sdk, _ := handler.(*sdkHandler)
	return sdk
}

// An sdkHandler is what SDKHandler returns. The type says that what is behind it reads operations as core does, and answers for
// operations that it does not have: only to it are requests handed on whose operations are hidden, under other names.
type sdkHandler struct {
	rs     *ResourceServer
	server SDKServer
	serve  func(http.ResponseWriter, *http.Request)
}

// SDKHandler returns the handler of an MCP server that knows how to run public operations. It is for the modules that bind
// MCP SDKs to a resource server. Given directly to Mount of an adapter, it may run requests without credentials, as
// [ResourceServer.Endpoint] says; everywhere else it refuses them. In both cases it enforces [Config.Policy].
//
// Operations that Check hides ([ErrHidden]) get to server under names that were drawn at random, if the handler is given
// directly to Mount or [ResourceServer.RequireOperations]. So server has to find the operation of a message in its body
// alone, and to answer as for every name that it does not know.
//
// An operation that finds a scope to be missing while it runs can ask for it by [LateStepUp]. SDKHandler panics when rs or
// server is nil.
func (rs *ResourceServer) SDKHandler(server SDKServer) http.Handler {
	rs.mustBeSet()
	if server == nil {
		panic("mcpauth: nil SDKServer for the protected endpoint")
	}
	h := &sdkHandler{rs: rs, server: server}
	h.serve = h.serveSession
	if policy := rs.policy; policy != nil {
		h.serve = func(w http.ResponseWriter, r *http.Request) {
			rs.runChecked(w, r, policy, h.serveSession, true)
		}
	}
	return h
}

// serveSession has the server answer an allowed request.
func (h *sdkHandler) serveSession(w http.ResponseWriter, r *http.Request) {
	h.rs.stepUpLate(w, r, func(w http.ResponseWriter, r *http.Request) bool {
		h.server.ServeSession(w, r)
		return true
	})
}

// ServeHTTP answers only requests with credentials.
func (h *sdkHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.rs.Serve(w, r, h.serve) }
