package mcpauthrevocation

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Kind says what an entry revokes.
type Kind string

// The kinds of entries. Those of tokens and sessions refuse whatever has their id; the others refuse what was issued up to
// the second of Entry.At, and tokens that do not say when they were issued.
const (
	KindToken        Kind = "token"        // one token (jti)
	KindSession      Kind = "session"      // a session of Scalekit (sid)
	KindUser         Kind = "user"         // all tokens of a user (sub)
	KindMember       Kind = "member"       // a user's tokens for one organization, and those that name none
	KindOrganization Kind = "organization" // all tokens that name an organization
	KindClient       Kind = "client"       // all tokens of an OAuth client (client_id)
)

// An Entry says what is revoked. [Token], [Session], [User], [Member], [Organization] and [Client] make one.
type Entry struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`

	// Organization is that of KindMember.
	Organization string `json:"organization,omitempty"`

	// At is when it was revoked, by the clock that also writes iat into tokens. [List.Revoke] sets it to the present if it is
	// zero, and for tokens and sessions, which have no cut-off, so that they are kept for MaxTokenLife from then on. A session that
	// is revoked again keeps the latest.
	At time.Time `json:"at"`

	// EventID names in the log what led to the entry, such as evt_1. It may be empty.
	EventID string `json:"event_id,omitempty"`
}

// Token returns an entry for one token (jti). Scalekit's tokens for MCP users are not documented to have an id.
func Token(id string) Entry { return Entry{Kind: KindToken, ID: id} }

// Session returns an entry for a session of Scalekit (sid), with all its tokens.
func Session(id string) Entry { return Entry{Kind: KindSession, ID: id} }

// User returns an entry for the tokens that a user (sub) has now. Later tokens are let in.
func User(id string) Entry { return Entry{Kind: KindUser, ID: id} }

// Member returns an entry for the tokens that a user has now for one organization. It also refuses the user's tokens that
// name no organization, because they may be for this one. Later tokens are let in.
func Member(userID, organizationID string) Entry {
	return Entry{Kind: KindMember, ID: userID, Organization: organizationID}
}

// Organization returns an entry for the tokens that now name an organization. Tokens that name none are not refused: use
// [Member] for each of its users, too.
func Organization(id string) Entry { return Entry{Kind: KindOrganization, ID: id} }

// Client returns an entry for the tokens that an OAuth client (client_id) has now, of whichever user. Later tokens are let in.
func Client(id string) Entry { return Entry{Kind: KindClient, ID: id} }

// isAbsolute reports whether e has no cut-off.
func (e *Entry) isAbsolute() bool { return e.Kind == KindToken || e.Kind == KindSession }

// String returns the kind and the ids, as the log has them.
func (e Entry) String() string {
	text := string(e.Kind) + " " + e.ID
	if e.Kind == KindMember {
		text += " of " + e.Organization
	}
	return text
}

const (
	maxID     = 2048 // bytes; ids of clients may be URLs
	maxFuture = 5 * time.Minute
)

// check returns what is wrong with an entry at now, or nil.
func (e *Entry) check(now time.Time) error {
	if err := e.checkForm(); err != nil {
		return err
	}
	if e.At.Sub(now) > maxFuture {
		return fmt.Errorf("mcpauthrevocation: entry %q: At is more than 5 min in the future; check this machine's clock", e)
	}
	return nil
}

// checkForm checks what does not depend on the time.
func (e *Entry) checkForm() error {
	switch e.Kind {
	case KindToken, KindSession, KindUser, KindMember, KindOrganization, KindClient:
	default:
		return fmt.Errorf("mcpauthrevocation: entry of kind %q; use Token, Session, User, Member, Organization or Client", string(e.Kind))
	}
	if e.At.Unix() < 0 {
		return fmt.Errorf("mcpauthrevocation: %s entry with a time before 1970; leave At out, or set it to when the entry was revoked", e.Kind)
	}
	return e.checkIDs()
}

// checkIDs checks the texts of an entry.
func (e *Entry) checkIDs() error {
	if e.ID == "" || e.Kind == KindMember && e.Organization == "" {
		return fmt.Errorf("mcpauthrevocation: %s entry without an id; give the id that tokens carry", e.Kind)
	}
	if e.Kind != KindMember && e.Organization != "" {
		return fmt.Errorf("mcpauthrevocation: %s entry with an organization; only Member has one", e.Kind)
	}
	for _, text := range [...]string{e.ID, e.Organization, e.EventID} {
		if len(text) > maxID || !utf8.ValidString(text) {
			return fmt.Errorf("mcpauthrevocation: %s entry with an id that is longer than 2,048 bytes or not text", e.Kind)
		}
		if strings.ContainsFunc(text, unicode.IsControl) || strings.TrimSpace(text) != text { // as of a line that was read
			return fmt.Errorf("mcpauthrevocation: %s entry with the id %q, which no token carries; leave out the space around it", e.Kind, text)
		}
	}
	return nil
}
