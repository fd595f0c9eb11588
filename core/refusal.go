package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
)

// A refusal is why a request is refused. The client learns what the reply for its outcome says and no more; cause, cure and
// attributes are for the log. Those without attributes are shared and must not be modified.
type refusal struct {
	outcome     Outcome
	cause, cure string
	attrs       []slog.Attr
	err         error         // of a hook, when there is one
	scopes      []string      // with OutcomeInsufficientScope: those that the challenge names, if they are not always the same
	caller      *Session      // with OutcomeInsufficientScope: who lacks them
	level       slog.Level    // Info, unless it is set
	retryAfter  time.Duration // with OutcomeUnavailable: when the client may come back
}

func (r *refusal) Error() string { return r.cause }

// with returns a copy of r that tells the log more.
func (r *refusal) with(attrs ...slog.Attr) *refusal {
	detailed := *r
	detailed.attrs = attrs
	return &detailed
}

// needing returns a copy of r whose challenge names scopes, with those that every request needs.
func (r *refusal) needing(scopes []string) *refusal {
	detailed := *r
	detailed.scopes = scopes
	detailed.attrs = []slog.Attr{slog.Any("needed", slices.Clone(scopes))}
	return &detailed
}

// of returns a copy of r about a caller.
func (r *refusal) of(caller *Session) *refusal {
	detailed := *r
	detailed.caller = caller
	return &detailed
}

const (
	cureForged  = "nothing to do here if only one client is concerned; if all are, check that SCALEKIT_ENVIRONMENT_URL is the environment that issued the token"
	cureClient  = "nothing to do here: the client has to send the access token that Scalekit issued to it"
	cureIssuer  = "check SCALEKIT_ENVIRONMENT_URL and SCALEKIT_RESOURCE_ID against the token's issuer, or add it to Config.Issuers"
	cureAud     = "register the URL that this line calls resource as the Server URL in the Scalekit dashboard, or set SCALEKIT_RESOURCE_ID"
	cureExpired = "nothing to do here: the client refreshes its token or signs in again; if all tokens look expired, check this machine's clock"
	cureClock   = "check this machine's clock, or raise Config.ClockSkew"
)

// The refusals of requests whatever their token.
var (
	refusalOrigin = &refusal{
		outcome: OutcomeOriginRefused, cause: "the Origin header is not allowed",
		cure: "add the origin to Config.AllowedOrigins if browsers on it are to reach this server",
	}
	refusalNoCredentials = &refusal{
		outcome: OutcomeNoCredentials, level: slog.LevelDebug, cause: "the request carries no access token",
		cure: "nothing to do here: the client starts authorization when it gets this answer",
	}
	refusalMalformed = &refusal{
		outcome: OutcomeInvalidRequest, cause: "the Authorization header is malformed or repeated",
		cure: "the client has to send one header: Authorization: Bearer <token>",
	}
)

// The refusals of a token.
var (
	refusalSize      = invalidToken("the token is longer than 16 KiB", cureClient)
	refusalShape     = invalidToken("the token is not three base64url segments (a compact JWS)", cureClient)
	refusalHeader    = invalidToken("the token's header is not a strict JSON object with a kid", cureClient)
	refusalAlg       = invalidToken("the token is not signed with RS256", cureClient)
	refusalTyp       = invalidToken("the token's typ is not that of an access token", cureClient)
	refusalCrit      = invalidToken("the token has critical extensions", cureClient)
	refusalKey       = invalidToken("no key of the environment has the token's kid", cureForged)
	refusalSignature = invalidToken("the token's signature is wrong", cureForged)
	refusalClaims    = invalidToken("the token's claims are not a strict JSON object of the expected types", cureClient)
	refusalIssuer    = invalidToken("the token has another issuer", cureIssuer)
	refusalAudience  = invalidToken("the token is meant for another resource", cureAud)
	refusalSubject   = invalidToken("the token has no subject", cureClient)
	refusalBound     = invalidToken("the token is bound to a key (cnf) and was sent as Bearer", cureClient)
	refusalForeign   = invalidToken("the token is an ID token, a logout token or another security event (events, nonce or a hash in it)", cureClient)
	refusalNoExpiry  = invalidToken("the token has no expiry", cureClient)
	refusalEarly     = invalidToken("the token is not valid yet", cureClock)
	refusalIssuedAt  = invalidToken("the token was issued in the future", cureClock)

	refusalExpired = &refusal{outcome: OutcomeExpired, cause: "the token is expired", cure: cureExpired}
	refusalRevoked = &refusal{
		outcome: OutcomeRevoked, cause: "the revocation hook says that the token is revoked",
		cure: "nothing to do here: the client has to sign in again",
	}
	refusalScope = &refusal{
		outcome: OutcomeInsufficientScope, cause: "the token lacks a required scope",
		cure: "grant the scope to the user or the client in the Scalekit dashboard; the client has to ask for it",
	}
)

func invalidToken(cause, cure string) *refusal {
	return &refusal{outcome: OutcomeInvalidToken, cause: cause, cure: cure}
}

// refusalWithoutKeys is the refusal of a token that can't be verified now: the environment can't be reached, or may not be
// asked again yet.
func refusalWithoutKeys(err error) *refusal {
	why := &refusal{
		outcome: OutcomeUnavailable, cause: "there is no key to verify the token with",
		cure:  "see the error; in a flood of unknown key ids nothing has to be done: the client comes again",
		attrs: []slog.Attr{slog.Any("error", err)},
	}
	if down := (*keys.Unavailable)(nil); errors.As(err, &down) {
		why.retryAfter = down.RetryAfter
		why.attrs = []slog.Attr{slog.Any("error", down.Cause)}
	}
	return why
}

// refusalOfHook is the refusal of a token about which Config.IsRevoked did not answer.
func refusalOfHook(err error) *refusal {
	return &refusal{
		outcome: OutcomeUnavailable, level: slog.LevelWarn, retryAfter: time.Second, cause: "the revocation hook failed",
		cure: "see the error of Config.IsRevoked", attrs: []slog.Attr{slog.Any("error", err)},
	}
}

// refusalOfPanic is the refusal of a request about which one of the functions in Config panicked.
func refusalOfPanic(v any) *refusal {
	return &refusal{
		outcome: OutcomeUnavailable, level: slog.LevelWarn, retryAfter: time.Second, cause: "a function of the configuration panicked",
		cure:  "see the panic: it is in the program that calls mcpauth.New",
		attrs: []slog.Attr{slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack()))},
	}
}

// explained adds to the refusal of a token whose signature held what its claims and the configuration say. The environment
// signed these claims; those of any other token are an attacker's text and stay out of the log.
func (rs *ResourceServer) explained(why *refusal, session *Session) *refusal {
	attrs := []slog.Attr{slog.String("token_iss", session.issuer), slog.Any("token_aud", session.Audience())}
	switch why {
	case refusalIssuer:
		attrs = append(attrs, slog.Any("accepted_iss", slices.Clone(rs.expect.issuers)))
	case refusalAudience:
		attrs = append(attrs, slog.String("resource", rs.identifier), slog.Any("accepted_aud", slices.Clone(rs.expect.audiences)))
	}
	return why.with(attrs...)
}

// decisionOn logs a refusal, and returns the decision with the reply to it.
func (rs *ResourceServer) decisionOn(ctx context.Context, why *refusal, cors *corsValues) Decision {
	rs.logRefusal(ctx, why)
	return Decision{Outcome: why.outcome, Reply: rs.replyTo(why), cors: cors}
}

func (rs *ResourceServer) logRefusal(ctx context.Context, why *refusal) {
	if !rs.logger.Enabled(ctx, why.level) {
		return
	}
	attrs := append([]slog.Attr{slog.String("outcome", string(why.outcome)), slog.String("cause", why.cause)}, why.attrs...)
	rs.logger.LogAttrs(ctx, why.level, "request refused", append(attrs, slog.String("cure", why.cure))...)
}

// LogRefusal writes a line about a refusal that rs did not make to [Config.Logger], at Info. It is for the modules that
// bind MCP SDKs to a resource server.
func (rs *ResourceServer) LogRefusal(ctx context.Context, outcome Outcome, cause, cure string, attrs ...slog.Attr) {
	rs.logRefusal(ctx, &refusal{outcome: outcome, cause: cause, cure: cure, attrs: attrs})
}
