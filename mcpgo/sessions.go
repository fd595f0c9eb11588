package mcpauthmcpgo

import (
	"context"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/server"
)

// messageContext is called by mcp-go for each message. A message without an MCP session gets one of its user, in place of
// the one with the id "" that mcp-go compares the owners of tasks and of cancelled calls by.
func (e *Endpoint) messageContext(ctx context.Context, r *http.Request) context.Context {
	client := server.ClientSessionFromContext(ctx)
	if c := callIn(ctx); c != nil && client != nil && client.SessionID() == "" {
		ctx = e.mcp.WithContext(ctx, ofUser(client, e.ids.user(c.session.Principal())))
	}
	if e.contextFunc != nil {
		ctx = e.contextFunc(ctx, r)
	}
	return ctx
}

// A resolver gives mcp-go the session id manager of a request.
type resolver struct{ e *Endpoint }

// ResolveSessionIdManager is called with nil when no request is behind a call: for sessions that idle out, and at the end.
func (v resolver) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	m := manager{ids: v.e.ids, stateless: v.e.stateless}
	if r == nil {
		m.server = true
	} else if c := callIn(r.Context()); c != nil {
		m.principal = c.session.Principal()
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
		return false, nil // Handler has set it
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

// A userSession is mcp-go's session of a message that belongs to none, under the name of its user. It has all that
// mcp-go's own session has, because mcp-go asks what a session can do by type assertions.
type userSession struct {
	full
	id string
}

func (s userSession) SessionID() string { return s.id }

// A plainSession is for a session of which a newer mcp-go has taken something away.
type plainSession struct {
	server.ClientSession
	id string
}

func (s plainSession) SessionID() string { return s.id }

// full is what mcp-go's session over HTTP is.
type full interface {
	server.SessionWithClientInfo
	server.SessionWithElicitation
	server.SessionWithLogging
	server.SessionWithProtocolVersion
	server.SessionWithResources
	server.SessionWithResourceTemplates
	server.SessionWithRoots
	server.SessionWithSampling
	server.SessionWithStreamableHTTPConfig
	server.SessionWithSubscriptionFilter
	server.SessionWithTools
	SetProtocolVersion(version string)
}

func ofUser(session server.ClientSession, id string) server.ClientSession {
	if all, ok := session.(full); ok {
		return userSession{all, id}
	}
	return plainSession{session, id}
}
