package oauth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// store keeps everything in memory. go-oidc's own store hands out its pointers, which the library then changes while other
// requests read them, and drops entries beyond a hundred. This one copies on every read and write.
type store struct {
	clients *clientTable
	issued  *issuedTokens

	mu       sync.Mutex
	sessions map[string]*goidc.AuthnSession
	grants   map[string]*goidc.Grant
	order    []string          // ids of grants, the newest last
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

func newStore() *store {
	return &store{
		clients:  &clientTable{byID: make(map[string]*knownClient)},
		issued:   &issuedTokens{byHash: make(map[[sha256.Size]byte]issuedToken)},
		sessions: make(map[string]*goidc.AuthnSession),
		grants:   make(map[string]*goidc.Grant),
		codes:    make(map[string]string),
		current:  make(map[string]string),
		spent:    make(map[string]string),
	}
}

// maxSessions is how many sign-in pages may be open at a time. There has to be a limit, because any page can open more.
const maxSessions = 1000

func (s *store) SaveSession(_ context.Context, session *goidc.AuthnSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := int(time.Now().Unix())
	maps.DeleteFunc(s.sessions, func(_ string, old *goidc.AuthnSession) bool { return old.ExpiresAt <= now })
	if _, ok := s.sessions[session.ID]; !ok && len(s.sessions) >= maxSessions {
		s.dropOldestSession()
	}
	s.sessions[session.ID] = copySession(session)
	return nil
}

func (s *store) dropOldestSession() {
	var oldest *goidc.AuthnSession
	for _, session := range s.sessions {
		if oldest == nil || session.ExpiresAt < oldest.ExpiresAt {
			oldest = session
		}
	}
	delete(s.sessions, oldest.ID)
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
	if _, ok := s.grants[grant.ID]; !ok {
		s.order = append(s.order, grant.ID)
	}
	c := *grant
	s.grants[grant.ID] = &c
	s.clients.approve(grant.ClientID) // a person has agreed, or there would be no grant
	return nil
}

func (s *store) Grant(_ context.Context, id string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant(id)
}

// GrantByAuthCode returns no grant whose session has ended: go-oidc would answer expired_token, and RFC 6749 §5.2 knows only
// invalid_grant.
func (s *store) GrantByAuthCode(_ context.Context, code string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, err := s.grant(s.codes[code])
	if err == nil && grant.RevokedAt != 0 {
		return nil, fmt.Errorf("%w: the session of the code has ended; sign in again", goidc.ErrNotFound)
	}
	return grant, err
}

// GrantByRefreshToken returns no grant for a token that was rotated away, and ends its session: either the client or a thief
// has the newer token, and it can't be known which (RFC 9700 §4.14.2).
func (s *store) GrantByRefreshToken(_ context.Context, token string) (*goidc.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.spent[token]; ok {
		s.revoke(id)
		return nil, fmt.Errorf("%w: the refresh token was used before, so its session has ended; sign in again", goidc.ErrNotFound)
	}
	return s.grant(s.current[token])
}

// RevokeGrant makes the grant's refresh token invalid.
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
	s.clients.put(client)
	return nil
}

func (s *store) DeleteClient(_ context.Context, id string) error {
	s.clients.remove(id)
	return nil
}

// redirectKey is the context key of the redirect URI that an authorization request asks for.
type redirectKey struct{}

// Client returns a client that is known already. It never fetches anything, see [Server.learn]. If the request asks for a
// redirect URI, the returned client has that one only, or none when the client may not use it.
func (s *store) Client(ctx context.Context, id string) (*goidc.Client, error) {
	client, ok := s.clients.get(id)
	switch {
	case ok:
	case isDocumentURL(id):
		return nil, fmt.Errorf("%w: the client %q is unknown, because no authorization request has named it; start with one", goidc.ErrNotFound, id)
	default:
		return nil, fmt.Errorf("%w: the client %q is not registered, or the environment was restarted since; register again", goidc.ErrNotFound, id)
	}
	if asked, ok := ctx.Value(redirectKey{}).(string); ok {
		redirects := client.RedirectURIs
		client.RedirectURIs = nil
		if allowsRedirect(redirects, asked) {
			client.RedirectURIs = []string{asked}
		}
	}
	return client, nil
}
