package mcpauthgosdk

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// The bounds of MCP sessions that were opened without credentials.
const (
	maxPublicSessions = 1000
	publicIdle        = time.Minute // without a user
	boundIdle         = time.Hour   // with one
)

// publicPrefix begins the ids of MCP sessions that were opened without credentials. They are made here, and the go-sdk's own
// ids of these sessions are not told to clients: the go-sdk lets everybody into a session that was opened without a user. An
// id that was forgotten here means nothing to the go-sdk.
const publicPrefix = "mcpauth-public-"

// publicSessions are the MCP sessions that were opened without credentials, until they end.
type publicSessions struct {
	mu      sync.Mutex
	byID    map[string]*publicSession // by the id that clients have
	byInner map[string]*publicSession // by the go-sdk's id
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

// IsPublic reports whether a request without credentials may use the MCP session that it names. One that has ended is
// answered by ServePublic.
func (h *sdkHandler) IsPublic(r *http.Request) bool {
	ids := r.Header[sessionHeader]
	if len(ids) == 0 {
		return true
	}
	if len(ids) > 1 || !strings.HasPrefix(ids[0], publicPrefix) {
		return false
	}
	h.public.mu.Lock()
	defer h.public.mu.Unlock()
	s := h.public.byID[ids[0]]
	return s == nil || s.principal == ""
}

// ServePublic passes a request without credentials to the go-sdk. It returns false if its MCP session got a user meanwhile, or
// if there are too many MCP sessions without one.
func (h *sdkHandler) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) (served bool) {
	ctx, r := h.withContext(r, nil)
	defer ctx.finished.Store(true)
	writer := &publicWriter{sessions: &h.public}
	switch ids := r.Header[sessionHeader]; {
	case len(ids) == 1:
		s, found := h.public.enter(ids[0], "")
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
		if !h.public.reserve() {
			return false
		}
		writer.opens = true
	}
	ctx.answer = newAnswer(w, r)
	defer ctx.answer.drop()
	writer.ResponseWriter = ctx.answer
	h.runPublic(writer, r)
	ctx.answer.finish(h.rs, r)
	return true
}

// servePublicSession runs a request of a user, if it names an MCP session that was opened without credentials. The first user
// gets the session.
func (h *sdkHandler) servePublicSession(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) (served bool) {
	id := r.Header.Get(sessionHeader)
	if h.public.isInner(id) { // a tool has told it
		noSession(w)
		return true
	}
	if !strings.HasPrefix(id, publicPrefix) {
		return false
	}
	s, found := h.public.enter(id, session.Principal())
	switch {
	case s != nil:
		r.Header[sessionHeader] = []string{s.inner}
		h.runPublic(&publicWriter{ResponseWriter: w, sessions: &h.public, session: s}, r)
	case found:
		http.Error(w, "session user mismatch", http.StatusForbidden)
		h.logForeign(r.Context(), session)
	default:
		noSession(w)
	}
	return true
}

// noSession answers as the go-sdk does. A client opens a new MCP session then.
func noSession(w http.ResponseWriter) { http.Error(w, "session not found", http.StatusNotFound) }

// runPublic runs a request on an MCP session that was opened without credentials, or that opens one.
func (h *sdkHandler) runPublic(w *publicWriter, r *http.Request) {
	defer func() { // after a panic, too
		w.setSession(0)
		switch {
		case w.session == nil && w.opens:
			h.public.release()
		case w.session != nil:
			ended := w.status == http.StatusNotFound || r.Method == http.MethodDelete && w.status == http.StatusNoContent
			h.public.leave(w.session, ended, h.end)
		}
	}()
	h.next.ServeHTTP(w, r)
}

// end has the go-sdk end an MCP session that was opened without credentials.
func (h *sdkHandler) end(s *publicSession) {
	defer func() { _ = recover() }() // of the function that chooses a server: on this goroutine it would end the program
	defer h.public.forget(s)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, h.rs.Resource(), http.NoBody)
	if err != nil {
		return // unreachable: the resource is a URL
	}
	ctx, r := h.withContext(r, nil)
	defer ctx.finished.Store(true)
	r.Header.Set(sessionHeader, s.inner)
	h.next.ServeHTTP(discard{}, r)
}

type discard http.Header

func (d discard) Header() http.Header       { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// reserve makes room for an MCP session that is being opened, if there is any.
func (p *publicSessions) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unbound >= maxPublicSessions {
		return false
	}
	p.unbound++
	return true
}

// release gives the room back when none was opened.
func (p *publicSessions) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unbound--
}

// add adds the session that was opened in reserved room, with a request on it.
func (p *publicSessions) add(inner string) *publicSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID == nil {
		p.byID, p.byInner = make(map[string]*publicSession), make(map[string]*publicSession)
	}
	s := &publicSession{id: publicPrefix + rand.Text(), inner: inner, busy: 1}
	p.byID[s.id], p.byInner[inner] = s, s
	return s
}

// enter begins a request of a principal, "" for none, on a session. A nil session means that the request must not go on; found
// says whether there is one.
func (p *publicSessions) enter(id, principal string) (s *publicSession, found bool) {
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
// idle for too long. end is called in either case.
func (p *publicSessions) leave(s *publicSession, ended bool, end func(*publicSession)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy--
	switch {
	case p.byID[s.id] != s: // another request saw its end
	case ended:
		p.remove(s)
		go end(s) // the go-sdk answers 404 to unknown methods too (MCP 2026-07-28), and goes on
	case s.busy == 0:
		s.idleSince = time.Now()
		if s.timer == nil {
			s.timer = time.AfterFunc(s.limit(), func() { p.expire(s, end) })
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
func (p *publicSessions) expire(s *publicSession, end func(*publicSession)) {
	p.mu.Lock()
	idle := p.byID[s.id] == s && s.busy == 0 && time.Since(s.idleSince) >= s.limit()
	if idle {
		p.remove(s)
	}
	p.mu.Unlock()
	if idle {
		end(s)
	}
}

// remove forgets the id that clients have. p.mu is held.
func (p *publicSessions) remove(s *publicSession) {
	delete(p.byID, s.id)
	if s.principal == "" {
		p.unbound--
	}
	if s.timer != nil {
		s.timer.Stop()
	}
}

// forget forgets the go-sdk's id, when the go-sdk has ended the session.
func (p *publicSessions) forget(s *publicSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byInner, s.inner)
}

func (p *publicSessions) isInner(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byInner[id] != nil
}

// A publicWriter shows the client the id that it has for an MCP session, and not the go-sdk's.
type publicWriter struct {
	http.ResponseWriter
	sessions *publicSessions
	session  *publicSession // nil without one
	opens    bool           // whether the response may open one
	status   int
	begun    bool
}

// setSession sets the id when the response begins. A status of 0 is for a response to which nothing was written.
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
	if w.session == nil && w.opens && status < 300 {
		w.session = w.sessions.add(inner)
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

// forgetInfo takes the caller from a call without credentials: there is none, and tools that look for one must not find a
// caller without a name.
func (c *callContext) forgetInfo(req mcp.Request) {
	c.info = nil
	if extra := req.GetExtra(); extra != nil {
		extra.TokenInfo = nil
	}
}
