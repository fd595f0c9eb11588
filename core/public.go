package mcpauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

const (
	// maxPublicBody and publicBodyTime are how long the body of a request without credentials may be, in bytes, and may take to
	// come.
	maxPublicBody  = 64 << 10
	publicBodyTime = 5 * time.Second
)

var errNotPublic = errors.New("mcpauth: the message is not public")

// servePublic answers a request without credentials.
func (h *sdkHandler) servePublic(w http.ResponseWriter, r *http.Request) {
	refuse := func(why *refusal, r *http.Request) {
		h.rs.logRefusal(r.Context(), why)
		h.rs.replyTo(why).ServeHTTP(w, r)
	}
	switch {
	case !h.server.IsPublic(r):
		refuse(refusalNoCredentials, r)
		return
	case r.Method == http.MethodGet, r.Method == http.MethodDelete && r.Header.Get("Mcp-Session-Id") != "":
		publicMethodNotAllowed.ServeHTTP(w, r)
		return
	case r.Method != http.MethodPost:
		refuse(refusalNoCredentials, r)
		return
	}
	body, err := readPublicBody(w, r, min(maxPublicBody, h.rs.policy.maxBody))
	if err != nil {
		refuse(refusalNoCredentials, r)
		return
	}
	read := *r
	read.Body = http.NoBody // the reply to a refused one need not wait for more of it
	opens, why := h.rs.policy.judgePublic(r.Context(), body)
	if why != nil {
		h.rs.logRefusal(r.Context(), why)
		h.rs.replyToMessage(&read, body, why).ServeHTTP(w, &read)
		return
	}
	again := *r
	again.Body = io.NopCloser(strings.NewReader(body))
	served := h.rs.stepUpLate(w, &again, func(w http.ResponseWriter, r *http.Request) bool {
		return h.server.ServePublic(w, r, opens)
	})
	if !served {
		refuse(refusalNoCredentials, &read)
	}
}

// readPublicBody returns the whole body of a request without credentials. It returns an error for a body that is longer than
// most, comes too slowly, breaks off, or is encoded, because then a server behind it could read something else.
func readPublicBody(w http.ResponseWriter, r *http.Request, most int64) (string, error) {
	if r.Body == nil || r.ContentLength > most || len(r.Header.Values("Content-Encoding")) > 0 {
		return "", errNotPublic
	}
	limit := publicBodyTime
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server != nil && server.ReadTimeout > 0 {
		limit = min(limit, server.ReadTimeout)
	}
	connection := http.NewResponseController(w)
	if err := connection.SetReadDeadline(time.Now().Add(limit)); err != nil && server != nil {
		return "", err // a writer in front hides the connection: the body could take for ever
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	switch {
	case err != nil:
		return "", err
	case len(body) == 0, int64(len(body)) > most, r.ContentLength >= 0 && r.ContentLength != int64(len(body)):
		return "", errNotPublic
	}
	// The deadline was for the body. The call may take longer, under servers that apply it to the connection, too.
	if err := connection.SetReadDeadline(time.Time{}); err != nil && server != nil {
		return "", err
	}
	return string(body), nil
}

// judgePublic returns nil if all messages of body are public, and whether one of them opens an MCP session. Otherwise why is
// the refusal, which names the scopes that the operations need.
func (p *Policy) judgePublic(ctx context.Context, body string) (opens bool, why *refusal) {
	public := true
	err := operation.Methods(body, func(method string) error {
		opens = opens || method == operation.MethodInitialize
		public = public && operation.CanBePublic(method)
		return nil
	})
	in := inquiry{policy: p}
	if err != nil || in.addBody(body) != nil {
		return false, refusalNoCredentials // without a token the body is not talked about
	}
	why = refusalNoCredentials
	if scopes := in.scopes(nil); len(scopes) > 0 {
		why = why.needing(scopes)
	}
	if !public || in.unlisted || in.listens || !in.isPublic() || in.judge(nil) != nil {
		return false, why
	}
	if p.check == nil {
		return opens, nil
	}
	switch checked, _ := p.ask(ctx, nil, in.operations); {
	case checked == nil:
		return opens, nil
	case checked.outcome == OutcomeInsufficientScope:
		return false, refusalNoCredentials.needing(checked.scopes)
	case checked.outcome == OutcomeUnavailable:
		return false, checked
	default:
		return false, refusalNoCredentials.with(checked.attrs...)
	}
}

// isPublic reports whether all rules of the operations are public.
func (in *inquiry) isPublic() bool {
	for _, r := range in.rules {
		if !r.Public {
			return false
		}
	}
	return true
}

// publicMethodNotAllowed answers the GET for a stream, and the DELETE of an MCP session without a user, which ends by itself.
// A client that got 401 would have its user sign in.
var publicMethodNotAllowed = func() Reply {
	reply := jsonReply(http.StatusMethodNotAllowed, member{"error_description", describePublicMethod})
	reply.Header["Allow"] = []string{http.MethodPost}
	return reply
}()

const describePublicMethod = "without credentials, only POST is possible"
