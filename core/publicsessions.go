package mcpauth

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The bounds of MCP sessions that were opened without credentials.
const (
	maxPublicSessions = 1000
	publicIdle        = time.Minute // without a user
	boundIdle         = time.Hour   // with one
)

const sessionHeader = "Mcp-Session-Id"

// publicPrefix begins the ids of MCP sessions that were opened without credentials.
const publicPrefix = "mcpauth-public-"

// PublicSessions are the MCP sessions of an SDK's server that were opened without credentials. It is for the modules for MCP
// SDKs, whose [SDKServer] hands its requests to it. At most 1,000 have no user; they end when they were idle for a minute. The
// first user who signs in on one gets it: from then on it is that user's alone, and ends when it was idle for an hour.
//
// A client has an id that is made here, and the SDK another one, which clients don't get: SDKs let everybody into an MCP
// session that was opened without a user. An id that was forgotten here means nothing to the SDK.
type PublicSessions struct {
	endInner func(inner string)

	mu      sync.Mutex
	byID    map[string]*publicSession // by the id that clients have
	byInner map[string]*publicSession // by the SDK's id
	unbound int                       // how many have no user, with those that are being opened
}

// A publicSession has no user until the first one signs in on it, and belongs to that user from then on.
type publicSession struct {
	id, inner string
	principal string // "" without a user
	busy      int    // requests
	timer     *time.Timer
	idleSince time.Time
}

// NewPublicSessions returns an empty set. end has to end the MCP session with this id in the SDK. It is called on a goroutine of
// its own, where a panic is caught.
func NewPublicSessions(end func(id string)) *PublicSessions {
	return &PublicSessions{
		endInner: end, byID: make(map[string]*publicSession), byInner: make(map[string]*publicSession),
	}
}

// IsPublic is [SDKServer].IsPublic: it reports whether r names no MCP session, or one that was opened without credentials and has
// no user. One that has ended is answered by ServePublic.
func (p *PublicSessions) IsPublic(r *http.Request) bool {
	ids := r.Header[sessionHeader]
	if len(ids) == 0 {
		return true
	}
	if len(ids) > 1 || !strings.HasPrefix(ids[0], publicPrefix) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.byID[ids[0]]
	return s == nil || s.principal == ""
}

// ServePublic runs a request without credentials by next, with the SDK's id of the MCP session that r names, if any. opens says
// whether r may open one. It returns false, and has written nothing, if the MCP session got a user meanwhile, or if too many have
// none. If there is no such MCP session, it answers 404. r.Header must be a copy for the SDK.
func (p *PublicSessions) ServePublic(w http.ResponseWriter, r *http.Request, opens bool, next http.HandlerFunc) (served bool) {
	writer := &publicWriter{ResponseWriter: w, sessions: p}
	switch ids := r.Header[sessionHeader]; {
	case len(ids) > 0:
		s, found := p.enter(ids[0], "")
		if s == nil && found {
			return false
		}
		if s == nil {
			noSession(w)
			return true
		}
		r.Header[sessionHeader] = []string{s.inner}
		writer.session = s
	case opens:
		if !p.reserve() {
			return false
		}
		writer.opens = true
	}
	p.run(writer, r, next)
	return true
}

// ServeSession runs a request of a user by next, with the SDK's id, if r names an MCP session that was opened without
// credentials; the first user gets it. named is false, and nothing was written, if r names no such MCP session. foreign is true,
// and nothing was written, if it belongs to another user. If there is no such MCP session, ServeSession answers 404. r.Header must
// be a copy for the SDK.
func (p *PublicSessions) ServeSession(w http.ResponseWriter, r *http.Request, session *Session, next http.HandlerFunc) (named, foreign bool) {
	id := r.Header.Get(sessionHeader)
	if p.isInner(id) { // a tool has told it
		noSession(w)
		return true, false
	}
	if !strings.HasPrefix(id, publicPrefix) {
		return false, false
	}
	s, found := p.enter(id, session.Principal())
	switch {
	case s != nil:
		r.Header[sessionHeader] = []string{s.inner}
		p.run(&publicWriter{ResponseWriter: w, sessions: p, session: s}, r, next)
	case found:
		return true, true
	default:
		noSession(w)
	}
	return true, false
}

// Forget forgets the MCP session with the SDK's id, which the SDK has ended by itself.
func (p *PublicSessions) Forget(inner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.byInner[inner]; s != nil {
		if p.byID[s.id] == s {
			p.remove(s)
		}
		delete(p.byInner, inner)
	}
}

// noSession answers as SDKs do. A client opens a new MCP session then.
func noSession(w http.ResponseWriter) { http.Error(w, "session not found", http.StatusNotFound) }

// run runs a request on an MCP session that was opened without credentials, or that opens one.
func (p *PublicSessions) run(w *publicWriter, r *http.Request, next http.HandlerFunc) {
	defer func() { // after a panic, too
		w.setSession(0)
		switch {
		case w.session == nil && w.opens:
			p.release()
			if w.untold != "" {
				go p.end(&publicSession{inner: w.untold})
			}
		case w.session != nil:
			ended := w.status == http.StatusNotFound || r.Method == http.MethodDelete && w.status/100 == 2
			p.leave(w.session, ended)
		}
	}()
	next(w, r)
}

// end has the SDK end an MCP session.
func (p *PublicSessions) end(s *publicSession) {
	defer func() { _ = recover() }() // of the user's code in the SDK: on this goroutine it would end the program
	defer p.Forget(s.inner)
	p.endInner(s.inner)
}

// reserve makes room for an MCP session that is being opened, if there is any.
func (p *PublicSessions) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unbound >= maxPublicSessions {
		return false
	}
	p.unbound++
	return true
}

// release gives the room back when none was opened.
func (p *PublicSessions) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unbound--
}

// add adds the session that was opened in reserved room, with a request on it.
func (p *PublicSessions) add(inner string) *publicSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &publicSession{id: publicPrefix + rand.Text(), inner: inner, busy: 1}
	p.byID[s.id], p.byInner[inner] = s, s
	return s
}

// enter begins a request of a principal, "" for none, on a session. A nil session means that the request must not go on; found
// says whether there is one.
func (p *PublicSessions) enter(id, principal string) (s *publicSession, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, found = p.byID[id]
	switch {
	case !found:
		return nil, false
	case s.principal == "" && principal != "":
		s.principal = principal
		p.unbound--
	case s.principal != principal:
		return nil, true
	}
	s.busy++
	if s.timer != nil {
		s.timer.Stop()
	}
	return s, true
}

// leave ends a request on a session. ended says that clients take the session for ended; otherwise that is so when it has been
// idle for too long. The SDK ends it in either case.
func (p *PublicSessions) leave(s *publicSession, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy--
	switch {
	case p.byID[s.id] != s: // another request saw its end
	case ended:
		p.remove(s)
		go p.end(s) // the go-sdk answers 404 to unknown methods too (MCP 2026-07-28), and goes on
	case s.busy == 0:
		s.idleSince = time.Now()
		if s.timer == nil {
			s.timer = time.AfterFunc(s.limit(), func() { p.expire(s) })
		} else {
			s.timer.Reset(s.limit())
		}
	}
}

func (s *publicSession) limit() time.Duration {
	if s.principal == "" {
		return publicIdle
	}
	return boundIdle
}

// expire ends an idle session, unless a request came while the timer fired.
func (p *PublicSessions) expire(s *publicSession) {
	p.mu.Lock()
	idle := p.byID[s.id] == s && s.busy == 0 && time.Since(s.idleSince) >= s.limit()
	if idle {
		p.remove(s)
	}
	p.mu.Unlock()
	if idle {
		p.end(s)
	}
}

// remove forgets the id that clients have. p.mu is held.
func (p *PublicSessions) remove(s *publicSession) {
	delete(p.byID, s.id)
	if s.principal == "" {
		p.unbound--
	}
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (p *PublicSessions) isInner(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byInner[id] != nil
}

// A publicWriter shows the client the id that it has for an MCP session, and not the SDK's.
type publicWriter struct {
	http.ResponseWriter
	sessions *PublicSessions
	session  *publicSession // nil without one
	opens    bool           // whether the response may open one
	untold   string         // the SDK's id of one that the response opened, and whose id the client does not get
	status   int
	begun    bool
}

// setSession sets the id when the response begins. A status of 0 is for a response to which nothing was written, as when the client
// is gone: nothing would ever use an MCP session that it opened, and the room is for other clients.
func (w *publicWriter) setSession(status int) {
	if w.begun {
		return
	}
	w.begun, w.status = true, status
	header := w.Header()
	inner := header.Get(sessionHeader)
	if inner == "" {
		return
	}
	switch {
	case w.session != nil || !w.opens:
	case status/100 == 2:
		w.session = w.sessions.add(inner)
	default:
		w.untold = inner
	}
	if w.session != nil && inner == w.session.inner {
		header.Set(sessionHeader, w.session.id)
	} else {
		header.Del(sessionHeader)
	}
}

// WriteHeader is as documented for [http.ResponseWriter].
func (w *publicWriter) WriteHeader(status int) {
	if status >= 200 {
		w.setSession(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is as documented for [http.ResponseWriter].
func (w *publicWriter) Write(p []byte) (int, error) {
	w.setSession(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Flush flushes the writer below. It is for code that looks for an http.Flusher.
func (w *publicWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *publicWriter) FlushError() error {
	w.setSession(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the writer below, for http.ResponseController.
func (w *publicWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
