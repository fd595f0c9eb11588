package mcpauth

import (
	"slices"
	"strings"
)

// expectations are what a token's claims are compared with.
type expectations struct {
	skew        int64 // milliseconds
	issuers     []string
	environment []string // those issuers that are forms of the environment's own, which comes first
	audiences   []string
	implied     map[string][]string
}

// decodeClaims reads the claims that matter here and checks the syntax of all others. null counts as absent, and so does a
// value of another type in a claim by which nothing is decided here. client_id decides whether a session is a machine's:
// without it, a machine would look like a person.
func decodeClaims(document string) (*Session, error) {
	s := newSession()
	claims := s.claims()
	claims.payload = document
	r := claimsReader{strictReader: newStrictReader(document)}
	var orgID, customOrgID string
	err := r.object(func(name string) (err error) {
		if r.space() == 'n' {
			return r.skip()
		}
		switch name {
		case "iss":
			s.issuer, err = r.string()
		case "sub":
			s.subject, err = r.string()
		case "aud":
			s.audience, err = r.strings(true)
		case "exp":
			s.expiresAt, err = r.numericDate()
			s.has |= hasExpiry
		case "nbf":
			s.notBefore, err = r.numericDate()
		case "iat":
			s.issuedAt, err = r.numericDate()
			s.has |= hasIssuedAt
		case "cnf":
			s.has |= hasConfirmation
			err = r.skip()
		case "events", "nonce", "at_hash", "c_hash", "s_hash": // RFC 8417 §2.2, OpenID Connect Core §2 and §3.3.2.11, FAPI
			s.has |= hasForeign
			err = r.skip()
		case "scope", "scopes", "scp":
			var list []string
			list, err = r.strings(true)
			s.addScopes(list)
		case "client_id":
			s.clientID, err = r.string()
		case "sid":
			err = r.text(name, &s.sessionID)
		case "jti":
			err = r.text(name, &s.tokenID)
		case "oid":
			err = r.text(name, &s.organizationID)
		case "org_id":
			err = r.text(name, &orgID)
		case "custom_claims":
			err = r.customOrganization(&customOrgID)
		case "xoid":
			err = r.text(name, &claims.externalOrganizationID)
		case "xuid":
			err = r.text(name, &claims.externalUserID)
		case "roles":
			err = r.list(name, &claims.roles)
		case "permissions":
			err = r.list(name, &claims.permissions)
		default:
			err = r.skip()
		}
		return err
	})
	if err == nil {
		err = r.end()
	}
	for _, id := range [...]string{orgID, customOrgID} {
		if s.organizationID == "" {
			s.organizationID = id
		}
	}
	claims.mistyped = r.mistyped
	return s, err
}

// A claimsReader reads claims that may be of another type than expected, and then count as absent.
type claimsReader struct {
	*strictReader
	mistyped []string // the names of those that were
}

func (r *claimsReader) text(name string, to *string) (err error) {
	if r.space() != '"' {
		r.mistyped = append(r.mistyped, name)
		return r.skip()
	}
	*to, err = r.string()
	return err
}

// list reads strings, all or none: the rest of a list that is wrong would be a guess.
func (r *claimsReader) list(name string, to *[]string) error {
	if r.space() != '[' {
		r.mistyped = append(r.mistyped, name)
		return r.skip()
	}
	var list []string
	ok := true
	err := r.array(func() error {
		if ok = ok && r.space() == '"'; !ok {
			return r.skip()
		}
		s, err := r.string()
		list = append(list, s)
		return err
	})
	if ok {
		*to = list
	} else {
		r.mistyped = append(r.mistyped, name)
	}
	return err
}

func (r *claimsReader) customOrganization(to *string) error {
	if r.space() != '{' {
		return r.skip() // whatever a customer put there
	}
	return r.object(func(name string) error {
		switch {
		case name != "org_id" || r.space() == 'n':
			return r.skip()
		default:
			return r.text("custom_claims.org_id", to)
		}
	})
}

// addScopes adds the scopes in list, each entry of which may hold several, separated by spaces (RFC 6749 §3.3).
func (s *Session) addScopes(list []string) {
	for _, entry := range list {
		s.scopes = slices.Grow(s.scopes, 1+strings.Count(entry, " "))
		for entry != "" {
			var scope string
			scope, entry, _ = strings.Cut(entry, " ")
			if scope != "" && !slices.Contains(s.scopes, scope) {
				s.scopes = append(s.scopes, scope)
			}
		}
	}
}

// isAudience reports whether a token for aud is meant for this server. Names are compared byte by byte, but that a web
// address without a path is the same with a slash (RFC 3986 §6.2.3).
func (want *expectations) isAudience(aud string) bool {
	if slices.Contains(want.audiences, aud) {
		return true
	}
	scheme, host, ok := strings.Cut(aud, "://")
	host, slash := strings.CutSuffix(host, "/")
	if !ok || scheme != "https" && scheme != "http" || host == "" || strings.ContainsAny(host, "/?#") {
		return false
	}
	if slash {
		return slices.Contains(want.audiences, aud[:len(aud)-1])
	}
	return slices.Contains(want.audiences, aud+"/")
}

// judge compares the claims with what is expected. Expiry comes last, so that only a token that was good once is
// called expired.
func (want *expectations) judge(s *Session, nowMilli int64) *refusal {
	switch {
	case !slices.Contains(want.issuers, s.issuer):
		return refuseIssuer
	case !slices.ContainsFunc(s.audience, want.isAudience):
		return refuseAudience
	case s.subject == "":
		return refuseSubject
	case s.has&hasForeign != 0:
		return refuseForeign
	case s.has&hasConfirmation != 0:
		return refuseBound
	case s.has&hasExpiry == 0:
		return refuseNoExpiry
	case s.issuedAt > nowMilli+want.skew:
		return refuseIssuedAt
	}
	return want.judgeTime(s, nowMilli)
}

// judgeTime is the part of the judgement that changes with time, and so is repeated for a cached token.
func (want *expectations) judgeTime(s *Session, nowMilli int64) *refusal {
	switch {
	case s.notBefore > nowMilli+want.skew:
		return refuseEarly
	case s.expiresAt+want.skew <= nowMilli:
		return refuseExpired
	}
	return nil
}
