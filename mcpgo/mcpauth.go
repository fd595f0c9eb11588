// Package mcpauthmcpgo brings the verified session to the tools of an MCP server on github.com/mark3labs/mcp-go. An MCP
// session answers only to the user who opened it, tasks and cancellations stay with their user, tools never get the token,
// and a policy decides what callers see and use ([Hide], [mcpauth.Config.Policy]).
//
// Without it, mcp-go does not check whose MCP session a request names. It accepts any id of the right form on POST, and any
// id at all on GET and DELETE: a stranger who knows an id reads its owner's stream, answers the questions that a tool asks
// the owner, and ends the session. Where there are no sessions (server.WithStateLess, and every request of MCP 2026-07-28)
// all users share the session "": one user's cancellation ends another's call, and tasks/list lists the tasks of all users.
//
// The README of this module says what mcp-go makes impossible: what becomes of tasks, of ended MCP sessions on other replicas,
// and of clients of one user without MCP sessions.
//
// The calls over server.NewSSEServer, and those over an HTTP handler of the same MCP server that does not come from
// [Handler], get an error, because they do not say who makes them. A client can still open the event stream of a
// server.SSEServer, and gets what the server sends to all its clients.
package mcpauthmcpgo

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Config says how MCP sessions are bound to users. The zero value is right for one process with MCP sessions.
type Config struct {
	// Key protects the ids of MCP sessions, and the cursors of lists that [Hide] filters. It is a secret text of at least 32
	// random bytes, such as the output of
	//
	//	openssl rand -base64 32
	//
	// Replicas behind one address need the same key. With another key, or another process's random one, a replica answers 404
	// to the ids, and the client opens a new MCP session. Without a key, each process makes a random one.
	Key mcpauth.Secret

	// Stateless serves without MCP sessions, so that each request can go to another replica. GET and DELETE get 405, and a
	// request with an Mcp-Session-Id gets 404. A tool can ask its client something only while it works on a call, and the
	// answer has to reach the same replica.
	Stateless bool

	// ContextFunc is called for each message, as mcp-go calls the function of server.WithHTTPContextFunc. It has to return a
	// context that is derived from the one that it gets; with any other, the message gets an error.
	ContextFunc server.HTTPContextFunc
}

// minKeyBytes is the size of HMAC-SHA256's output: a shorter key would be the easier one to guess (RFC 2104 §3).
const minKeyBytes = 32

// Handler returns an HTTP handler of s, in place of server.NewStreamableHTTPServer. In it, an MCP session answers only to
// the principal ([mcpauth.Session.Principal]) who opened it. A request on an MCP session of another principal gets 403,
// whatever its method (MCP "Session Hijacking"), and is logged. One with an id that Handler did not make, or of a session
// that has ended, gets 404, and one with two Mcp-Session-Id headers 400. A request of MCP 2026-07-28 has no MCP session:
// its Mcp-Session-Id is ignored.
//
// Give the result to an adapter's Mount. If a request comes without the adapter's middleware, or through that of another
// resource server, rs decides about it here: the endpoint is never open. The scopes that rs requires are required in either
// case.
//
// In tools, prompts, resources and completions, [mcpauth.SessionFromContext] returns the session of the call until the call
// is answered. The other values of the context are those of the call's own request. A task keeps the session of the call
// that created it.
//
// Handler enforces [mcpauth.Config.Policy]. If that has public rules, and the result of Handler is given directly to Mount,
// it also runs public operations without credentials, as [mcpauth.ResourceServer.Endpoint] says. Such a call has no
// session, and can't create a task. An MCP session that was opened without credentials has an id that only this process
// knows. It ends when it was idle for a minute, unless a user signs in on it: then it belongs to that user, and ends when
// it was idle for an hour. At most 1,000 have no user; one more client gets 401.
//
// An operation that [mcpauth.Rules.Check] hides with [mcpauth.ErrHidden] is answered by mcp-go as one that the server does not
// have. The result of Handler must not be wrapped for that: give it to Mount with Config.Policy, or to RequireOperations.
//
// A tool, prompt or resource that learns from its backend that a scope is missing returns an error with
// [mcpauth.NeedScopes] in its tree. It must not have had any effects yet: the client asks its user, and calls again. As
// long as nothing of the answer was sent, the client gets 403 with a challenge that names the scopes of the error, those of
// the operation's rule, if a policy is enforced, and those of every request. A structured tool needs [StructuredToolHandler]
// for that.
//
// When something was sent already, such as a notification of progress or a question to the user, the client gets the error,
// with the scopes in its text. A task fails with that error. A caller who holds the scopes gets the error as mcp-go shows it,
// and so does one over stdio. A client that [mcpauth.Config].ChallengeInResultFor names gets the challenge of a tool call in
// its result, whatever was sent.
//
// A GET stream and subscriptions/listen end with their token ([mcpauth.EndWithToken]), whatever the request's headers say.
// A call gets its answer up to [mcpauth.Config].MaxCall after the end of its token.
//
// A proxy on the same machine may keep the Host header of the public URL: mcp-go's protection against DNS rebinding accepts
// that host, and still no other.
//
// The options are mcp-go's. Those that decide about MCP sessions (WithStateLess, WithStateful, WithSessionIdManager,
// WithSessionIdManagerResolver, WithHTTPContextFunc) have no effect. Set server.WithSessionIdleTTL: without it, an MCP
// session that its client never ends stays for ever.
//
// Handler adds to the hooks and middlewares of s. server.WithHooks replaces the hooks: if it is applied to s after Handler,
// every request gets 503, and the log says why.
func Handler(rs *mcpauth.ResourceServer, s *server.MCPServer, config Config, options ...server.StreamableHTTPOption) (*Endpoint, error) {
	var mistakes []error
	if rs == nil {
		mistakes = append(mistakes, errors.New("mcpauthmcpgo: nil *mcpauth.ResourceServer; check the error of mcpauth.New"))
	}
	if s == nil {
		mistakes = append(mistakes, errors.New("mcpauthmcpgo: nil *server.MCPServer; give that of server.NewMCPServer"))
	}
	key := config.Key
	if key.Reveal() == "" {
		key = mcpauth.NewSecret(rand.Text() + rand.Text())
	}
	if n := len(key.Reveal()); n < minKeyBytes {
		mistakes = append(mistakes, &mcpauth.ConfigError{
			Field: "Key", Reason: "has " + strconv.Itoa(n) + " bytes; take the output of openssl rand -base64 32",
		})
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	sealer, err := mcpauth.NewSealer(key)
	if err != nil {
		return nil, err
	}
	h := &sdkHandler{
		rs: rs, mcp: s, ids: newIDs([]byte(key.Reveal())), sealer: sealer,
		stateless: config.Stateless, contextFunc: config.ContextFunc,
	}
	h.public = mcpauth.NewPublicSessions(h.endPublic)
	if u, err := url.Parse(rs.Resource()); err == nil {
		h.publicHost = u.Hostname()
	}
	h.hooks = hooksOf(s)
	addHooks(h.hooks)
	addMiddlewares(s)
	own := []server.StreamableHTTPOption{
		server.WithSessionIdManagerResolver(resolver{h}),
		server.WithHTTPContextFunc(h.messageContext),
	}
	if h.stateless {
		// In mcp-go all GET streams of a stateless server are one session, "", and every POST then runs in it: what a call
		// sends to its client would go to any of the streams. Without sessions there is nothing to listen to.
		own = append(own, server.WithDisableStreaming(true))
	}
	h.next = server.NewStreamableHTTPServer(s, slices.Concat(options, own)...)
	return &Endpoint{next: h.next, handler: rs.SDKHandler(h)}, nil
}

// hooksOf returns the hooks of s. If there are none yet, it gives s some.
func hooksOf(s *server.MCPServer) *server.Hooks {
	if s.GetHooks() == nil {
		server.WithHooks(new(server.Hooks))(s)
	}
	return s.GetHooks()
}

// An Endpoint is the MCP endpoint that [Handler] returns.
type Endpoint struct {
	next    *server.StreamableHTTPServer
	handler http.Handler // in front of next
}

// ServeHTTP answers a request, as [Handler] says.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.handler.ServeHTTP(w, r) }

// SDKHandler is for core, as [mcpauth.SDKModule] says.
func (e *Endpoint) SDKHandler(self http.Handler) http.Handler {
	if e == nil {
		panic("mcpauthmcpgo: nil *mcpauthmcpgo.Endpoint; check the error of mcpauthmcpgo.Handler")
	}
	if self != http.Handler(e) {
		return nil
	}
	return e.handler
}

// Shutdown ends all MCP sessions, their streams, and the goroutine of server.WithSessionIdleTTL. It does not wait for calls;
// the Shutdown of the HTTP server does.
func (e *Endpoint) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }

// Session returns the session of a request behind [Handler] until the request is answered, and otherwise
// [mcpauth.ErrNoSession]. It is for [Config.ContextFunc]; tools use [mcpauth.SessionFromContext].
func Session(r *http.Request) (*mcpauth.Session, error) {
	if callIn(r.Context()) == nil {
		return nil, mcpauth.ErrNoSession
	}
	return mcpauth.SessionFromContext(r.Context())
}
