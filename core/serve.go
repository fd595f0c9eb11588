package mcpauth

import (
	"context"
	"io"
	"net/http"
)

// Serve answers r itself if rs refuses it, and calls next to answer it otherwise. The adapters of net/http's shape, the
// handlers for MCP SDKs and RequireOperations do no more than call it.
//
// The request that next gets carries the session ([SessionFromContext]). The writer that next gets decides the CORS headers
// when they are sent, whatever next and the middlewares in front have set: each goes out in one line, Allow-Origin is that
// of the decision, Allow-Credentials and Allow-Private-Network are never sent. Headers that a writer in front adds after
// that are not changed.
//
// The session and the writer work until the response has to end. A stream (GET and HEAD, a connection that was hijacked, and
// what the header Mcp-Method or [EndWithToken] names) ends with its token,
// [Config.ClockSkew] after exp; a call (every other method) up to [Config.MaxCall] later, so that what was allowed when
// it came gets its answer. At the end the request's context is cancelled, writing fails, and the end is logged. A
// handler that does not return within two seconds of it loses the connection, and a hijacked connection is closed at once.
// An answer that is cut by the end, and that has a Content-Type other than text/event-stream, is broken off, so that it does not
// look whole.
//
// When next has returned or panicked, the session is gone from the context: code that goes on longer has to get it
// before. A panic with http.ErrAbortHandler, or after the response has begun, breaks the connection, so that a middleware
// that recovers can't make a broken answer look whole. Breaking a connection needs writers in front that have the method
// Unwrap ([http.ResponseController]): behind others, only aborted answers over HTTP/1 can be broken off, if they can be
// hijacked.
//
// When an outer Serve of rs, or of a resource server that shares WithRequiredScopes with it, has let a request through, only
// the scopes of rs are compared. A session of any other resource server does not count here.
func (rs *ResourceServer) Serve(w http.ResponseWriter, r *http.Request, next func(http.ResponseWriter, *http.Request)) {
	decision, inForce := rs.admit(w, r)
	switch {
	case decision.Reply != nil: // which was sent
	case inForce:
		next(w, r)
	default:
		x := new(hijackable)
		writer, request := rs.open(x, w, r, decision)
		returned := false
		defer x.close(&returned)
		defer keepRoute(r, request)
		next(writer, request)
		returned = true
	}
}

// admit decides about r, and sends the reply if r is refused. inForce reports that an outer Serve made r and w, and that
// its exchange goes on: no new one is needed.
func (rs *ResourceServer) admit(w http.ResponseWriter, r *http.Request) (decision Decision, inForce bool) {
	session, here := rs.sessionIn(r.Context())
	if !here {
		decision = rs.Authenticate(r.Context(), Request{Method: r.Method, Path: r.URL.Path, Header: linesOf(r.Header)})
	} else if why := rs.checkAgain(session); why != nil {
		decision = rs.decisionOn(r.Context(), why, nil)
	} else {
		// The code that put the session there sets the CORS headers.
		decision = Decision{Session: session, Outcome: OutcomeAllowed}
		x := exchangeIn(r.Context())
		inForce = x != nil && x.session == session && !x.finished.Load()
	}
	if decision.Reply != nil {
		decision.WriteReply(w, r)
	}
	return decision, inForce
}

// checkAgain judges a session that an outer entry has let through. It may have been revoked while the body came.
func (rs *ResourceServer) checkAgain(session *Session) *refusal {
	if why := rs.checkRevocation(session); why != nil {
		return why
	}
	return rs.checkScopes(session)
}

// open begins the exchange of an allowed request in the memory of h, and returns the writer and the request to hand on.
func (rs *ResourceServer) open(h *hijackable, w http.ResponseWriter, r *http.Request, decision Decision) (http.ResponseWriter, *http.Request) {
	writer := rs.newExchange(h, w, r, decision)
	if decision.cors != nil && isHooked(w, r) {
		decision.settle(w)
	}
	h.handed = *r.WithContext((*exchangeContext)(&h.exchange))
	return writer, &h.handed
}

// linesOf returns the function that a Request needs. Names have to be in canonical form, as all are that core asks for:
// Header.Values would bring them into it for each request.
func linesOf(h http.Header) func(name string) []string {
	return func(name string) []string { return h[name] }
}

// close is deferred around the handler, and ends the exchange. It breaks the response off if the handler has not returned.
func (x *exchange) close(returned *bool) {
	if *returned {
		x.finish()
		return
	}
	v := recover() // nil after runtime.Goexit
	x.abort(v)
	x.finish()
	if v != nil {
		panic(v)
	}
}

// sessionIn returns the session that ctx carries, and whether it may act on rs. It may if it was verified by rs, or by a
// resource server that shares WithRequiredScopes with it, for the request that ctx belongs to, and the response is not
// finished; or if it was made by mcpauthtest. A session that code kept and put into another context by NewContext lets
// nothing in: it may have expired, or have been revoked, since it was judged.
func (rs *ResourceServer) sessionIn(ctx context.Context) (session *Session, here bool) {
	session, err := SessionFromContext(ctx)
	switch {
	case err != nil:
		return nil, false
	case session.server == nil:
		return session, true
	case session.server != rs.resource || ctx.Value(verifiedKey{}) != session:
		return nil, false
	}
	return session, true
}

// NewContext returns a context that carries the session of an allowed decision until end is closed. It is for adapters
// of routers without an http.ResponseWriter; the others use [ResourceServer.Serve]. They have to close end when the response is
// finished, its stream included, and after a panic too. The context is cancelled when [Config.Revocation] revokes the session.
func (d *Decision) NewContext(parent context.Context) (ctx context.Context, end io.Closer) {
	if d.Session != nil && d.Session.revoked != nil && d.Session.server != nil {
		c := newRevocableContext(parent, d.Session)
		return c, c
	}
	c := &sessionContext{Context: parent}
	c.session.Store(d.Session)
	return c, c
}
