package devenv

import "time"

// A Session begins when a person agrees on the sign-in page that a client may act for them. Access tokens name it as sid.
type Session struct {
	ID       string // ses_...
	UserID   string
	ClientID string
	// ClientName is what the client calls itself, and may be any text.
	ClientName string
	Scopes     []string
	Started    time.Time
	Ended      time.Time // zero while the session goes on
	Tokens     []Token   // its access tokens that have not expired, the newest first
}

// A Token has the claims of an access token. The token itself is not kept.
type Token struct {
	KeyID     string
	Claims    map[string]any
	ExpiresAt time.Time
}

// Sessions returns the sessions that go on, and those that have ended while one of their access tokens is still valid. The
// newest is first.
func (e *Environment) Sessions() []Session {
	var sessions []Session
	for _, s := range e.oauth.Sessions() {
		session := Session{
			ID: s.ID, UserID: s.UserID, ClientID: s.ClientID, ClientName: s.ClientName, Scopes: s.Scopes,
			Started: s.Started, Ended: s.Ended,
		}
		for _, t := range s.Tokens {
			session.Tokens = append(session.Tokens, Token(t))
		}
		sessions = append(sessions, session)
	}
	return sessions
}
