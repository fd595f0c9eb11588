package oauth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// store keeps everything in memory. go-oidc's own store hands out its pointers, which the library then changes while
// other requests read them, and evicts after a hundred entries; this one copies in and out.
type store struct {
	documents *documents
	scopes    []string
	issued    *issuedTokens

	mu       sync.Mutex
	clients  map[string]*goidc.Client
	sessions map[string]*goidc.AuthnSession
	grants   map[string]*goidc.Grant
	codes    map[string]string // authorization code -> grant
	current  map[string]string // refresh token -> grant
	spent    map[string]string // refresh token that was rotated away -> grant
}

var (
	_ goidc.GrantManager        = (*store)(nil)
	_ goidc.AuthManager         = (*store)(nil)
	_ goidc.DCRManager          = (*store)(nil)
	_ goidc.RefreshTokenManager = (*store)(nil)
)

func newStore(documents *documents, scopes []string) *store {
	return &store{
		documents: documents,
		scopes:    scopes,
		issued:    &issuedTokens{byHash: make(map[[sha256.Size]byte]issuedToken)},
		clients:   make(map[string]*goidc.Client),
		sessions:  make(map[string]*goidc.AuthnSession),
		grants:    make(map[string]*goidc.Grant),
		codes:     make(map[string]string),
		current:   make(map[string]string),
		spent:     make(map[string]string),
	}
}

func (s *store) SaveSession(_ context.Context, session *goidc.AuthnSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := int(time.Now().Unix())
	maps.DeleteFunc(s.sessions, func(_ string, old *goidc.AuthnSession) bool { return old.ExpiresAt <= now })
	s.sessions[session.ID] = copySession(session)
	return nil
}

func (s *store) Session(_ context.Context, id string) (*goidc.AuthnSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.sessions[id]
	if !ok {
		return nil, goidc.ErrNotFound
	}
	return copySession(session), nil
}

func copySession(session *goidc.AuthnSession) *goidc.AuthnSession {
	c := *session
	c.Store = maps.Clone(session.Store)
	return &c
}

func (s *store) SaveGrant(_ context.Context, grant *goidc.Grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.grants[grant.ID]; ok && old.RefreshToken != "" && old.RefreshToken != grant.RefreshToken {
		delete(s.current, old.RefreshToken)
		s.spent[old.RefreshToken] = grant.ID
	}
	if grant.AuthCode != "" {
		s.codes[grant.AuthCode] = grant.ID
	}
	if grant.RefreshToken != "" {
		s.current[grant.RefreshToken] = grant.ID
	}
	c := *grant
	s.grants[grant.ID] = &c
	return nil
}

func (s *store) Grant(_ context.Context, id string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant(id)
}

func (s *store) GrantByAuthCode(_ context.Context, code string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant(s.codes[code])
}

// GrantByRefreshToken finds no grant by a token that was rotated away, and ends its session: either the client or a
// thief has the newer one, and nobody can tell which (RFC 9700 §4.14.2).
func (s *store) GrantByRefreshToken(_ context.Context, token string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.spent[token]; ok {
		s.revoke(id)
		return nil, fmt.Errorf("%w: the refresh token was used before; its session is ended", goidc.ErrNotFound)
	}
	return s.grant(s.current[token])
}

// RevokeGrant makes the grant's refresh token useless.
func (s *store) RevokeGrant(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke(id)
}

func (s *store) grant(id string) (*goidc.Grant, error) {
	grant, ok := s.grants[id]
	if !ok {
		return nil, goidc.ErrNotFound
	}
	c := *grant
	return &c, nil
}

func (s *store) revoke(id string) {
	if grant, ok := s.grants[id]; ok && grant.RevokedAt == 0 {
		c := *grant
		c.RevokedAt = int(time.Now().Unix())
		s.grants[id] = &c
	}
}

func (s *store) SaveClient(_ context.Context, client *goidc.Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := *client
	s.clients[client.ID] = &c
	return nil
}

func (s *store) DeleteClient(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, id)
	return nil
}

// redirectKey is the context key of the redirect URI that an authorization request asks for.
type redirectKey struct{}

// Client finds a registered client, or fetches the metadata document that a URL names. It adds the redirect URI that the
// request asks for, if a registered one allows it.
func (s *store) Client(ctx context.Context, id string) (*goidc.Client, error) {
	client, err := s.client(ctx, id)
	if err != nil {
		return nil, err
	}
	asked, _ := ctx.Value(redirectKey{}).(string)
	if asked != "" && allowsRedirect(client.RedirectURIs, asked) {
		client.RedirectURIs = []string{asked}
	}
	return client, nil
}

func (s *store) client(ctx context.Context, id string) (*goidc.Client, error) {
	if strings.Contains(id, "://") {
		metadata, err := s.documents.fetch(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("%w: client metadata document: %w", goidc.ErrNotFound, err)
		}
		return metadata.client(id, s.scopes), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	client, ok := s.clients[id]
	if !ok {
		return nil, fmt.Errorf("%w: no client %q is registered here; registrations end with the environment", goidc.ErrNotFound, id)
	}
	c := *client
	return &c, nil
}
