package devenv

import "time"

// A Session is what a person's consent to a client began. Access tokens name it as sid.
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

// A Token is what an access token says. The token itself is not kept.
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
