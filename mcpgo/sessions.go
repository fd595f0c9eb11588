package mcpauthmcpgo

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/server"
)

// messageContext is called by mcp-go for each message. A message without an MCP session has a session with the id "". It gets
// one with an id of its user instead, because mcp-go compares the owners of tasks and of cancelled calls by this id.
func (h *sdkHandler) messageContext(ctx context.Context, r *http.Request) context.Context {
	client := server.ClientSessionFromContext(ctx)
	if c := callIn(ctx); c != nil && client != nil && client.SessionID() == "" {
		ctx = h.mcp.WithContext(ctx, withID(client, c.ownerID()))
	}
	if h.contextFunc != nil {
		ctx = h.contextFunc(ctx, r)
	}
	return ctx
}

// ownerID returns the id of what mcp-go keeps for the caller where there is no MCP session.
func (c *call) ownerID() string {
	if c.session == nil {
		return c.guestID()
	}
	return c.handler.ids.user(c.session.Principal())
}

// A resolver gives mcp-go the session id manager of a request.
type resolver struct{ h *sdkHandler }

// ResolveSessionIdManager gets nil from mcp-go when a session idles out, and when the server shuts down.
func (v resolver) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	m := manager{h: v.h}
	if r != nil {
		m.call = callIn(r.Context())
	}
	return m
}

// A manager manages the session ids of one request, as server.SessionIdManager says.
type manager struct {
	h    *sdkHandler
	call *call // nil if the server itself asks
}

func (m manager) Generate() string {
	switch {
	case m.h.stateless || m.call == nil:
		return "" // no session
	case m.call.session == nil:
		m.call.opened = innerPrefix + rand.Text()
		return m.call.opened
	}
	return m.h.ids.generate(m.call.session.Principal())
}

func (m manager) Validate(id string) (terminated bool, err error) {
	switch {
	case m.call == nil:
		return false, errUnknown // can't happen: only requests have ids validated
	case m.h.stateless, m.call.inner != "" && m.call.inner == id:
		return false, nil // the id was set here
	case m.call.session == nil:
		return false, errUnknown
	}
	err = m.h.ids.check(id, m.call.session.Principal())
	return errors.Is(err, errEnded), err
}

func (m manager) Terminate(id string) (notAllowed bool, err error) {
	switch {
	case strings.HasPrefix(id, innerPrefix):
		if m.call == nil {
			m.h.public.Forget(id)
			return false, nil
		}
		if m.call.inner != id {
			return false, errUnknown // can't happen: ServeSession has looked at the id
		}
		return false, nil
	case m.h.stateless:
		return false, nil
	case m.call != nil:
		if _, err := m.Validate(id); err != nil {
			return false, err
		}
	}
	m.h.ids.end(id)
	return false, nil
}

// An ownedSession is the session that mcp-go made for a message without an MCP session, with an id of the message's owner. It
// has all methods of mcp-go's own session, because mcp-go finds out what a session can do by type assertions.
type ownedSession struct {
	full
	id string
}

func (s ownedSession) SessionID() string { return s.id }

// What mcp-go's own session would keep under "", for the messages of all users, is not kept.

func (ownedSession) GetSessionTools() map[string]server.ServerTool         { return nil }
func (ownedSession) SetSessionTools(map[string]server.ServerTool)          {}
func (ownedSession) GetSessionResources() map[string]server.ServerResource { return nil }
func (ownedSession) SetSessionResources(map[string]server.ServerResource)  {}
func (ownedSession) GetSessionResourceTemplates() map[string]server.ServerResourceTemplate {
	return nil
}
func (ownedSession) SetSessionResourceTemplates(map[string]server.ServerResourceTemplate) {}

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

func withID(session server.ClientSession, id string) server.ClientSession {
	if all, ok := session.(full); ok {
		return ownedSession{all, id}
	}
	return plainSession{session, id}
}
