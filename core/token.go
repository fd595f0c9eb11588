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

// A scratch is memory to decode tokens in. Nothing may refer to it any more when it is given back to the pool.
type scratch struct{ token, decoded [maxTokenBytes]byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch {
	s, _ := scratches.Get().(*scratch)
	return s
}

func (s *scratch) copy(text string) []byte { return s.token[:copy(s.token[:], text)] }

// decode decodes base64url without padding. Bits that are left over have to be zero, so that a token has one spelling. The
// result is valid until the next call.
func (s *scratch) decode(segment string) (decoded []byte, ok bool) {
	if len(segment) > len(s.token) || strings.ContainsAny(segment, "\r\n") { // which encoding/base64 skips
		return nil, false
	}
	n, err := strictBase64.Decode(s.decoded[:], s.copy(segment))
	return s.decoded[:n], err == nil
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
func (s *scratch) parse(token string) (t compactJWS, why *refusal) {
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || header == "" || payload == "" || signature == "" || strings.Contains(signature, ".") {
		return t, refusalShape
	}
	if t.kid, why = s.decodeHeader(header); why != nil {
		return t, why
	}
	decoded, ok := s.decode(signature)
	if !ok || len(decoded) > keys.MaxSignatureBytes {
		return t, refusalShape
	}
	t.signature = bytes.Clone(decoded)
	if decoded, ok = s.decode(payload); !ok {
		return t, refusalShape
	}
	t.claims = string(decoded)
	t.input = token[:len(header)+1+len(payload)]
	return t, nil
}

// verify returns the session of a token of at most maxTokenBytes, and the key that signed it (RFC 9068 §4, RFC 8725).
//
// The token is split, bounded and decoded here, and jwx sees only a signing input and a signature: its own parser also
// takes the JSON serializations of RFC 7515 §7.2, and claims from outside their signed part.
func (rs *ResourceServer) verify(ctx context.Context, token string, now time.Time) (*Session, *keys.Key, *refusal) {
	s := getScratch()
	t, why := s.parse(token)
	scratches.Put(s)
	if why != nil {
		return nil, nil, why
	}
	key, why := t.signedBy(ctx, rs.keys)
	if why != nil {
		return nil, nil, why
	}
	session, err := decodeClaims(t.claims)
	if err != nil {
		return nil, nil, refusalClaims
	}
	session.implied = rs.expect.implied
	session.principalIssuer = session.issuer
	if slices.Contains(rs.expect.environment, session.issuer) {
		session.principalIssuer = rs.expect.environment[0]
	}
	if why := rs.expect.judge(session, now.UnixMilli()); why != nil {
		return nil, nil, rs.explained(why, session)
	}
	return session, key, nil
}

// signedBy returns the key of the set that signed the token.
func (t *compactJWS) signedBy(ctx context.Context, set *keys.Set) (*keys.Key, *refusal) {
	candidates, err := set.Find(ctx, t.kid) // which may wait
	if errors.Is(err, keys.ErrUnknown) {
		return nil, refusalKey
	}
	if err != nil {
		return nil, refusalWithoutKeys(err)
	}
	s := getScratch()
	defer scratches.Put(s)
	key, err := candidates.Verify(s.copy(t.input), t.signature)
	if err != nil {
		return nil, refusalSignature
	}
	return key, nil
}

// decodeHeader returns the kid of a JOSE header that an access token may have. Members that name or hold a key (jku,
// jwk, x5u, x5c) are ignored.
func (s *scratch) decodeHeader(segment string) (kid string, why *refusal) {
	if len(segment) > maxHeaderBytes {
		return "", refusalHeader
	}
	document, ok := s.decode(segment)
	if !ok {
		return "", refusalShape
	}
	var alg, typ string
	var hasTyp, hasKid bool
	r := strictjson.NewReader(string(document), strictjson.Limits{Members: maxHeaderMembers})
	err := r.Object(func(name string) (err error) {
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
			err = refusalCrit
		default:
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case errors.Is(err, refusalCrit):
		return "", refusalCrit
	case err != nil:
		return "", refusalHeader
	case alg != "RS256":
		return "", refusalAlg
	case hasTyp && !isAccessTokenType(typ):
		return "", refusalTyp
	case !hasKid || kid == "" || len(kid) > keys.MaxIDBytes:
		return "", refusalHeader
	}
	return kid, nil
}

// isAccessTokenType reports whether typ is that of an access token (RFC 9068 §4), or the JWT that Scalekit writes.
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}
