package mcpauthmcpgo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// Without credentials, mcp-go keeps what belongs to an MCP session under two ids, which clients don't get. The MCP session that
// initialize opens is the one that its user gets. The calls before have another id, because all calls of one MCP session share a
// queue of notifications in mcp-go: a call that goes on when a user signs in must not get what is sent to that user.
const (
	innerPrefix = "public-"
	guestSuffix = "-guest"
)

// IsPublic reports whether a request without credentials may use the MCP session that it names.
func (h *sdkHandler) IsPublic(r *http.Request) bool { return h.public.IsPublic(r) }

// ServePublic passes a request without credentials to mcp-go. It returns false if its MCP session got a user meanwhile, if there
// are too many MCP sessions without one, or if it asks for a task: tasks belong to a user.
func (h *sdkHandler) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) (served bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil || asksForTask(body) {
		return false
	}
	if !h.ready(w, r) {
		return true
	}
	c, r := h.withCall(r, nil)
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case isModern(r):
		delete(r.Header, sessionHeader)
		h.serve(w, r)
		return true
	case h.stateless:
		if len(r.Header[sessionHeader]) > 0 {
			http.Error(w, "session not found", http.StatusNotFound)
			return true
		}
		id := c.guestID()
		r.Header[sessionHeader] = []string{id}
		defer h.endInner(id)
		h.serve(w, r)
		return true
	}
	return h.public.ServePublic(w, r, opens, func(w http.ResponseWriter, r *http.Request) {
		if inner := r.Header.Get(sessionHeader); inner != "" {
			c.inner = inner + guestSuffix
			r.Header[sessionHeader] = []string{c.inner}
		}
		h.serve(w, r)
		if c.opened != "" && w.Header().Get(sessionHeader) == "" {
			h.endInner(c.opened) // mcp-go does not tell the id in a stream, so nothing would ever use it
		}
	})
}

// asksForTask reports whether mcp-go would make a task of the call in body. It reads as mcp-go does: case does not count.
func asksForTask(body []byte) bool {
	var message struct {
		Params struct{ Task *mcp.TaskParams }
	}
	return json.Unmarshal(body, &message) == nil && message.Params.Task != nil
}

// servePublicSession runs a request of a user, if it names an MCP session that was opened without credentials. The first user
// gets the session.
func (h *sdkHandler) servePublicSession(w http.ResponseWriter, r *http.Request, c *call) (served bool) {
	named, foreign := h.public.ServeSession(w, r, c.session, func(w http.ResponseWriter, r *http.Request) {
		c.inner = r.Header.Get(sessionHeader)
		h.serve(w, r)
	})
	if foreign {
		h.refuseForeign(w, r.Context(), c.session)
	}
	return named
}

// endPublic has mcp-go end an MCP session that was opened without credentials.
func (h *sdkHandler) endPublic(inner string) {
	h.endInner(inner + guestSuffix)
	h.endInner(inner)
}

// endInner has mcp-go forget all that it keeps under an id.
func (h *sdkHandler) endInner(id string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, h.rs.Resource(), http.NoBody)
	if err != nil {
		return // unreachable: the resource is a URL
	}
	c, r := h.withCall(r, nil)
	c.inner = id
	r.Header.Set(sessionHeader, id)
	h.next.ServeHTTP(discard{}, r)
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// guestID returns the id under which mcp-go keeps what belongs to a call without credentials and without an MCP session. No other
// call has it.
func (c *call) guestID() string {
	if c.inner == "" {
		c.inner = innerPrefix + rand.Text() + guestSuffix
	}
	return c.inner
}
