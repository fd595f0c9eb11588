package mcpauthmcpgo

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

const sessionHeader = server.HeaderKeySessionID

// An sdkHandler passes requests to mcp-go that core has let through.
type sdkHandler struct {
	rs          *mcpauth.ResourceServer
	mcp         *server.MCPServer
	hooks       *server.Hooks // of mcp, with those of addHooks
	next        *server.StreamableHTTPServer
	ids         *ids
	public      *mcpauth.PublicSessions
	sealer      *mcpauth.Sealer // of cursors
	stateless   bool
	contextFunc server.HTTPContextFunc
	publicHost  string
}

// ServeSession passes an allowed request to mcp-go.
func (h *sdkHandler) ServeSession(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, "no session", http.StatusInternalServerError) // can't happen: core has put it there
		return
	}
	if !h.ready(w, r) {
		return
	}
	c, r := h.withCall(r, session)
	if len(r.Header[sessionHeader]) > 1 { // a proxy in front may have checked either of them
		http.Error(w, "more than one "+sessionHeader+" header; send one", http.StatusBadRequest)
		return
	}
	switch {
	case isModern(r):
		delete(r.Header, sessionHeader)
	case h.stateless:
		if !h.bindStateless(w, r, session) {
			return
		}
	case h.servePublicSession(w, r, c):
		return
	default:
		if !h.bind(w, r, session) {
			return
		}
	}
	h.serve(w, r)
}

// serve hands a request to mcp-go.
func (h *sdkHandler) serve(w http.ResponseWriter, r *http.Request) {
	h.next.ServeHTTP(&eventWriter{ResponseWriter: w}, r)
}

// isModern reports whether r is of a version of MCP without sessions. If its body says otherwise, mcp-go refuses it.
func isModern(r *http.Request) bool {
	return mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
}

// ready reports whether mcp-go still has the hooks of Handler, and otherwise answers the request.
func (h *sdkHandler) ready(w http.ResponseWriter, r *http.Request) bool {
	if h.mcp.GetHooks() == h.hooks {
		return true
	}
	h.rs.LogRefusal(r.Context(), mcpauth.OutcomeUnavailable, "server.WithHooks has replaced the hooks that mcpauthmcpgo.Handler needs",
		"apply server.WithHooks before mcpauthmcpgo.Handler, in server.NewMCPServer")
	http.Error(w, "service unavailable", http.StatusServiceUnavailable)
	return false
}

// withCall returns a copy of r for mcp-go, and the call that is its context. A nil session is that of a caller without
// credentials.
func (h *sdkHandler) withCall(r *http.Request, session *mcpauth.Session) (*call, *http.Request) {
	c := &call{
		Context:    r.Context(),
		handler:    h,
		session:    session,
		publicHost: h.publicHost != "" && strings.EqualFold((&url.URL{Host: r.Host}).Hostname(), h.publicHost),
	}
	r = r.WithContext(c)
	// mcp-go gives all headers to the tools. A tool without the token can't pass it on (MCP "Token Passthrough").
	r.Header = maps.Clone(r.Header) // middlewares in front still use the original
	h.rs.RemoveCredentials(r.Header)
	return c, r
}

// bindStateless gives r the id under which mcp-go keeps what belongs to its user. Without one, that would be "", for all users
// together. It returns false if it has answered r.
func (h *sdkHandler) bindStateless(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) bool {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return false
	case len(r.Header[sessionHeader]) > 0:
		http.Error(w, "session not found", http.StatusNotFound)
		return false
	}
	r.Header[sessionHeader] = []string{h.ids.user(session.Principal())}
	return true
}

// bind reports whether the MCP session that r names belongs to the caller, and otherwise answers r. It runs in front of mcp-go,
// because mcp-go does not ask its session id manager about GET.
func (h *sdkHandler) bind(w http.ResponseWriter, r *http.Request, session *mcpauth.Session) bool {
	ids := r.Header[sessionHeader]
	switch {
	case len(ids) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodDelete):
		http.Error(w, "no "+sessionHeader+" header; initialize gives one", http.StatusBadRequest)
		return false
	case len(ids) == 0: // mcp-go refuses all but initialize
		return true
	}
	err := h.ids.check(ids[0], session.Principal())
	switch {
	case err == nil:
		return true
	case errors.Is(err, errForeign):
		h.refuseForeign(w, r.Context(), session)
	default:
		http.Error(w, "session not found", http.StatusNotFound)
	}
	return false
}

// refuseForeign answers a request on another user's MCP session.
func (h *sdkHandler) refuseForeign(w http.ResponseWriter, ctx context.Context, session *mcpauth.Session) { //nolint:revive // w is first in handlers
	h.rs.LogRefusal(ctx, mcpauth.OutcomeForeignSession, "the MCP session belongs to another user",
		"ignore a single case; if it goes on, find out how the ids of MCP sessions leak", slog.Any("session", session))
	http.Error(w, "session user mismatch", http.StatusForbidden)
}
