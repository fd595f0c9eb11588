package mcpauthmcpgo

import (
	"context"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/server"
)

// messageContext is called by mcp-go for each message. A message without an MCP session has a session with the id "". It gets
// one with an id of its user instead, because mcp-go compares the owners of tasks and of cancelled calls by this id.
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

// ResolveSessionIdManager gets nil from mcp-go when a session idles out, and when the server shuts down.
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
		return false, nil // Endpoint.bind has set the id
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

// A userSession is the session that mcp-go made for a message without an MCP session, with an id of the message's user. It
// has all methods of mcp-go's own session, because mcp-go finds out what a session can do by type assertions.
type userSession struct {
	full
	id string
}

func (s userSession) SessionID() string { return s.id }

// A plainSession is for a later mcp-go whose session lacks some of these methods.
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
