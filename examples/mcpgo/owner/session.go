package owner

import "github.com/mark3labs/mcp-go/server"

// A userSession is mcp-go's session of a request that belongs to none, under the name of its user. It has all that
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
