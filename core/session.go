package mcpauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/testsession"
)

// A Session is the verified identity behind one request: what the access token says about its user, organization and
// scopes. It is immutable and shared by all requests with the same token, so every slice and map that it returns is a
// copy. It does not hold the token, which must not be passed on to another service.
type Session struct {
	// The fields that every request reads are together, because between two requests they fall out of the processor's caches.
	expiresAt, notBefore, issuedAt int64 // milliseconds since 1970
	has                            hasClaim
	subject                        string
	principalIssuer                string // of Principal
	scopes                         []string
	implied                        map[string][]string // transitively closed

	issuer, clientID                   string
	organizationID, sessionID, tokenID string

	audience []string

	server *resource // that verified it; nil for sessions of mcpauthtest, which count everywhere

	revoked func() error // the check of Config.Revocation; nil without one

	// The claims that printing does not show. Where a Session is in an unexported field, fmt calls no methods and follows a
	// pointer to a struct, but not a pointer to a pointer. nil in the zero Session.
	unshown **unshownClaims
}

type unshownClaims struct {
	externalOrganizationID, externalUserID string

	roles, permissions []string

	mistyped []string // the names of claims that are of another type than expected, and so count as absent

	payload string // all claims as they were signed; most strings of the session are substrings of it
}

// newSession returns a session with its unshown claims, in one allocation.
func newSession() *Session {
	var whole struct {
		Session
		claims  unshownClaims
		pointer *unshownClaims
	}
	whole.pointer = &whole.claims
	whole.unshown = &whole.pointer
	return &whole.Session
}

func (s *Session) notShown() *unshownClaims {
	if s.unshown == nil {
		return new(unshownClaims)
	}
	return *s.unshown
}

type hasClaim uint8

const (
	hasExpiry hasClaim = 1 << iota
	hasIssuedAt
	hasConfirmation
	hasForeign // a claim that access tokens do not have
)

// UserID returns the token's subject (sub): usr_... for a person, the client's id for a machine.
func (s *Session) UserID() string { return s.subject }

// OrganizationID returns the organization that the token belongs to: oid, else org_id, else custom_claims.org_id, or ""
// when there is none.
func (s *Session) OrganizationID() string { return s.organizationID }

// Scopes returns the scopes that the token holds by name: the union of scope, scopes and scp, in their order. It does
// not contain the implied ones; decide with [Session.HasScopes].
func (s *Session) Scopes() []string { return slices.Clone(s.scopes) }

// HasScopes reports whether the token holds every one of scopes, by name or by [Config.ImpliedScopes].
func (s *Session) HasScopes(scopes ...string) bool {
	for _, scope := range scopes {
		if !s.hasScope(scope) {
			return false
		}
	}
	return true
}

func (s *Session) hasScope(scope string) bool {
	for _, held := range s.scopes {
		if held == scope || slices.Contains(s.implied[held], scope) {
			return true
		}
	}
	return false
}

// ExpiresAt returns the end of the token's life (exp). Requests are let through until [Config.ClockSkew] after it.
func (s *Session) ExpiresAt() time.Time { return time.UnixMilli(s.expiresAt).UTC() }

// IssuedAt returns when the token was issued (iat), or the zero time when it doesn't say.
func (s *Session) IssuedAt() time.Time {
	if s.has&hasIssuedAt == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.issuedAt).UTC()
}

// Claims returns all claims as encoding/json decodes them: numbers are float64. Each call decodes anew, and the map is
// the caller's own. For exact integers or a type of your own use [Session.DecodeClaims].
func (s *Session) Claims() map[string]any {
	var claims map[string]any
	if err := s.DecodeClaims(&claims); err != nil {
		return map[string]any{} // unreachable: the payload was read as a JSON object before
	}
	return claims
}

// DecodeClaims decodes all claims into dst as encoding/json does, which also takes "SUB" for a field named sub: for the
// claims that have a method here, use the method. The error is that of json.Unmarshal.
func (s *Session) DecodeClaims(dst any) error {
	return json.Unmarshal([]byte(s.notShown().payload), dst)
}

// SessionID returns the Scalekit session (sid), ses_..., or "". It is not the MCP session.
func (s *Session) SessionID() string { return s.sessionID }

// ClientID returns the OAuth client that the token was issued to (client_id), or "".
func (s *Session) ClientID() string { return s.clientID }

// TokenID returns the token's identifier (jti), or "".
func (s *Session) TokenID() string { return s.tokenID }

// Issuer returns the token's issuer (iss), or "" for a credential of [Config.Credential].
func (s *Session) Issuer() string { return s.issuer }

// Audience returns what the token is meant for (aud).
func (s *Session) Audience() []string { return slices.Clone(s.audience) }

// Roles returns the user's roles. They are not scopes.
func (s *Session) Roles() []string { return slices.Clone(s.notShown().roles) }

// Permissions returns the user's permissions. They are not scopes.
func (s *Session) Permissions() []string { return slices.Clone(s.notShown().permissions) }

// ExternalUserID returns the user's id in your own system (xuid), or "".
func (s *Session) ExternalUserID() string { return s.notShown().externalUserID }

// ExternalOrganizationID returns the organization's id in your own system (xoid), or "".
func (s *Session) ExternalOrganizationID() string { return s.notShown().externalOrganizationID }

// IsMachine reports whether the caller is a program that acts for itself, and not for a user. Such a token comes from the
// client credentials grant. Its subject is the client (RFC 9068 §2.2), so that sub and client_id are the same id: m2morg_...
// for a client of an organization, and m2m_... for one that was registered on the MCP server. In a user's token, client_id
// often begins with m2m_, too, and sub is the user.
//
// A caller with a credential of [Config.Credential] is a machine when [Claims] name the same Subject and ClientID, whatever
// their form: these ids are the application's own.
func (s *Session) IsMachine() bool {
	if s.clientID == "" || s.subject != s.clientID {
		return false
	}
	return s.principalIssuer == credentialPrincipal || strings.HasPrefix(s.clientID, "m2m_") || strings.HasPrefix(s.clientID, "m2morg_")
}

// Principal returns a key for the caller that stays the same across tokens and refreshes: issuer and subject
// (RFC 7519 §4.1.2), joined by a line feed, which no accepted issuer contains. The issuer is
// the environment's URL for both of its forms, so that the key of a caller does not change on the day on which Scalekit
// changes from one form to the other. The subjects of [Config.Credential] have keys apart from those of tokens.
func (s *Session) Principal() string { return s.principalIssuer + "\n" + s.subject }

// LogValue gives a logger the identifiers of the session and none of its other claims.
func (s Session) LogValue() slog.Value { return slog.GroupValue(s.identifiers()...) }

// String returns what LogValue gives to a logger, in one line.
func (s Session) String() string { return s.LogValue().String() }

// Format writes what String returns, for every verb and flag: claims such as an email address stay out of what is printed.
func (s Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON returns what LogValue gives to a logger, as an object. For all claims use [Session.Claims].
func (s Session) MarshalJSON() ([]byte, error) { return marshalAttrs(s.identifiers()) }

// identifiers are what is shown of a session. Their methods take it by value, so that they are asked for a copy too.
func (s Session) identifiers() []slog.Attr {
	attrs := []slog.Attr{slog.String("user_id", s.subject)}
	for _, a := range [...]slog.Attr{
		slog.String("organization_id", s.organizationID), slog.String("client_id", s.clientID),
		slog.String("session_id", s.sessionID), slog.String("token_id", s.tokenID),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return append(attrs, slog.Time("expires_at", s.ExpiresAt()))
}

// ErrNoSession is returned where no verified session is in the context.
var ErrNoSession = errors.New("session not initialized: no verified access token in this context; " +
	"check that the mcpauth middleware runs before this handler, and that the request's own context reaches it")

type contextKey struct{}

func init() {
	testsession.Everywhere = func(session any) { session.(*Session).server = nil } //nolint:forcetypeassert // mcpauthtest's
}

// NewContext returns a context that carries s. It is for tests: a session of mcpauthtest counts for every resource server,
// and for as long as the context is used. Any other session is found by [SessionFromContext], but does not let a request
// in, which needs its token. A nil s hides a session that ctx carries.
func NewContext(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// SessionFromContext returns the session of the request that ctx belongs to, or [ErrNoSession]. When the response to the
// request is finished, the session is gone: code that goes on longer has to get it before.
func SessionFromContext(ctx context.Context) (*Session, error) {
	if s, _ := ctx.Value(contextKey{}).(*Session); s != nil {
		return s, nil
	}
	return nil, ErrNoSession
}
