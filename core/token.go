package mcpauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/keys"
	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

const (
	maxTokenBytes  = 16 << 10
	maxHeaderBytes = 4 << 10 // of the JOSE header segment, which is parsed before any signature is checked

	maxHeaderMembers = 32
)

// A refusal is why a token is not accepted. The client learns the outcome only; the rest is for the log.
type refusal struct {
	outcome Outcome
	cause   string
	cure    string
}

func (r *refusal) Error() string { return r.cause }

const (
	cureForged  = "nothing to do here if only one client is concerned; if all are, check that SCALEKIT_ENVIRONMENT_URL is the environment that issued the token"
	cureClient  = "nothing to do here: the client has to send the access token that Scalekit issued to it"
	cureIssuer  = "check SCALEKIT_ENVIRONMENT_URL and SCALEKIT_RESOURCE_ID against the token's issuer, or add it to Config.Issuers"
	cureAud     = "register this URL as the Server URL in the Scalekit dashboard, or set SCALEKIT_RESOURCE_ID"
	cureExpired = "nothing to do here: the client refreshes its token or signs in again; if all tokens look expired, check this machine's clock"
	cureClock   = "check this machine's clock, or raise Config.ClockSkew"
)

var (
	refuseMalformed = &refusal{OutcomeInvalidRequest, "the Authorization header is malformed or repeated", "the client has to send one header: Authorization: Bearer <token>"}
	refuseSize      = &refusal{OutcomeInvalidToken, "the token is longer than 16 KiB", cureClient}
	refuseShape     = &refusal{OutcomeInvalidToken, "the token is not three base64url segments (a compact JWS)", cureClient}
	refuseHeader    = &refusal{OutcomeInvalidToken, "the token's header is not a strict JSON object with a kid", cureClient}
	refuseAlg       = &refusal{OutcomeInvalidToken, "the token is not signed with RS256", cureClient}
	refuseTyp       = &refusal{OutcomeInvalidToken, "the token's typ is not that of an access token", cureClient}
	refuseCrit      = &refusal{OutcomeInvalidToken, "the token has critical extensions", cureClient}
	refuseKey       = &refusal{OutcomeInvalidToken, "no key of the environment has the token's kid", cureForged}
	refuseSignature = &refusal{OutcomeInvalidToken, "the token's signature is wrong", cureForged}
	refuseClaims    = &refusal{OutcomeInvalidToken, "the token's claims are not a strict JSON object of the expected types", cureClient}
	refuseIssuer    = &refusal{OutcomeInvalidToken, "the token has another issuer", cureIssuer}
	refuseAudience  = &refusal{OutcomeInvalidToken, "the token is meant for another resource", cureAud}
	refuseSubject   = &refusal{OutcomeInvalidToken, "the token has no subject", cureClient}
	refuseBound     = &refusal{OutcomeInvalidToken, "the token is bound to a key (cnf) and was sent as Bearer", cureClient}
	refuseForeign   = &refusal{OutcomeInvalidToken, "the token is an ID token, a logout token or another security event (events, nonce or a hash in it)", cureClient}
	refuseNoExpiry  = &refusal{OutcomeInvalidToken, "the token has no expiry", cureClient}
	refuseEarly     = &refusal{OutcomeInvalidToken, "the token is not valid yet", cureClock}
	refuseIssuedAt  = &refusal{OutcomeInvalidToken, "the token was issued in the future", cureClock}
	refuseExpired   = &refusal{OutcomeExpired, "the token is expired", cureExpired}
)

// A signedClaims error carries the claims of a refused token whose signature held, for the log.
type signedClaims struct {
	*refusal
	session *Session
}

func (e *signedClaims) Unwrap() error { return e.refusal }

// A scratch is memory to work in. No string or slice made from a token refers to it when its user gives it back.
type scratch struct{ token, decoded [maxTokenBytes]byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch {
	s, _ := scratches.Get().(*scratch)
	return s
}

func (s *scratch) copy(text string) []byte { return s.token[:copy(s.token[:], text)] }

// decode decodes base64url without padding and with no bit left over: one token has one spelling. The result is good
// until the next call.
func (s *scratch) decode(segment string) ([]byte, error) {
	if len(segment) > len(s.token) || strings.ContainsAny(segment, "\r\n") { // which encoding/base64 skips
		return nil, refuseShape
	}
	n, err := strictBase64.Decode(s.decoded[:], s.copy(segment))
	return s.decoded[:n], err
}

var strictBase64 = base64.RawURLEncoding.Strict()

// A compactJWS is a token whose shape is right (RFC 7515 §7.1). Nothing about it is verified.
type compactJWS struct {
	input     string // what is signed: the first two segments
	kid       string
	claims    string
	signature []byte
}

// parse takes a token of at most maxTokenBytes apart.
func (s *scratch) parse(token string) (t compactJWS, err error) {
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || header == "" || payload == "" || signature == "" || strings.Contains(signature, ".") {
		return t, refuseShape
	}
	if t.kid, err = s.decodeHeader(header); err != nil {
		return t, err
	}
	decoded, err := s.decode(signature)
	if err != nil || len(decoded) > keys.MaxSignatureBytes {
		return t, refuseShape
	}
	t.signature = bytes.Clone(decoded)
	if decoded, err = s.decode(payload); err != nil {
		return t, refuseShape
	}
	t.claims = string(decoded)
	t.input = token[:len(header)+1+len(payload)]
	return t, nil
}

// verify returns the session of a token of at most maxTokenBytes and the key that signed it, or a *refusal, a
// *signedClaims or an *keys.Unavailable (RFC 9068 §4, RFC 8725).
//
// The token is split, bounded and decoded here, and jwx sees only a signing input and a signature: its own parser also
// takes the JSON serializations of RFC 7515 §7.2, and claims from outside their signed part.
func verify(ctx context.Context, token string, set *keys.Set, want *expectations, now time.Time) (*Session, *keys.Key, error) {
	s := getScratch()
	t, err := s.parse(token)
	scratches.Put(s)
	if err != nil {
		return nil, nil, err
	}
	key, err := t.signedBy(ctx, set)
	if err != nil {
		return nil, nil, err
	}
	session, err := decodeClaims(t.claims)
	if err != nil {
		return nil, nil, refuseClaims
	}
	session.implied = want.implied
	session.principal = session.issuer
	if slices.Contains(want.environment, session.issuer) {
		session.principal = want.environment[0]
	}
	if refused := want.judge(session, now.UnixMilli()); refused != nil {
		return nil, nil, &signedClaims{refused, session}
	}
	return session, key, nil
}

// signedBy returns the key of the set that signed the token, or a *refusal or *keys.Unavailable.
func (t *compactJWS) signedBy(ctx context.Context, set *keys.Set) (*keys.Key, error) {
	candidates, err := set.Find(ctx, t.kid) // which may wait
	switch {
	case errors.Is(err, keys.ErrUnknown):
		return nil, refuseKey
	case err != nil:
		return nil, err
	}
	s := getScratch()
	defer scratches.Put(s)
	key, err := candidates.Verify(s.copy(t.input), t.signature)
	if err != nil {
		return nil, refuseSignature
	}
	return key, nil
}

// decodeHeader returns the kid of a JOSE header that an access token may have. Members that name or hold a key (jku,
// jwk, x5u, x5c) are read over.
func (s *scratch) decodeHeader(segment string) (kid string, err error) {
	if len(segment) > maxHeaderBytes {
		return "", refuseHeader
	}
	document, err := s.decode(segment)
	if err != nil {
		return "", refuseShape
	}
	var alg, typ string
	var hasTyp, hasKid bool
	r := strictjson.NewReader(string(document), strictjson.Limits{Members: maxHeaderMembers})
	err = r.Object(func(name string) (err error) {
		switch name {
		case "alg":
			alg, err = r.Text()
		case "kid":
			kid, err = r.Text()
			hasKid = true
		case "typ":
			typ, err = r.Text()
			hasTyp = true
		case "crit":
			err = refuseCrit
		default:
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case errors.Is(err, refuseCrit):
		return "", refuseCrit
	case err != nil:
		return "", refuseHeader
	case alg != "RS256":
		return "", refuseAlg
	case hasTyp && !isAccessTokenType(typ):
		return "", refuseTyp
	case !hasKid || kid == "" || len(kid) > keys.MaxIDBytes:
		return "", refuseHeader
	}
	return kid, nil
}

// isAccessTokenType accepts what RFC 9068 §4 asks for, and the JWT that Scalekit writes.
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}
