package mcpauthrevocation

import (
	"math"
	"sync/atomic"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// always is the second from which entries count that have no cut-off, and those about tokens that do not say when they were
// issued.
const always = math.MinInt64

// A watch is what a session has to be compared with.
type watch struct {
	list    *List
	session *mcpauth.Session
	refused *mcpauth.RevokedError // whatever the entries say
	keys    [6]key
	count   int
	clean   atomic.Uint64 // a version of the list up to which nothing was found, and 1; 0 for none
}

// A key is what an entry about the session would have.
type key struct {
	hash             uint64
	kind             byte
	id, organization string
	since            int64
}

// Watch returns the check of a session, which is local, takes no lock, and allocates nothing for a session that is not
// refused ([mcpauth.Revocation]).
func (l *List) Watch(session *mcpauth.Session) (check func() error) {
	if l == nil {
		return func() error { return errNotRunning }
	}
	w := &watch{list: l, session: session, refused: l.outright(session)}
	issued := int64(always)
	if at := session.IssuedAt(); !at.IsZero() {
		issued = at.Unix() // iat has whole seconds, so that the second of the cut-off counts
	}
	organization := session.OrganizationID()
	w.add(KindToken, session.TokenID(), "", always)
	w.add(KindSession, session.SessionID(), "", always)
	w.add(KindUser, session.UserID(), "", issued)
	w.add(KindMember, session.UserID(), organization, issued)
	w.add(KindOrganization, organization, "", issued)
	w.add(KindClient, session.ClientID(), "", issued)
	return w.check
}

func (w *watch) add(kind Kind, id, organization string, since int64) {
	if id != "" {
		w.keys[w.count] = key{w.list.entries.hash(kindByte(kind), id), kindByte(kind), id, organization, since}
		w.count++
	}
}

// outright returns why a session is refused whatever was revoked, or nil.
func (l *List) outright(session *mcpauth.Session) *mcpauth.RevokedError {
	from := session.IssuedAt()
	if from.IsZero() {
		from = l.cfg.Now()
	}
	switch {
	case session.ExpiresAt().Sub(from) > l.cfg.MaxTokenLife:
		return &mcpauth.RevokedError{
			Cause: "the session lives longer than the revocation list remembers (MaxTokenLife is " + l.cfg.MaxTokenLife.String() + ")",
			Cure:  "raise MaxTokenLife of mcpauthrevocation.Config to the longest life of a token, or shorten that in the Scalekit dashboard",
		}
	case l.cfg.RefuseWithoutOrganization && session.OrganizationID() == "":
		return &mcpauth.RevokedError{
			Cause: "the session names no organization, and RefuseWithoutOrganization is set",
			Cure:  "have tokens carry the organization (oid), or set Members of mcpauthrevocation.Config instead of RefuseWithoutOrganization",
		}
	}
	return nil
}

func (w *watch) check() error {
	if err := w.list.unready(); err != nil {
		return err
	}
	if w.refused != nil {
		return w.refused
	}
	version, clean := w.list.recent.version.Load(), w.clean.Load() // before the look: what is added during it is looked for again
	if clean == version+1 {
		return nil
	}
	if clean != 0 && !w.list.recent.mayHold(w.keys[:w.count], clean-1, version) {
		w.clean.Store(version + 1)
		return nil
	}
	for i := range w.count {
		k := &w.keys[i]
		if r := w.list.entries.find(k.hash, k.kind, k.id, k.organization, k.since); r != nil {
			entry := r.entry()
			return &mcpauth.RevokedError{Entry: entry.String(), EventID: entry.EventID}
		}
	}
	w.clean.Store(version + 1)
	return nil
}
