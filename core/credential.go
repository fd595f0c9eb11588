package mcpauth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims are what [Config.Credential] knows about a credential that is not an access token, such as an API key. They
// become a [Session] like the claims of a token.
type Claims struct {
	// Subject is the user or program that the credential belongs to. It is required.
	Subject string

	// ExpiresAt is when the credential ends. It is required: give one for a credential that has none, such as an hour from
	// now, and Credential is asked again after that. A time after the year 9999 counts as its end.
	ExpiresAt time.Time

	// The rest may be empty. Scopes are compared like those of a token. IssuedAt must not be in the future, because what was
	// revoked before it would not count.
	IssuedAt       time.Time
	TokenID        string // an id of the credential, for logs and revocation; never the credential itself
	ClientID       string // the same as Subject for a program that acts for itself; see [Session.IsMachine]
	OrganizationID string
	Scopes         []string
	Roles          []string
	Permissions    []string

	// The ids of the organization and the user in your own system.
	ExternalOrganizationID, ExternalUserID string
}

// credentialPrincipal is the issuer's part of the principals of credentials. Issuers are web addresses, so that the subject
// of a credential is never taken for that of a token.
const credentialPrincipal = "mcpauth:credential"

var (
	refusalCredential     = invalidToken("Config.Credential does not know the credential", "nothing to do here: the client has to send a credential that is valid")
	refusalMisplacedToken = invalidToken("Config.CredentialHeader carries what looks like an access token", "the client has to send an access token as Authorization: Bearer <token>")
	refusalBoth           = &refusal{
		outcome: OutcomeInvalidRequest, cause: "the request carries a Bearer or malformed Authorization header and the header of another credential",
		cure: "the client has to send one of the two",
	}
	refusalMalformedCredential = &refusal{
		outcome: OutcomeInvalidRequest, cause: "the credential's header is empty, repeated, longer than 16 KiB, or has characters that are not printable ASCII",
		cure: "the client has to send the header once, with the credential alone",
	}
)

// hasCredentials reports whether a request carries anything in the headers where credentials are looked for.
func (rs *ResourceServer) hasCredentials(header func(name string) []string) bool {
	return len(header("Authorization")) > 0 || rs.credentialKey != "" && len(header(rs.credentialKey)) > 0
}

// RemoveCredentials removes the headers in which credentials are looked for. It is for the modules for MCP SDKs, which give
// headers to tools: a tool without credentials can't pass them on (MCP "Token Passthrough").
func (rs *ResourceServer) RemoveCredentials(header http.Header) {
	delete(header, "Authorization")
	delete(header, rs.credentialKey)
}

// identify returns the session of a request's credentials.
func (rs *ResourceServer) identify(ctx context.Context, req *Request) (*Session, *refusal) {
	token, why := bearerToken(req.Header("Authorization"))
	if rs.credentialKey != "" {
		if lines := req.Header(rs.credentialKey); len(lines) > 0 {
			if why != refusalNoCredentials {
				return nil, refusalBoth
			}
			return rs.credentialSession(ctx, rs.credentialHeader, lines...)
		}
	}
	switch {
	case why != nil:
		return nil, why
	case rs.credential != nil && rs.credentialHeader == "" && !looksLikeJWS(token):
		return rs.credentialSession(ctx, "Bearer", token)
	}
	return rs.session(ctx, token)
}

// looksLikeJWS reports whether a value can only be verified with the environment's keys. Config.Credential never gets such a
// value, because a function that decodes it would believe what it says. It has the three parts of a compact JWS or the five
// of an encrypted token (RFC 7515 §7.1, RFC 7516 §7.1), is an object as in their JSON serializations, or begins like
// the base64 of one, which is how a token that was cut off looks.
func looksLikeJWS(token string) bool {
	dots := strings.Count(token, ".")
	return dots == 2 || dots == 4 || strings.HasPrefix(token, "eyJ") || strings.HasPrefix(token, "{")
}

// credentialSession returns the session of a credential, from the cache or by asking Config.Credential.
func (rs *ResourceServer) credentialSession(ctx context.Context, scheme string, lines ...string) (*Session, *refusal) {
	value := trimSpace(lines[0])
	if len(lines) > 1 || value == "" || len(value) > maxTokenBytes || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, refusalMalformedCredential
	}
	if looksLikeJWS(value) {
		return nil, refusalMisplacedToken
	}
	now := rs.now()
	cached := scheme + "\n" + value // no header line has a line feed, so that a credential is never taken for a token
	var generation uint32
	if rs.cache != nil {
		generation = rs.cache.generation.Load()
		if e := rs.cache.get(cached, now); e != nil {
			if why := rs.expect.judgeTime(e.session, now.UnixMilli()); why != nil {
				return nil, why
			}
			return e.session, nil
		}
	}
	value = strings.Clone(value) // some frameworks reuse the line's memory, and the hook may keep it
	claims, err := callHook(ctx, func(ctx context.Context) (*Claims, error) { return rs.credential(ctx, scheme, value) })
	switch {
	case err == nil && claims == nil:
		return nil, refusalCredential
	case err == nil && claims.Subject == "":
		err = errors.New("the claims have no Subject")
	case err == nil && claims.ExpiresAt.IsZero():
		err = errors.New("the claims have no ExpiresAt")
	case err == nil && dateOf(claims.IssuedAt) > rs.now().UnixMilli()+rs.expect.skew:
		err = errors.New("the claims have an IssuedAt in the future")
	}
	if err != nil {
		return nil, &refusal{
			outcome: OutcomeUnavailable, level: slog.LevelWarn, retryAfter: time.Second, cause: "the credential hook failed",
			cure: "see the error of Config.Credential", attrs: []slog.Attr{slog.Any("error", err)},
		}
	}
	session := claims.session(rs.resource)
	rs.watched(session)
	if why := rs.expect.judgeTime(session, now.UnixMilli()); why != nil {
		return nil, why
	}
	if rs.cache != nil {
		rs.cache.put(cached, session, nil, now, generation)
	}
	return session, nil
}

// dateOf returns t in milliseconds since 1970, within the bounds of the dates of a token: "never" is often written as a time
// that overflows.
func dateOf(t time.Time) int64 {
	switch seconds := t.Unix(); {
	case seconds < 0:
		return 0
	case seconds > latestDate:
		return latestDate * 1000
	}
	return t.UnixMilli()
}

// session returns the session of claims. Its claims can be decoded like those of a token.
func (c *Claims) session(server *resource) *Session {
	s := newSession()
	s.server, s.implied = server, server.expect.implied
	s.principalIssuer, s.subject = credentialPrincipal, strings.Clone(c.Subject)
	s.clientID, s.organizationID, s.tokenID = c.ClientID, c.OrganizationID, c.TokenID
	s.addScopes(c.Scopes)
	s.has = hasExpiry
	s.expiresAt = dateOf(c.ExpiresAt)
	members := []member{
		{"sub", c.Subject},
		{"client_id", c.ClientID},
		{"oid", c.OrganizationID},
		{"jti", c.TokenID},
		{"scope", strings.Join(s.scopes, " ")},
		{"roles", c.Roles},
		{"permissions", c.Permissions},
		{"xoid", c.ExternalOrganizationID},
		{"xuid", c.ExternalUserID},
		{"exp", json.Number(strconv.FormatInt(s.expiresAt/1000, 10))},
	}
	if !c.IssuedAt.IsZero() {
		s.has |= hasIssuedAt
		s.issuedAt = dateOf(c.IssuedAt)
		members = append(members, member{"iat", json.Number(strconv.FormatInt(s.issuedAt/1000, 10))})
	}
	unshown := s.notShown()
	unshown.roles, unshown.permissions = slices.Clone(c.Roles), slices.Clone(c.Permissions)
	unshown.externalOrganizationID, unshown.externalUserID = c.ExternalOrganizationID, c.ExternalUserID
	unshown.payload = string(encodeObject(members))
	return s
}
