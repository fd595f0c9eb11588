package oauth

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Session is what a person's consent to a client began. Its tokens name it by sid.
type Session struct {
	ID, UserID, ClientID, ClientName string
	Scopes                           []string
	Started, Ended                   time.Time // Ended is zero while refresh tokens of the session work
	Tokens                           []Token   // those that have not expired, the newest first
}

// A Token is what is known of an access token. The token itself is not.
type Token struct {
	KeyID     string
	Claims    map[string]any
	ExpiresAt time.Time
}

// A Client is one that registered, or whose metadata document was fetched.
type Client struct {
	ID, Name     string
	RedirectURIs []string
	Approved     bool // a person signed in with it
}

// SetTokenLife changes how long access tokens are valid that are issued from now on, in whole seconds.
func (s *Server) SetTokenLife(life time.Duration) { s.life.Store(int64(life / time.Second)) }

// Users returns the people that one can sign in as, as they are now.
func (s *Server) Users() []User { return s.users.all() }

// User returns one of them.
func (s *Server) User(id string) (User, bool) { return s.users.get(id) }

// Clients returns the known clients; the one that was used last is first.
func (s *Server) Clients() []Client {
	t := s.store.clients
	t.mu.Lock()
	known := slices.SortedFunc(maps.Values(t.byID), func(a, b *knownClient) int { return cmp.Compare(b.lastUse, a.lastUse) })
	clients := make([]Client, 0, len(known))
	for _, k := range known {
		clients = append(clients, Client{
			ID: k.client.ID, Name: k.client.Name, RedirectURIs: slices.Clone(k.client.RedirectURIs), Approved: k.approved,
		})
	}
	t.mu.Unlock()
	return clients
}

// Sessions returns the newest sessions first: those that go on, and those that have ended while a token of theirs has not
// expired.
func (s *Server) Sessions() []Session {
	tokens := s.store.issued.bySession(time.Now())
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var sessions []Session
	for _, id := range slices.Backward(s.store.order) {
		session := s.session(id)
		session.Tokens = tokens[id]
		if session.Ended.IsZero() || len(session.Tokens) > 0 {
			sessions = append(sessions, session)
		}
	}
	return sessions
}

// session returns a session without its tokens. Its caller holds the store's lock.
func (s *Server) session(id string) Session {
	grant := s.store.grants[id]
	session := Session{
		ID: grant.ID, UserID: grant.Subject, ClientID: grant.ClientID,
		Scopes: strings.Fields(grant.Scopes), Started: time.Unix(int64(grant.CreatedAt), 0),
	}
	if grant.RevokedAt != 0 {
		session.Ended = time.Unix(int64(grant.RevokedAt), 0)
	}
	if client, ok := s.store.clients.get(grant.ClientID); ok {
		session.ClientName = client.Name
	}
	return session
}

// EndSession makes the refresh token of a session invalid. ended is false if there is no such session, or it had ended
// before.
func (s *Server) EndSession(id string) (session Session, ended bool) {
	s.exchange.Lock() // what is being issued is issued before
	defer s.exchange.Unlock()
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if grant, ok := s.store.grants[id]; !ok || grant.RevokedAt != 0 {
		return Session{}, false
	}
	s.store.revoke(id)
	return s.session(id), true
}

// ChangeUsers calls change for every user, and ends the sessions of those that change reports to have changed. It returns
// these as they were before. A code, a token or a form that is being answered is answered before.
func (s *Server) ChangeUsers(change func(*User) bool) (before []User) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	before = s.users.change(change)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for id, grant := range s.store.grants {
		if slices.ContainsFunc(before, func(u User) bool { return u.ID == grant.Subject }) {
			s.store.revoke(id)
		}
	}
	return before
}

// bySession returns the tokens that have not expired, by session.
func (t *issuedTokens) bySession(now time.Time) map[string][]Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	sessions := make(map[string][]Token)
	for _, issued := range t.byHash {
		if now.Before(issued.expires) {
			sessions[issued.grant] = append(sessions[issued.grant], Token{
				KeyID: issued.key, Claims: maps.Clone(issued.claims), ExpiresAt: issued.expires,
			})
		}
	}
	for _, tokens := range sessions {
		slices.SortStableFunc(tokens, func(a, b Token) int { return b.ExpiresAt.Compare(a.ExpiresAt) })
	}
	return sessions
}
