// Package owner binds the MCP sessions of a server on github.com/mark3labs/mcp-go to the users who open them. It is made
// to be copied: it needs nothing but mcpauth and mcp-go.
//
// mcp-go asks nobody whose session it is. By default it takes any id of the right form on POST, and any id at all on GET
// and DELETE: whoever knows an id reads the owner's stream, answers the questions that a tool asks the owner, and ends
// the session. Where there are no sessions (WithStateLess, and every request of MCP 2026-07-28) all users share the
// session "": one user's cancellation ends another's call, tasks/list lists everybody's tasks, and what a call sends to
// its client may go out on another user's response.
package owner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// sessionHeader carries the id of an MCP session (MCP 2025-11-25, "Session Management").
const sessionHeader = "Mcp-Session-Id"

// minKeyBytes is the size of HMAC-SHA256's output: a shorter key would be the easier one to guess (RFC 2104 §3).
const minKeyBytes = 32

// Config says how sessions are bound to users. The zero value is right for a single process with sessions.
type Config struct {
	// Key signs the ids of sessions: at least 32 random bytes. Replicas behind one address share it, or each refuses the
	// sessions of the others. Nil is a random key: sessions end with the process.
	Key []byte

	// Stateless serves without sessions: POST only, and no request needs another one on the same replica.
	Stateless bool

	// ContextFunc is called as server.WithHTTPContextFunc would be, an option that Handler needs for itself.
	ContextFunc server.HTTPContextFunc
}

// A Handler is mcp-go's HTTP handler, in which a session answers to its owner alone: the principal
// ([mcpauth.Session.Principal]: issuer and subject) of the request that opened it. A new token of the same user is as good
// as the old one. It goes behind the mcpauth middleware, as the handler of an adapter's Mount.
type Handler struct {
	mcp       *server.MCPServer
	next      *server.StreamableHTTPServer
	ids       *ids
	stateless bool
	context   server.HTTPContextFunc
}

// New returns the Handler of mcp. The options are for mcp-go; those that would undo the binding (WithStateLess,
// WithStateful, WithSessionIdManager, WithSessionIdManagerResolver, WithHTTPContextFunc) have no effect. With
// server.WithSessionIdleTTL a session that idles out is ended, and its client gets 404 and opens another one.
func New(mcp *server.MCPServer, config Config, options ...server.StreamableHTTPOption) (*Handler, error) {
	if mcp == nil {
		return nil, errors.New("owner: nil *server.MCPServer")
	}
	key := config.Key
	if key == nil {
		key = make([]byte, minKeyBytes)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) < minKeyBytes {
		return nil, fmt.Errorf("owner: Key: %d bytes; give at least %d random ones", len(key), minKeyBytes)
	}
	h := &Handler{mcp: mcp, ids: newIDs(key), stateless: config.Stateless, context: config.ContextFunc}
	own := []server.StreamableHTTPOption{
		server.WithSessionIdManagerResolver(resolver{h}),
		server.WithHTTPContextFunc(h.requestContext),
	}
	if h.stateless {
		// In mcp-go all GET streams of a stateless server are the one session "", and every POST then runs in it: what a
		// call notifies or asks its client goes to whoever listens. Without sessions there is nothing to listen to.
		own = append(own, server.WithDisableStreaming(true))
	}
	if mcp.GetHooks() == nil {
		server.WithHooks(new(server.Hooks))(mcp)
	}
	mcp.GetHooks().AddBeforeSubscriptionsListen(func(ctx context.Context, _ any, _ *protocol.SubscriptionsListenRequest) {
		mcpauth.EndWithToken(ctx) // whatever the headers say: this is a stream
	})
	h.next = server.NewStreamableHTTPServer(mcp, slices.Concat(options, own)...)
	return h, nil
}

// ServeHTTP answers 404 to a request on a session that is not the caller's, whatever its method: as for a session that
// never was, so that nobody learns which ids are in use. It has to be done in front of mcp-go, which does not ask its
// session id manager about GET. The tools get a request without its Authorization header: what they don't
// have, they can't pass on (MCP "Token Passthrough").
//
// Without the mcpauth middleware in front there is no caller, and every request gets 500.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, "the server's authorization is not set up", http.StatusInternalServerError)
		return
	}
	copied := *r
	copied.Header = maps.Clone(r.Header) // the original is still that of the middlewares in front
	delete(copied.Header, "Authorization")
	principal, lines := session.Principal(), r.Header.Values(sessionHeader)
	switch {
	case len(lines) > 1:
		http.Error(w, "more than one "+sessionHeader, http.StatusBadRequest)
		return
	case h.stateless && r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case h.stateless && len(lines) == 0:
		// Else mcp-go would keep what it has to keep under "", for all users together.
		copied.Header.Set(sessionHeader, h.ids.user(principal))
	case len(lines) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodDelete):
		http.Error(w, "no "+sessionHeader, http.StatusBadRequest)
		return
	case len(lines) == 1 && (h.stateless || h.ids.check(lines[0], principal) != nil):
		http.Error(w, "session not found", http.StatusNotFound)
		return
	}
	h.next.ServeHTTP(w, &copied)
}

// Shutdown ends all sessions and their streams, and mcp-go's goroutine for sessions that idle out.
func (h *Handler) Shutdown(ctx context.Context) error { return h.next.Shutdown(ctx) }

// requestContext is called by mcp-go for each message. A message without a session gets one of its user, in place of the
// one with the id "" that mcp-go compares the owners of tasks and of cancelled calls by.
func (h *Handler) requestContext(ctx context.Context, r *http.Request) context.Context {
	if client := server.ClientSessionFromContext(ctx); client != nil && client.SessionID() == "" {
		if session, err := mcpauth.SessionFromContext(r.Context()); err == nil { // as ServeHTTP has seen to
			ctx = h.mcp.WithContext(ctx, ofUser(client, h.ids.user(session.Principal())))
		}
	}
	if h.context != nil {
		ctx = h.context(ctx, r)
	}
	return ctx
}

// A resolver gives mcp-go the session id manager of a request.
type resolver struct{ h *Handler }

// ResolveSessionIdManager is called with nil when no request is behind a call: for sessions that idle out.
func (v resolver) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	m := manager{ids: v.h.ids, stateless: v.h.stateless}
	if r == nil {
		m.server = true
	} else if session, err := mcpauth.SessionFromContext(r.Context()); err == nil {
		m.principal = session.Principal()
	}
	return m
}

// A manager manages the session ids of one request, as server.SessionIdManager says.
type manager struct {
	ids       *ids
	principal string
	server    bool // the server itself asks
	stateless bool
}

func (m manager) Generate() string {
	if m.stateless || m.principal == "" {
		return "" // no session
	}
	return m.ids.generate(m.principal)
}

func (m manager) Validate(id string) (terminated bool, err error) {
	if m.stateless {
		return false, nil // ServeHTTP has set it
	}
	err = m.ids.check(id, m.principal)
	return errors.Is(err, errEnded), err
}

func (m manager) Terminate(id string) (notAllowed bool, err error) {
	if m.stateless {
		return false, nil
	}
	if !m.server {
		if err := m.ids.check(id, m.principal); err != nil {
			return false, err
		}
	}
	m.ids.end(id)
	return false, nil
}
