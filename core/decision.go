package mcpauth

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// A Request is what a decision needs to know of an HTTP request. There is no body in it: authentication comes first.
type Request struct {
	Method string

	// Path is the path as routed. That of a metadata document is answered with the document; all others are protected.
	Path string

	// Header returns all field lines of a header, none when it is absent. Its strings need to be valid only during the
	// call of [ResourceServer.Authenticate], which keeps none of them. It must not be nil.
	Header func(name string) []string
}

// A Decision says what happens to a request. Its reply is shared with other requests and must not be modified.
type Decision struct {
	// Session is the caller, nil unless the outcome is OutcomeAllowed.
	Session *Session

	// Reply, when it is not nil, is the response: the request goes no further.
	Reply *Reply

	// Outcome is the decision in one word.
	Outcome Outcome

	// The CORS headers of the response: [Decision.CORS] sets them on a response that the handler makes,
	// [Decision.SetHeader] on the reply. nil for metadata, which has its own, and for requests that an outer Serve let through.
	cors *corsValues
}

// An Outcome is one of a bounded set of words, for logs and metrics.
type Outcome string

// The outcomes of [ResourceServer.Authenticate] and [Endpoint.Authenticate]. All but OutcomeAllowed and OutcomeUndecided
// come with a reply.
const (
	OutcomeAllowed           Outcome = "allowed"
	OutcomeMetadata          Outcome = "metadata"           // 200, 204, 405 or 503: a metadata document
	OutcomePreflight         Outcome = "preflight"          // 204
	OutcomeUndecided         Outcome = "undecided"          // of an Endpoint, without a reply: the request's body says whether the operations are public
	OutcomeOriginRefused     Outcome = "origin_refused"     // 403 without a challenge
	OutcomeNoCredentials     Outcome = "no_credentials"     // 401 without an error code
	OutcomeInvalidRequest    Outcome = "invalid_request"    // 400
	OutcomeInvalidToken      Outcome = "invalid_token"      // 401
	OutcomeExpired           Outcome = "expired"            // 401 invalid_token, "reason":"token_expired" in the body
	OutcomeRevoked           Outcome = "revoked"            // 401 invalid_token
	OutcomeInsufficientScope Outcome = "insufficient_scope" // 403
	OutcomeUnavailable       Outcome = "unavailable"        // 503: there is no key, or a function of Config failed or did not answer
)

// OutcomeForeignSession is the outcome of a request on an MCP session that belongs to another user. The modules for MCP
// SDKs refuse it.
const OutcomeForeignSession Outcome = "foreign_session"

// Authenticate decides about one request. It blocks only while keys are fetched that it can't do without, for at most 5 s,
// or until ctx ends, and for up to 5 s each while [Config.Credential] and [Config.IsRevoked] answer. It returns a decision
// for every request: when one of the functions in [Config] panics, 503.
func (rs *ResourceServer) Authenticate(ctx context.Context, req Request) (decision Decision) {
	defer rs.recoverDecision(ctx, &decision)
	return rs.decide(ctx, req, false)
}

// recoverDecision is deferred. It makes a refusal of a panic, which would end the request under net/http, and the program
// under fasthttp.
func (rs *ResourceServer) recoverDecision(ctx context.Context, decision *Decision) {
	if v := recover(); v != nil {
		*decision = rs.decisionOn(ctx, refusalOfPanic(v), nil)
	}
}

// decide decides about a request. With public, one without credentials is undecided instead of refused.
func (rs *ResourceServer) decide(ctx context.Context, req Request, public bool) Decision {
	if strings.HasPrefix(req.Path, wellKnown) || req.Path == rs.metadataPath && req.Path != "" {
		for _, route := range rs.metadata {
			if route.Path == req.Path {
				return Decision{Reply: route.reply(ctx, req.Method), Outcome: OutcomeMetadata}
			}
		}
	}
	if req.Path == rs.unstripped && req.Path != "" {
		rs.LogUnstripped(ctx)
	}
	cors, ok := rs.origins.check(req.Header("Origin"))
	switch {
	case !ok:
		return rs.decisionOn(ctx, refusalOrigin, cors)
	case isPreflight(&req):
		return Decision{Reply: preflight(rs.corsHeaders, req.Header("Access-Control-Request-Headers")), Outcome: OutcomePreflight, cors: cors}
	}
	if public && !rs.hasCredentials(req.Header) {
		return Decision{Outcome: OutcomeUndecided, cors: cors}
	}
	session, why := rs.identify(ctx, &req)
	if why == nil {
		why = rs.checkSession(ctx, session)
	}
	if why != nil {
		return rs.decisionOn(ctx, why, cors)
	}
	return Decision{Session: session, Outcome: OutcomeAllowed, cors: cors}
}

// session returns the session of a token, from the cache or by verification.
func (rs *ResourceServer) session(ctx context.Context, token string) (*Session, *refusal) {
	now := rs.now()
	if len(token) > maxTokenBytes {
		return nil, refusalSize
	}
	var generation uint32
	if rs.cache != nil {
		generation = rs.cache.generation.Load()
		if e := rs.cache.get(token, now); e != nil && rs.keys.Trusts(e.key, now) {
			if why := rs.expect.judgeTime(e.session, now.UnixMilli()); why != nil {
				return nil, rs.explained(why, e.session)
			}
			return e.session, nil
		}
	}
	if !isToken68(token) { // a cached token was checked before
		return nil, refusalMalformed
	}
	session, key, why := rs.verify(ctx, token, now)
	if why != nil {
		return nil, why
	}
	session.server = rs.resource
	rs.watched(session)
	if mistyped := session.notShown().mistyped; mistyped != nil && rs.logger.Enabled(ctx, slog.LevelDebug) {
		rs.logger.LogAttrs(ctx, slog.LevelDebug, "claims of another type than expected count as absent",
			slog.Any("claims", slices.Clone(mistyped)), slog.String("cure", "set them in the Scalekit dashboard as Scalekit documents them, if this server is to use them"))
	}
	if rs.cache != nil {
		rs.cache.put(token, session, key, now, generation)
	}
	return session, nil
}

// checkSession asks the revocation list and the revocation hook, and compares the scopes. All come after the cache, so that
// one entry serves every resource server that [ResourceServer.WithRequiredScopes] made.
func (rs *ResourceServer) checkSession(ctx context.Context, session *Session) *refusal {
	if why := rs.checkRevocation(session); why != nil {
		return why
	}
	if rs.isRevoked != nil {
		revoked, err := rs.askRevoked(ctx, session)
		switch {
		case err != nil:
			return refusalOfHook(err)
		case revoked:
			return refusalRevoked
		}
	}
	return rs.checkScopes(session)
}

// isPreflight reports whether a request is a CORS preflight (the Fetch standard §3.2.2).
func isPreflight(req *Request) bool {
	return req.Method == http.MethodOptions && len(req.Header("Origin")) > 0 && len(req.Header("Access-Control-Request-Method")) > 0
}
