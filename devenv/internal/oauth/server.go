// Package oauth is the authorization server of one MCP resource. go-oidc does the protocol. This package adds client
// metadata documents, registration as MCP clients need it, loopback redirects on any port, access tokens in Scalekit's form,
// and their revocation.
//
// It is the only package that knows go-oidc, whose v0 API may change.
package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// Config describes the authorization server. Everything in it is required, and nothing is checked.
type Config struct {
	Issuer      string        // of the metadata, of ID tokens and of the authorization response
	TokenIssuer string        // of access tokens
	PathPrefix  string        // Issuer's path; the handlers are called with it
	Audience    []string      // of access tokens
	Resources   []string      // accepted as the resource parameter
	Scopes      []string      // all that exist; every client may ask for all of them
	TTL         time.Duration // until SetTokenLife
	OrgClaims   bool          // access tokens name the user's organization, roles and permissions
	Users       []User
	Keys        *mcpauthtest.KeySet
	Logger      *slog.Logger

	OnlyPublicDocuments bool // client metadata documents are not fetched from loopback
}

// A User is a person that the sign-in page offers.
type User struct {
	ID, Name, Email                  string
	OrganizationID, OrganizationName string // empty for a user without one
	OrganizationExternalID           string
	Roles, Permissions               []string // in the organization
	Deactivated                      bool     // may not sign in
}

// Server serves the endpoints below Config.PathPrefix, and registration.
type Server struct {
	config    Config
	users     *userTable
	life      atomic.Int64 // of access tokens, in seconds
	store     *store
	documents *documents
	provider  http.Handler
	sameSite  *http.CrossOriginProtection

	// exchange serializes requests that use something up: a code, a refresh token, a form. go-oidc reads and writes in two
	// steps, so two requests at the same moment would both succeed.
	exchange sync.Mutex
}

// New returns a server. It does no I/O.
func New(config Config) (*Server, error) {
	s := &Server{
		config:    config,
		users:     newUserTable(config.Users),
		store:     newStore(),
		documents: newDocuments(config.Issuer, config.OnlyPublicDocuments, config.Logger),
		sameSite:  http.NewCrossOriginProtection(),
	}
	s.SetTokenLife(config.TTL)
	scopes := make([]goidc.Scope, 0, len(config.Scopes))
	for _, id := range config.Scopes {
		scopes = append(scopes, goidc.NewScope(id))
	}
	op, err := provider.New(
		provider.Config{
			Issuer:      config.Issuer,
			Manager:     s.store,
			JWKS:        s.publishedKeys,
			IDTokenAlgs: []goidc.SignatureAlgorithm{goidc.SigAlgRS256},
		},
		provider.WithSigner(s.signer),
		provider.WithScopes(scopes...),
		provider.WithNoneAuthn(),
		provider.WithAuthorizeEndpoint("/oauth/authorize"),
		provider.WithTokenEndpoint("/oauth/token"),
		provider.WithAuthnSessionIDFunc(randomID("")),
		provider.WithGrantIDFunc(randomID("ses_")), // the grant is what a token's sid names
		provider.WithJWTIDFunc(randomID("tkn_")),
		provider.WithAuthCodeGrant(
			provider.AuthCodeGrantConfig{Manager: s.store, ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode}},
			provider.WithPKCE([]goidc.CodeChallengeMethod{goidc.CodeChallengeMethodSHA256}, provider.WithPKCERequired()),
			provider.WithIssuerResponseParameter(),
			provider.WithAuthPolicies(goidc.NewPolicy("consent",
				func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, s.consent)),
		),
		provider.WithRefreshTokenGrant(s.store,
			provider.WithRefreshTokenRotation(),
			provider.WithRefreshTokenShouldIssue(func(_ context.Context, _ *goidc.Client, grant *goidc.Grant) bool {
				return slices.Contains(scopesOf(grant.Scopes), goidc.ScopeOfflineAccess.ID)
			}),
		),
		// Only its store is used: the registration endpoint is ours, see Register.
		provider.WithDCR(s.store),
		provider.WithTokenRevocation(
			func(context.Context, *goidc.Client) bool { return true },
			provider.WithTokenRevocationEndpoint("/oauth/revoke")),
		// Not required: clients that are older than resource indicators send none, and there is only one resource.
		provider.WithResourceIndicators(config.Resources),
		provider.WithTokenOptions(func(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
			return goidc.NewJWTTokenOptions(goidc.SigAlgRS256, int(s.life.Load()))
		}),
		provider.WithTokenClaims(s.tokenClaims),
		provider.WithIDTokenClaims(s.idTokenClaims),
		provider.WithErrorHandler(func(ctx context.Context, err error) {
			config.Logger.DebugContext(ctx, "the authorization server refused a request", "error", err)
		}),
		provider.WithErrorRenderer(renderError),
		// No client here signs anything, so nothing can be replayed. Without a consumer, go-oidc warns at every start.
		provider.WithJTIConsumer(func(context.Context, string) error { return nil }),
	)
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	s.provider = http.StripPrefix(config.PathPrefix, op.Handler())
	return s, nil
}

func (s *Server) signer(context.Context, goidc.SignatureAlgorithm) (string, crypto.Signer, error) {
	key := s.config.Keys.Current()
	return key.ID(), key.Signer(), nil
}

func (s *Server) publishedKeys(context.Context) (goidc.JSONWebKeySet, error) {
	var set goidc.JSONWebKeySet
	err := json.Unmarshal(s.config.Keys.JWKS(), &set)
	return set, err
}

func randomID(prefix string) goidc.RandomFunc {
	return func(context.Context) string { return prefix + rand.Text() }
}

const maxBodyBytes = 64 << 10

func parseForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if err := r.ParseForm(); err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return false
	}
	return true
}

func writeError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
