package mcpauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"unsafe"
)

// The outcomes of [ResourceServer.RequireOperations], as they are logged, in addition to OutcomeInsufficientScope.
const (
	OutcomeMessageRefused   Outcome = "message_refused"   // 400 or 413
	OutcomeOperationRefused Outcome = "operation_refused" // 403 without a challenge
)

// RequireOperations returns a middleware for MCP handlers that reads from the body which operations a request asks for. It
// answers with 403 insufficient_scope when the caller's scopes don't suffice for them. The challenge names all scopes of the
// operations at once, those of rs included (MCP "Scope Challenge Handling", RFC 6750 §3.1), so that the client can authorize
// again and come back. A batch needs the scopes of all its messages.
//
//	policy, err := mcpauth.NewPolicy(mcpauth.Rules{...})
//	if err != nil {
//		return err
//	}
//	require := rs.RequireOperations(policy)
//	mcpauthhttp.Mount(mux, rs, require(mcpauthgosdk.Handler(rs, handler)))
//
// Operations are the call of a tool, a prompt, a resource that is read, subscribed or listened to, and a completion for a
// prompt or resource. Headers such as Mcp-Name are not looked at: the body is what the server runs. The body is read to its
// end, and handed on byte for byte.
//
// A body that is not JSON-RPC, or that two servers could read differently (repeated members, names that differ from the
// protocol's only in case), gets 400, and one that is longer than MaxBodyBytes gets 413. Both come after authentication. An
// operation that is not listed goes on to the server, unless the policy is strict: then it gets 403 without a challenge,
// because more scopes would not help. One that Check hides ([ErrHidden]) never runs: the handler of
// [ResourceServer.SDKHandler] as next gets it under a name that was drawn at random, and any other does not get it. The
// response to subscriptions/listen ends with its token ([EndWithToken]), whatever the headers say.
//
// RequireOperations panics when policy is nil. The middleware goes behind that of an adapter; a request that comes to it
// another way is authenticated here. In either case it requires the scopes that rs requires of every request. If the
// adapter and this middleware have different resource servers, give the adapter the original, and call RequireOperations on
// the one that [ResourceServer.WithRequiredScopes] made of it. The other way around, challenges here lack the scopes that only
// the adapter's requires.
func (rs *ResourceServer) RequireOperations(policy *Policy) func(next http.Handler) http.Handler {
	if policy == nil {
		panic("mcpauth: nil *mcpauth.Policy; did mcpauth.NewPolicy return an error?")
	}
	rs.known.add(policy.scopes)
	return func(next http.Handler) http.Handler {
		answersHidden := sdkHandlerOf(next) != nil
		checked := func(w http.ResponseWriter, r *http.Request) {
			rs.runChecked(w, r, policy, next.ServeHTTP, answersHidden)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, checked) })
	}
}

// runChecked calls next for an authenticated request whose operations are allowed. Those that are hidden get to next under
// other names, if it answers for them.
func (rs *ResourceServer) runChecked(w http.ResponseWriter, r *http.Request, policy *Policy, next func(http.ResponseWriter, *http.Request), answersHidden bool) {
	checked, hidden, ok := rs.checkOperations(w, r, policy, answersHidden)
	if !ok { // it was answered
		return
	}
	if hidden != nil {
		w, checked = hidden.apply(w, checked)
	}
	defer keepRoute(r, checked)
	next(w, checked)
}

// A checkedRequest is a request whose body has been read, and what its check needs, in one piece of memory.
type checkedRequest struct {
	request http.Request // with the body from its beginning
	body    replayedBody
	inquiry inquiry
}

// A replayedBody is a body that was read, from its beginning.
type replayedBody struct {
	strings.Reader
	io.Closer
}

// checkOperations returns an authenticated request to hand on, ok if all its operations are allowed, or are to be hidden by
// a disguise that is not nil then. Otherwise it has answered.
func (rs *ResourceServer) checkOperations(w http.ResponseWriter, r *http.Request, policy *Policy, answersHidden bool) (checked *http.Request, hidden *disguise, ok bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil, true
	}
	c := &checkedRequest{request: *r.WithContext(&checkedContext{r.Context(), policy}), inquiry: inquiry{policy: policy}}
	body, err := readBody(r, policy.maxBody)
	var why *refusal
	switch {
	case err != nil:
		why = refusalOfBody(err)
	case body == "":
		return r, nil, true
	default:
		hidden, why = rs.checkBody(r.Context(), &c.inquiry, body, answersHidden)
		if why == nil || hidden != nil && answersHidden {
			if why != nil {
				rs.logRefusal(r.Context(), why)
			}
			c.body.Reset(body)
			c.body.Closer = r.Body
			c.request.Body = &c.body
			return &c.request, hidden, true
		}
		c.request.Body = http.NoBody // it was read: the reply need not wait for more of it
		r = &c.request
	}
	rs.logRefusal(r.Context(), why)
	rs.replyToMessage(r, body, why).ServeHTTP(w, r)
	return nil, nil, false
}

// readBody returns the whole body of r, "" when there is none, or errBodyTooLong or errBodyBroken. GET and DELETE usually come
// without a body; when they have one, it is checked like that of any other method.
func readBody(r *http.Request, most int64) (string, error) {
	if r.ContentLength > most {
		return "", errBodyTooLong
	}
	announced := r.ContentLength
	if announced <= 0 { // the length is not known
		announced = unknownBody
	}
	// A client may announce more than it sends. One byte more than announced shows the end without growing.
	body := make([]byte, 0, min(announced, 64<<10)+1)
	for {
		n, err := r.Body.Read(body[len(body):min(int64(cap(body)), most+1)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return "", errBodyTooLong
		case err == io.EOF: // a reader does not wrap it
			return unsafe.String(unsafe.SliceData(body), len(body)), nil //nolint:gosec // nothing changes it any more
		case err != nil:
			return "", errorOfRead(err)
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
	}
}

// unknownBody is how many bytes a body of unknown length gets at first.
const unknownBody = 511

// errorOfRead is why a body could not be read to its end.
func errorOfRead(err error) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return errBodyTooLong
	}
	return errBodyBroken
}

var (
	errBodyTooLong = errors.New("the body is longer than Rules.MaxBodyBytes")
	errBodyBroken  = errors.New("reading the body failed before its end")
)

// checkBody returns why the operations of body are refused, or nil, and a disguise if the reason is only that some of them
// are hidden. It makes the response a stream that ends with its token if one of them is subscriptions/listen.
//
// If the server behind answers for hidden operations, no body is accepted that would be longer than MaxBodyBytes with other names:
// the server may have the same bound, and its answer would tell what is hidden from what is not there.
func (rs *ResourceServer) checkBody(ctx context.Context, in *inquiry, body string, answersHidden bool) (disguised *disguise, why *refusal) {
	session, err := SessionFromContext(ctx)
	if err != nil {
		return nil, refusalOfBody(err) // unreachable: the request is authenticated
	}
	if err := in.addBody(body); err != nil {
		return nil, refusalOfBody(err)
	}
	if answersHidden && int64(len(body)) > in.policy.maxBody-drawnBytes*int64(len(in.operations)) {
		return nil, refusalOfBody(errBodyTooLong)
	}
	why = in.judge(session)
	var hidden []bool
	if why == nil && in.policy.check != nil {
		why, hidden = in.policy.ask(ctx, session, in.operations)
		if why != nil && why.outcome == OutcomeInsufficientScope {
			why = why.needing(union(in.scopes(session), why.scopes))
		}
	}
	if hidden != nil {
		disguised, _ = newDisguise(body, in.operations, hidden)
	}
	if in.listens && (why == nil || disguised != nil) {
		EndWithToken(ctx)
	}
	if why != nil {
		return disguised, why.with(append(why.attrs, slog.Any("session", session))...).of(session)
	}
	return nil, nil
}

// refusalOfBody is the refusal of a body that can't be checked.
func refusalOfBody(err error) *refusal {
	return &refusal{
		outcome: OutcomeMessageRefused, cause: "the body can't be checked", err: err,
		cure:  "nothing to do here: the client has to send JSON-RPC 2.0 as MCP defines it",
		attrs: []slog.Attr{slog.Any("error", err)},
	}
}

// The replies that are the same for every resource server.
var (
	operationRefused = jsonReply(http.StatusForbidden, member{"error_description", describeOperation})
	messageRefused   = rpcError(http.StatusBadRequest, describeMessage)
	messageTooLong   = rpcError(http.StatusRequestEntityTooLarge, describeTooLong)
)

// rpcError returns a reply with an error of JSON-RPC 2.0 §5.1 about a message whose id is not known.
func rpcError(status int, message string) Reply {
	fault := encodeObject([]member{{"code", invalidRequest}, {"message", message}})
	return jsonReply(status,
		member{"jsonrpc", "2.0"}, member{"id", json.RawMessage("null")}, member{"error", json.RawMessage(fault)})
}

const (
	invalidRequest = -32600 // JSON-RPC 2.0 §5.1

	describeOperation = "this operation is not open to clients"
	describeMessage   = "the request body is not a JSON-RPC 2.0 message that can be read in one way only"
	describeTooLong   = "the request body is too long"
)
