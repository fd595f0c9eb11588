package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// A Request is what a decision needs to know of an HTTP request. There is no body in it: authentication comes first.
type Request struct {
	Method string

	// Path is the path as routed. That of a metadata document is answered with the document; all others are guarded.
	Path string

	// Header returns all field lines of a header, none when it is absent. Its strings need to be valid only during the
	// call of [ResourceServer.Authenticate], which keeps none of them. It must not be nil.
	Header func(name string) []string
}

// A Decision says what happens to a request. Its reply is shared with other requests and must not be modified.
type Decision struct {
	// Session is the caller, nil unless the request is allowed.
	Session *Session

	// Reply, when it is not nil, is the response: the request goes no further.
	Reply *Reply

	// Outcome is the decision in one word.
	Outcome Outcome

	// The CORS headers of the response, whatever it is going to be: [Decision.CORS] sets them on one that the handler makes,
	// [Decision.SetHeader] on the reply. nil leaves those of the response alone.
	cors *corsValues
}

// An Outcome is one of a bounded set of words, for logs and metrics.
type Outcome string

// The outcomes of [ResourceServer.Authenticate]. All but OutcomeAllowed come with a reply.
const (
	OutcomeAllowed           Outcome = "allowed"
	OutcomeMetadata          Outcome = "metadata"           // 200, 204 or 405: the protected resource metadata
	OutcomePreflight         Outcome = "preflight"          // 204
	OutcomeOriginRefused     Outcome = "origin_refused"     // 403 without a challenge
	OutcomeNoCredentials     Outcome = "no_credentials"     // 401 without an error code
	OutcomeInvalidRequest    Outcome = "invalid_request"    // 400
	OutcomeInvalidToken      Outcome = "invalid_token"      // 401
	OutcomeExpired           Outcome = "expired"            // 401 invalid_token, "reason":"token_expired" in the body
	OutcomeRevoked           Outcome = "revoked"            // 401 invalid_token
	OutcomeInsufficientScope Outcome = "insufficient_scope" // 403
	OutcomeUnavailable       Outcome = "unavailable"        // 503: keys or the revocation hook can't be reached
)

// OutcomeForeignSession is the outcome of a request on an MCP session that belongs to another user: mcpauthgosdk and mcpauthmcpgo
// refuse it.
const OutcomeForeignSession Outcome = "foreign_session"

// SetHeader sets the decision's headers, and those of its reply if there is one, on h. They replace what an outer
// middleware set, except for Vary, which is appended, and what [CORSAnswer.Set] keeps. The values are copies.
func (d *Decision) SetHeader(h http.Header) {
	answer := d.CORS(h)
	if answer.ours == nil {
		answer.ours = &corsValues{} // of metadata, which has its own, and of refusals inside of a response
	}
	answer.Set(h)
	if d.Reply == nil {
		return
	}
	for name, values := range d.Reply.Header {
		if name != "Vary" {
			h[name] = slices.Clone(values)
			continue
		}
		for _, value := range values {
			if !varies(h[name], value) {
				h[name] = append(slices.Clip(h[name]), value)
			}
		}
	}
}

// WriteReply answers r with the decision's reply and all headers. It is for decisions that have one. A body of r that the
// client has announced and not sent is not waited for longer than a second.
func (d *Decision) WriteReply(w http.ResponseWriter, r *http.Request) {
	d.SetHeader(w.Header())
	limitUnreadBody(w, r)
	w.WriteHeader(d.Reply.Status)
	_, _ = w.Write(d.Reply.Body) // a client that is gone needs no answer
}

// unreadBodyTime is how long the rest of a body may take that no handler is going to read.
const unreadBodyTime = time.Second

// limitUnreadBody keeps a client from holding a connection by a body that it announces and never sends. net/http reads
// the rest of a body, up to 256 KiB, before it sends the response, and waits for it for as long as the server's
// ReadTimeout says, which is for ever where streams are served.
//
// The limit is a moment in the future: one in the past would have net/http cancel the contexts of the connection's next
// requests, and reset the connection of a client that is still sending. This one ends with the body: net/http then waits
// for the next request without it.
func limitUnreadBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadBodyTime))
	if err != nil && r.ProtoMajor == 1 { // a writer in front hides the connection: then at least nothing is waited for
		w.Header().Set("Connection", "close")
	}
}

// Authenticate decides about one request. It blocks only while keys are fetched that it can't do without, for at most
// 5 s, or until ctx ends, and for as long as [Config.IsRevoked] takes. It returns a decision for every request: when one
// of the functions in [Config] panics, 503.
func (rs *ResourceServer) Authenticate(ctx context.Context, req Request) (decision Decision) {
	defer func() {
		if v := recover(); v != nil {
			decision = rs.panicked(ctx, v)
		}
	}()
	return rs.decide(ctx, req)
}

// panicked denies a request about which a function of the user's panicked. Under net/http the request would end by
// itself; under fasthttp the program would.
func (rs *ResourceServer) panicked(ctx context.Context, v any) Decision {
	rs.log(ctx, slog.LevelWarn, OutcomeUnavailable, "a function of the configuration panicked", "see the panic: it is in the program that calls mcpauth.New",
		slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	return Decision{Reply: unavailable(time.Second), Outcome: OutcomeUnavailable}
}

func (rs *ResourceServer) decide(ctx context.Context, req Request) Decision {
	if strings.HasPrefix(req.Path, wellKnownPath) {
		for _, route := range rs.metadata {
			if route.Path == req.Path {
				return Decision{Reply: route.reply(req.Method), Outcome: OutcomeMetadata}
			}
		}
	}

	cors, ok := rs.origins.check(req.Header("Origin"))
	if !ok {
		rs.log(ctx, slog.LevelInfo, OutcomeOriginRefused, "the Origin header is not allowed", "add the origin to Config.AllowedOrigins if browsers on it are to reach this server")
		return Decision{cors: cors, Reply: &rs.denials.originRefused, Outcome: OutcomeOriginRefused}
	}
	if req.Method == http.MethodOptions && len(req.Header("Origin")) > 0 && len(req.Header("Access-Control-Request-Method")) > 0 {
		return Decision{cors: cors, Reply: preflight(req.Header("Access-Control-Request-Headers")), Outcome: OutcomePreflight}
	}

	token, outcome := bearerToken(req.Header("Authorization"))
	switch outcome {
	case OutcomeNoCredentials:
		rs.log(ctx, slog.LevelDebug, outcome, "the request carries no access token", "nothing to do here: the client starts authorization when it gets this answer")
		return Decision{cors: cors, Reply: &rs.denials.noCredentials, Outcome: outcome}
	case OutcomeInvalidRequest:
		_, reply, outcome := rs.refuse(ctx, refuseMalformed)
		return Decision{cors: cors, Reply: reply, Outcome: outcome}
	}

	session, reply, outcome := rs.session(ctx, token)
	if reply != nil {
		return Decision{cors: cors, Reply: reply, Outcome: outcome}
	}
	if reply, outcome = rs.permit(ctx, session); reply != nil {
		return Decision{cors: cors, Reply: reply, Outcome: outcome}
	}
	return Decision{Session: session, cors: cors, Outcome: OutcomeAllowed}
}

// session returns the session of a token, from the cache or by verification, or the reply that refuses it.
func (rs *ResourceServer) session(ctx context.Context, token string) (*Session, *Reply, Outcome) {
	now := rs.now()
	if len(token) > maxTokenBytes {
		return rs.refuse(ctx, refuseSize)
	}
	var hash tokenHash
	var generation uint32
	if rs.cache != nil {
		generation = rs.cache.generation.Load()
		hash = hashOf(token)
		if e := rs.cache.get(&hash, now); e != nil && rs.keys.Trusts(e.key, now) {
			if refused := rs.expect.judgeTime(e.session, now.UnixMilli()); refused != nil {
				return rs.refuse(ctx, &signedClaims{refused, e.session})
			}
			return e.session, nil, OutcomeAllowed
		}
	}
	if !isToken68(token) { // a cached token was checked before
		return rs.refuse(ctx, refuseMalformed)
	}
	session, key, err := verify(ctx, token, rs.keys, &rs.expect, now)
	if err != nil {
		return rs.refuse(ctx, err)
	}
	session.server = rs.resource
	if mistyped := session.claims().mistyped; mistyped != nil && rs.logger.Enabled(ctx, slog.LevelDebug) {
		rs.logger.LogAttrs(ctx, slog.LevelDebug, "claims of another type than expected count as absent",
			slog.Any("claims", slices.Clone(mistyped)), slog.String("cure", "set them in the Scalekit dashboard as Scalekit documents them, if this server is to use them"))
	}
	if rs.cache != nil {
		rs.cache.put(&hash, session, key, now, generation)
	}
	return session, nil, OutcomeAllowed
}

// refuse logs why a token, or the header with it, is refused and returns the reply.
func (rs *ResourceServer) refuse(ctx context.Context, err error) (*Session, *Reply, Outcome) {
	var down *keys.Unavailable
	if errors.As(err, &down) {
		rs.log(ctx, slog.LevelInfo, OutcomeUnavailable, "there is no key to verify the token with",
			"see the error; in a flood of unknown key ids nothing has to be done: the client comes again", slog.Any("error", down.Cause))
		return nil, unavailable(down.RetryAfter), OutcomeUnavailable
	}
	var why *refusal
	if !errors.As(err, &why) {
		why = refuseClaims // unreachable: verify returns nothing else
	}
	var attrs []slog.Attr
	var signed *signedClaims
	if errors.As(err, &signed) {
		// The environment signed these; the claims of any other token are an attacker's text and stay out of the log.
		attrs = []slog.Attr{slog.String("token_iss", signed.session.issuer), slog.Any("token_aud", signed.session.Audience())}
		switch why {
		case refuseIssuer:
			attrs = append(attrs, slog.Any("accepted_iss", slices.Clone(rs.expect.issuers)))
		case refuseAudience:
			attrs = append(attrs, slog.String("resource", rs.identifier), slog.Any("accepted_aud", slices.Clone(rs.expect.audiences)))
		}
	}
	rs.log(ctx, slog.LevelInfo, why.outcome, why.cause, why.cure, attrs...)
	switch why.outcome {
	case OutcomeInvalidRequest:
		return nil, &rs.denials.malformed, OutcomeInvalidRequest
	case OutcomeExpired:
		return nil, &rs.denials.expired, OutcomeExpired
	}
	return nil, &rs.denials.invalidToken, OutcomeInvalidToken
}

// permit asks the revocation hook and compares the scopes. Both come after the cache, so that one entry serves every
// policy.
func (rs *ResourceServer) permit(ctx context.Context, session *Session) (*Reply, Outcome) {
	if rs.isRevoked != nil {
		revoked, err := rs.askRevoked(ctx, session)
		switch {
		case err != nil:
			rs.log(ctx, slog.LevelWarn, OutcomeUnavailable, "the revocation hook failed", "see the error of Config.IsRevoked", slog.Any("error", err))
			return unavailable(time.Second), OutcomeUnavailable
		case revoked:
			rs.log(ctx, slog.LevelInfo, OutcomeRevoked, "the revocation hook says that the token is revoked", "nothing to do here: the client has to sign in again")
			return &rs.denials.invalidToken, OutcomeRevoked
		}
	}
	if reply := rs.permitScopes(ctx, session); reply != nil {
		return reply, OutcomeInsufficientScope
	}
	return nil, OutcomeAllowed
}

// permitScopes returns nil if session holds the scopes that are required of every request.
func (rs *ResourceServer) permitScopes(ctx context.Context, session *Session) *Reply {
	for _, scope := range rs.required {
		if !session.hasScope(scope) {
			rs.log(ctx, slog.LevelInfo, OutcomeInsufficientScope, "the token lacks a required scope",
				"grant the scope to the user or the client in the Scalekit dashboard; the client has to ask for it",
				slog.Any("required", slices.Clone(rs.required)))
			return &rs.denials.insufficientScope
		}
	}
	return nil
}

// LogRefusal writes a line about a refusal that is not rs's own to [Config.Logger], at Info. It is for the modules that
// bind MCP SDKs to a resource server.
func (rs *ResourceServer) LogRefusal(ctx context.Context, outcome Outcome, cause, cure string, attrs ...slog.Attr) {
	rs.log(ctx, slog.LevelInfo, outcome, cause, cure, attrs...)
}

func (rs *ResourceServer) log(ctx context.Context, level slog.Level, outcome Outcome, cause, cure string, attrs ...slog.Attr) {
	if !rs.logger.Enabled(ctx, level) {
		return
	}
	all := append([]slog.Attr{slog.String("outcome", string(outcome)), slog.String("cause", cause)}, attrs...)
	rs.logger.LogAttrs(ctx, level, "request denied", append(all, slog.String("cure", cure))...)
}

// bearerToken returns the token of an Authorization header (OAuth 2.1 §5.1.1), unchecked, or why there is none:
// OutcomeNoCredentials or OutcomeInvalidRequest. A token in the query, a form or a cookie is none.
func bearerToken(lines []string) (token string, outcome Outcome) {
	switch len(lines) {
	case 0:
		return "", OutcomeNoCredentials
	case 1:
	default:
		return "", OutcomeInvalidRequest // which of them did a proxy in front check?
	}
	value := trimSpace(lines[0])
	end := 0
	for end < len(value) && isSchemeByte(value[end]) {
		end++
	}
	if scheme := value[:end]; scheme != "Bearer" && !strings.EqualFold(scheme, "Bearer") {
		return "", OutcomeNoCredentials
	}
	token = strings.TrimLeft(value[end:], " ")
	if token == "" || len(token) == len(value)-end {
		return "", OutcomeInvalidRequest
	}
	return token, OutcomeAllowed
}

// trimSpace trims the white space around a field value (RFC 9110 §5.5).
func trimSpace(s string) string {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' }
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSchemeByte(c byte) bool { return isAlphanumeric(rune(c)) || c == '-' || c == '_' || c == '.' }

// isToken68 reports whether s is a token68 (RFC 9110 §11.2).
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !token68[body[i]] {
			return false
		}
	}
	return body != ""
}

var token68 = func() (table [256]bool) {
	for c := range table {
		table[c] = isAlphanumeric(rune(c)) || strings.IndexByte("-._~+/", byte(c)) >= 0
	}
	return table
}()
