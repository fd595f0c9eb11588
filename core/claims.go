package mcpauth

import (
	"slices"
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// expectations are what a token's claims are compared with.
type expectations struct {
	skew        int64 // milliseconds
	issuers     []string
	environment []string // the environment's own issuer in its one or two forms, its URL first
	audiences   []string
	implied     map[string][]string
}

// expectationsOf returns what cfg says of tokens. The environment's own name ENV or ENV/resources/<id> as their issuer, and
// both are right while Scalekit migrates.
func expectationsOf(cfg *Config) expectations {
	environment := []string{cfg.EnvironmentURL}
	if cfg.ResourceID != "" {
		environment = append(environment, authorizationServer(cfg))
	}
	var audiences []string
	switch {
	case cfg.ResourceID != "":
		audiences = []string{cfg.ResourceID}
	case cfg.OmitRootMetadata:
		audiences = []string{resourceIdentifier(cfg)}
	default:
		audiences = []string{resourceIdentifier(cfg), cfg.BaseURL}
	}
	return expectations{
		issuers:     union(environment, cfg.Issuers),
		environment: environment,
		audiences:   union(audiences, cfg.Audiences),
		skew:        cfg.ClockSkew.Milliseconds(),
		implied:     closure(cfg.ImpliedScopes),
	}
}

// decodeClaims reads the claims that a session has methods for, and checks the syntax of all others. null counts as absent,
// and so does a value of another type, unless a decision depends on the claim. One depends on client_id, too: without it, a
// machine would look like a person.
func decodeClaims(document string) (*Session, error) {
	s := newSession()
	claims := s.notShown()
	claims.payload = document
	r := claimsReader{Reader: strictjson.NewReader(document, strictjson.Limits{})}
	var orgID, customOrgID string
	err := r.Object(func(name string) (err error) {
		if r.Peek() == strictjson.KindNull {
			return r.Skip()
		}
		switch name {
		case "iss":
			s.issuer, err = r.Text()
		case "sub":
			s.subject, err = r.Text()
		case "aud":
			s.audience, err = r.Texts()
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
			err = r.Skip()
		case "events", "nonce", "at_hash", "c_hash", "s_hash": // RFC 8417 §2.2, OpenID Connect Core §2 and §3.3.2.11, FAPI
			s.has |= hasForeign
			err = r.Skip()
		case "scope", "scopes", "scp":
			var list []string
			list, err = r.Texts()
			s.addScopes(list)
		case "client_id":
			s.clientID, err = r.Text()
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
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
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
	*strictjson.Reader
	mistyped []string // their names
}

func (r *claimsReader) text(name string, to *string) (err error) {
	if r.Peek() != strictjson.KindText {
		r.mistyped = append(r.mistyped, name)
		return r.Skip()
	}
	*to, err = r.Text()
	return err
}

// list reads strings. A list with a value of another type counts as absent as a whole, because the rest would be a guess.
func (r *claimsReader) list(name string, to *[]string) error {
	if r.Peek() != strictjson.KindArray {
		r.mistyped = append(r.mistyped, name)
		return r.Skip()
	}
	var list []string
	ok := true
	err := r.Array(func() error {
		if ok = ok && r.Peek() == strictjson.KindText; !ok {
			return r.Skip()
		}
		s, err := r.Text()
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
	if r.Peek() != strictjson.KindObject {
		return r.Skip() // a customer may put any value there
	}
	return r.Object(func(name string) error {
		switch {
		case name != "org_id" || r.Peek() == strictjson.KindNull:
			return r.Skip()
		default:
			return r.text("custom_claims.org_id", to)
		}
	})
}

// latestDate is the end of the year 9999 in seconds since 1970. Beyond it time.Time has no RFC 3339 form.
const latestDate = 253402300799

// numericDate reads a NumericDate (RFC 7519 §2), an integer or a fraction of seconds, as milliseconds since 1970.
func (r *claimsReader) numericDate() (int64, error) {
	text, err := r.Number()
	if err != nil {
		return 0, err
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 || n > latestDate {
			return 0, strictjson.ErrType
		}
		return n * 1000, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= latestDate) {
		return 0, strictjson.ErrType
	}
	return int64(f * 1000), nil
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

// isAudience reports whether a token for aud is meant for this server. Names are compared byte by byte, except that a
// web address without a path is the same with a slash (RFC 3986 §6.2.3).
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

// judge compares the claims with what is expected. Expiry comes last, so that only a token that was valid once is called
// expired.
func (want *expectations) judge(s *Session, nowMilli int64) *refusal {
	switch {
	case !slices.Contains(want.issuers, s.issuer):
		return refusalIssuer
	case !slices.ContainsFunc(s.audience, want.isAudience):
		return refusalAudience
	case s.subject == "":
		return refusalSubject
	case s.has&hasForeign != 0:
		return refusalForeign
	case s.has&hasConfirmation != 0:
		return refusalBound
	case s.has&hasExpiry == 0:
		return refusalNoExpiry
	case s.issuedAt > nowMilli+want.skew:
		return refusalIssuedAt
	}
	return want.judgeTime(s, nowMilli)
}

// judgeTime compares the claims that time changes. It is repeated for cached tokens.
func (want *expectations) judgeTime(s *Session, nowMilli int64) *refusal {
	switch {
	case s.notBefore > nowMilli+want.skew:
		return refusalEarly
	case s.expiresAt+want.skew <= nowMilli:
		return refusalExpired
	}
	return nil
}
