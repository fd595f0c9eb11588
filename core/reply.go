package mcpauth

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A Reply is a whole response, and the http.Handler that sends it. It may be shared by many requests and must not be
// modified.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// ServeHTTP sends the reply. It replaces headers that middlewares in front have set, CORS headers included, and waits no
// longer than a second for a body of r that the client has announced and not sent.
func (reply *Reply) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(&Decision{Reply: reply}).WriteReply(w, r)
}

// Header values that replies have in common, once each: a garbage collection marks all that a server keeps for as long as
// it runs.
var (
	contentJSON = []string{"application/json"}
	noStore     = []string{"no-store"}
	anyOrigin   = []string{"*"}
)

// jsonReply returns a reply whose body is the object of members, and which no cache may keep.
func jsonReply(status int, members ...member) Reply {
	return Reply{
		Status: status,
		Header: http.Header{"Content-Type": contentJSON, "Cache-Control": noStore},
		Body:   encodeObject(members),
	}
}

// replies are the replies to refusals that a resource server makes once. The others depend on the refusal.
type replies struct {
	noCredentials     Reply
	malformed         Reply
	invalidToken      Reply
	expired           Reply
	insufficientScope Reply
}

// The descriptions are fixed, and free of the words that clients search a challenge for without anchors
// ("scope=", "error=", "resource_metadata=").
const (
	describeNoCredentials = "an access token is required"
	describeMalformed     = "the Authorization header is malformed or repeated"
	describeCredentials   = "the credentials are malformed, repeated, or of two kinds at once"
	describeInvalid       = "the access token is invalid"
	describeExpired       = "the access token is expired"
	describeScope         = "the access token lacks a required permission"
	describeOrigin        = "requests from this origin are not allowed"
	describeUnavailable   = "access tokens cannot be checked at the moment"
)

var originRefused = jsonReply(http.StatusForbidden, member{"error_description", describeOrigin})

// newReplies returns the replies of a resource server, with the challenge that names the scopes of every request.
func newReplies(c challenge) *replies {
	return &replies{
		noCredentials:     c.noCredentials(),
		malformed:         c.reply(http.StatusBadRequest, "invalid_request", describeMalformed, ""),
		invalidToken:      c.reply(http.StatusUnauthorized, "invalid_token", describeInvalid, ""),
		expired:           c.reply(http.StatusUnauthorized, "invalid_token", describeExpired, "token_expired"),
		insufficientScope: c.insufficientScope(),
	}
}

// replyTo returns what the client is told of a refusal.
func (rs *ResourceServer) replyTo(why *refusal) *Reply {
	switch why.outcome {
	case OutcomeNoCredentials:
		if why.scopes != nil {
			reply := rs.challenge(rs.challenged(why)).noCredentials()
			return &reply
		}
		return &rs.replies.noCredentials
	case OutcomeInvalidRequest:
		if why != refusalMalformed { // with Config.CredentialHeader, whose line it may be
			reply := rs.challenge(rs.required).reply(http.StatusBadRequest, "invalid_request", describeCredentials, "")
			return &reply
		}
		return &rs.replies.malformed
	case OutcomeExpired:
		return &rs.replies.expired
	case OutcomeInsufficientScope:
		if why.scopes == nil && !rs.challengeHeld {
			return &rs.replies.insufficientScope
		}
		reply := rs.challenge(rs.challenged(why)).insufficientScope()
		return &reply
	case OutcomeOperationRefused:
		return &operationRefused
	case OutcomeMessageRefused:
		if errors.Is(why.err, errBodyTooLong) {
			return &messageTooLong
		}
		return &messageRefused
	case OutcomeOriginRefused:
		return &originRefused
	case OutcomeUnavailable:
		return unavailable(why.retryAfter)
	}
	return &rs.replies.invalidToken
}

// unavailable is the reply while tokens can't be checked. It has no challenge: a client that got one would throw a good
// token away.
func unavailable(retryAfter time.Duration) *Reply {
	reply := jsonReply(http.StatusServiceUnavailable, member{"error", "temporarily_unavailable"}, member{"error_description", describeUnavailable})
	setRetryAfter(&reply, retryAfter)
	return &reply
}

func setRetryAfter(reply *Reply, wait time.Duration) {
	seconds := int64((wait + time.Second - 1) / time.Second)
	reply.Header["Retry-After"] = []string{strconv.FormatInt(max(1, seconds), 10)}
}

// SetHeader sets the decision's headers, and those of its reply if there is one, on h. They replace those of outer
// middlewares. Vary is appended, and CORS headers are set as [CORSAnswer.Set] says. The values are copies.
func (d *Decision) SetHeader(h http.Header) {
	answer := d.CORS(h)
	if answer.ours == nil {
		answer.ours = &corsValues{} // metadata has its own, and a refusal behind an outer Serve gets none
	}
	answer.Set(h)
	if d.Reply == nil {
		return
	}
	for name, values := range d.Reply.Header {
		if name != "Vary" {
			h[name] = slices.Clone(values)
			continue
		}
		for _, value := range values {
			if !varies(h[name], value) {
				h[name] = append(slices.Clip(h[name]), value)
			}
		}
	}
}

// WriteReply answers r with the decision's reply and all headers. It is for decisions that have one. It waits no longer
// than a second for a body of r that the client has announced and not sent.
func (d *Decision) WriteReply(w http.ResponseWriter, r *http.Request) {
	d.SetHeader(w.Header())
	if isHooked(w, r) {
		d.settle(w)
	}
	limitUnreadBody(w, r)
	w.WriteHeader(d.Reply.Status)
	_, _ = w.Write(d.Reply.Body) //nolint:gosec // the text of a reply is fixed; a client that is gone needs no answer
}

// unreadBodyTime is how long the rest of a body may take that no handler is going to read.
const unreadBodyTime = time.Second

// limitUnreadBody keeps a client from holding a connection by a body that it announces and never sends. net/http reads
// the rest of a body, up to 256 KiB, before it sends the response, and waits for it for as long as the server's
// ReadTimeout says, which is for ever where streams are served.
//
// The limit is a moment in the future: one in the past would have net/http cancel the contexts of the connection's next
// requests, and reset the connection of a client that is still sending. The limit ends with the body: net/http then waits
// for the next request without it.
func limitUnreadBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadBodyTime))
	if err != nil && r.ProtoMajor == 1 { // a writer in front hides the connection: then the body is not waited for
		w.Header().Set("Connection", "close")
	}
}
