// Package mcpauthmcpgo protects an MCP server on github.com/mark3labs/mcp-go: an MCP session answers only to the user who
// opened it, tasks and cancellations stay with their user, tools see the session of their own call and never the token,
// and callers are shown only what their scopes allow.
//
// By itself mcp-go does not check whose MCP session a request names: it takes any id of the right form on POST, and any id
// at all on GET and DELETE. A stranger who knows an id reads its owner's stream, answers the questions that a tool asks the
// owner, and ends the session. Where there are no sessions (server.WithStateLess, and every request of MCP 2026-07-28) all
// users share the session "": one user's cancellation ends another's call, and tasks/list lists the tasks of all users.
//
// # What mcp-go makes impossible
//
// A task (server.WithTaskCapabilities) runs in a context that mcp-go cancels as soon as the call that created the task is
// answered: a task that has to go on takes context.WithoutCancel of it. It keeps the session of that call. mcp-go tells
// the end of every task, and the text of its error, to all users; [Handler] drops that notification
// (notifications/tasks/status), the owner's included. server.WithMaxConcurrentTasks counts all users together. Tasks are
// in the memory of one replica.
//
// Only the replica that ended an MCP session knows that it has ended. On the others its id still answers, to its owner
// alone.
//
// Two clients of one user that have no MCP session share what mcp-go keeps for a session: a cancellation of call 1 by one
// of them may end call 1 of the other.
//
// server.NewSSEServer, and HTTP handlers of the same MCP server that do not come from [Handler], do not say who makes a
// call: their calls get an error. Where a server.SSEServer is mounted, its event stream can still be opened, and hears what
// the server tells all its clients.
package mcpauthmcpgo

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	protocol "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Config says how MCP sessions are bound to users. The zero value is right for one process with MCP sessions.
type Config struct {
	// Key seals the ids of MCP sessions, and the cursors of lists that [Hide] filters. It has at least 32 bytes and can't be
	// guessed, such as the output of "openssl rand -base64 32". Replicas behind one address share it; otherwise each of them
	// refuses the ids and cursors of the others. Changing it ends all MCP sessions, and their clients open new ones. Without
	// a key each process has a random one.
	Key mcpauth.Secret

	// Stateless serves without MCP sessions: every request can go to another replica. GET and DELETE get 405, and a request
	// with an Mcp-Session-Id gets 404. A tool can ask its client something only while it works on a call, and the answer has
	// to reach the same replica.
	Stateless bool

	// ContextFunc is called for each message as the function of server.WithHTTPContextFunc would be, an option that Handler
	// needs for itself. The context that it returns has to be derived from the one that it is given, or the message is
	// refused.
	ContextFunc server.HTTPContextFunc
}

// minKeyBytes is the size of HMAC-SHA256's output: a shorter key would be the easier one to guess (RFC 2104 §3).
const minKeyBytes = 32

// Handler returns mcp-go's Streamable HTTP handler for mcp, in which an MCP session answers only to the user who opened
// it, by [mcpauth.Session.Principal]: a refreshed token goes on, and other users get 403, whatever the method (MCP
// "Session Hijacking"), which is logged. An id that Handler has not made, or of a session that has ended, gets 404; two
// Mcp-Session-Id headers get 400. A request of MCP 2026-07-28 has no MCP session, and its header is ignored.
//
// The result goes to an adapter's Mount. Should it be reached without the middleware in front, or behind that of another
// resource server, rs decides about the request here: it is never open. The scopes that rs requires are required in either
// case.
//
// In tools, prompts, resources and completions [mcpauth.SessionFromContext] returns the session of the call, and the other
// values of the context are those of the call's own request. The session is there until the call is answered; a task that
// the call created keeps it.
//
// A standalone stream and subscriptions/listen end with their token ([mcpauth.EndWithToken]), whatever headers say; a call
// gets its answer.
//
// A proxy on the same machine may keep the Host header of the public URL: mcp-go's protection against DNS rebinding lets
// that host pass, and still no other.
//
// The options are mcp-go's. Those that would undo the binding (WithStateLess, WithStateful, WithSessionIdManager,
// WithSessionIdManagerResolver, WithHTTPContextFunc) have no effect. server.WithSessionIdleTTL should be among them:
// without it the MCP session of a client that went away without a word stays for ever.
//
// Handler adds to the hooks that mcp has, and gives it some when it has none. server.WithHooks would replace them: when it
// is applied to mcp afterwards, every request gets 503, and the log says why.
func Handler(rs *mcpauth.ResourceServer, mcp *server.MCPServer, config Config, options ...server.StreamableHTTPOption) (*Endpoint, error) {
	var mistakes []error
	if rs == nil {
		mistakes = append(mistakes, errors.New("mcpauthmcpgo: nil *mcpauth.ResourceServer; did mcpauth.New return an error?"))
	}
	if mcp == nil {
		mistakes = append(mistakes, errors.New("mcpauthmcpgo: nil *server.MCPServer"))
	}
	key := []byte(config.Key.Reveal())
	switch {
	case len(key) == 0:
		key = make([]byte, minKeyBytes)
		_, _ = rand.Read(key) // never fails
	case len(key) < minKeyBytes:
		mistakes = append(mistakes, &mcpauth.ConfigError{
			Field: "Key", Reason: "has " + strconv.Itoa(len(key)) + " bytes; give it the output of: openssl rand -base64 32",
		})
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	e := &Endpoint{rs: rs, mcp: mcp, ids: newIDs(key), cursors: newCursors(key), stateless: config.Stateless, contextFunc: config.ContextFunc}
	if u, err := url.Parse(rs.Resource()); err == nil {
		e.publicHost = u.Hostname()
	}
	e.hooks = hooksOf(mcp)
	addHooks(e.hooks)
	own := []server.StreamableHTTPOption{
		server.WithSessionIdManagerResolver(resolver{e}),
		server.WithHTTPContextFunc(e.messageContext),
	}
	if e.stateless {
		// In mcp-go all GET streams of a stateless server are the one session "", and every POST then runs in it: what a
		// call tells or asks its client goes to all who listen. Without sessions there is nothing to listen to.
		own = append(own, server.WithDisableStreaming(true))
	}
	e.next = server.NewStreamableHTTPServer(mcp, slices.Concat(options, own)...)
	return e, nil
}

// hooksOf returns the hooks of mcp, which has some afterwards.
func hooksOf(mcp *server.MCPServer) *server.Hooks {
	if mcp.GetHooks() == nil {
		server.WithHooks(new(server.Hooks))(mcp)
	}
	return mcp.GetHooks()
}

// An Endpoint is the MCP endpoint that [Handler] returns.
type Endpoint struct {
	rs          *mcpauth.ResourceServer
	mcp         *server.MCPServer
	hooks       *server.Hooks // of mcp, with those of addHooks
	next        *server.StreamableHTTPServer
	ids         *ids
	cursors     *cursors
	stateless   bool
	contextFunc server.HTTPContextFunc
	publicHost  string
}

// ServeHTTP answers a request, as [Handler] says.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.rs.Serve(w, r, e.serve) }

// Shutdown ends all MCP sessions and their streams, and mcp-go's goroutine for sessions that idle out. It does not wait
// for calls; the HTTP server's own Shutdown does.
func (e *Endpoint) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }

// Session returns the session of a request behind [Handler], or [mcpauth.ErrNoSession], which it is also when the request
// has been answered. It is for [Config.ContextFunc]; tools use [mcpauth.SessionFromContext].
func Session(r *http.Request) (*mcpauth.Session, error) {
	if callIn(r.Context()) == nil {
		return nil, mcpauth.ErrNoSession
	}
	return mcpauth.SessionFromContext(r.Context())
}

const sessionHeader = server.HeaderKeySessionID

// serve hands an allowed request on to mcp-go.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, "no session", http.StatusInternalServerError) // unreachable: Serve has put it there
		return
	}
	if e.mcp.GetHooks() != e.hooks {
		e.rs.LogRefusal(r.Context(), mcpauth.OutcomeUnavailable, "the hooks of the MCP server were replaced, and those of mcpauthmcpgo with them",
			"apply server.WithHooks before mcpauthmcpgo.Handler, in server.NewMCPServer")
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		return
	}
	header := maps.Clone(r.Header)  // the original is still that of the middlewares in front
	delete(header, "Authorization") // mcp-go gives tools all headers: what a tool doesn't have, it can't pass on (MCP "Token Passthrough")
	ids := header[sessionHeader]
	if len(ids) > 1 { // which of them did a proxy in front look at?
		http.Error(w, "more than one "+sessionHeader, http.StatusBadRequest)
		return
	}
	if protocol.IsModernProtocol(header.Get(protocol.HeaderProtocolVersion)) {
		delete(header, sessionHeader)
	} else if !e.bind(w, r, header, session) {
		return
	}
	c := &call{
		Context:    r.Context(),
		endpoint:   e,
		session:    session,
		publicHost: e.publicHost != "" && strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), e.publicHost),
	}
	r = r.WithContext(c)
	r.Header = header
	e.next.ServeHTTP(&eventWriter{ResponseWriter: w}, r)
}

// bind reports whether the MCP session that header names is one of the caller's, and answers the request if not. It has
// to be done in front of mcp-go, which does not ask its session id manager about GET.
func (e *Endpoint) bind(w http.ResponseWriter, r *http.Request, header http.Header, session *mcpauth.Session) bool {
	ids, principal := header[sessionHeader], session.Principal()
	switch {
	case e.stateless && r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return false
	case e.stateless && len(ids) == 0:
		// Else mcp-go would keep what it has to keep under "", for all users together.
		header[sessionHeader] = []string{e.ids.user(principal)}
		return true
	case len(ids) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodDelete):
		http.Error(w, "no "+sessionHeader, http.StatusBadRequest)
		return false
	case len(ids) == 0: // mcp-go refuses all but initialize
		return true
	case e.stateless:
		http.Error(w, "session not found", http.StatusNotFound)
		return false
	}
	err := e.ids.check(ids[0], principal)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errForeign):
		e.rs.LogRefusal(r.Context(), mcpauth.OutcomeForeignSession, "the MCP session belongs to another user",
			"nothing to do here if it happens once; if it goes on, the ids of MCP sessions have leaked", slog.Any("session", session))
		http.Error(w, "session user mismatch", http.StatusForbidden)
	default:
		http.Error(w, "session not found", http.StatusNotFound)
	}
	return false
}
