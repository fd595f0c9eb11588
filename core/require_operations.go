package mcpauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
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
// because more scopes would not help. One that Check hides ([ErrHidden]) never runs: a [HiddenAnswerer] as next gets it under
// a name that was drawn at random, and any other handler does not get it. The response to subscriptions/listen ends with its token ([EndWithToken]), whatever
// the headers say.
//
// RequireOperations panics when policy is nil. The middleware goes behind that of an adapter; a request that comes to it
// another way is authenticated here. In either case it requires the scopes that rs requires of every request. The
// adapter may have the resource server that rs was made from by [ResourceServer.WithRequiredScopes]. The other way around, the
// challenge lacks the scopes that only the adapter's requires.
func (rs *ResourceServer) RequireOperations(policy *Policy) func(next http.Handler) http.Handler {
	if policy == nil {
		panic("mcpauth: nil *mcpauth.Policy; did mcpauth.NewPolicy return an error?")
	}
	return func(next http.Handler) http.Handler {
		_, answersHidden := next.(HiddenAnswerer)
		checked := func(w http.ResponseWriter, r *http.Request) {
			body, hidden, ok := rs.checkOperations(w, r, policy, answersHidden)
			if !ok {
				return
			}
			if body != "" {
				r = r.WithContext(&checkedContext{r.Context(), policy})
				replay(r, body)
			}
			if hidden != nil {
				w, r = hidden.apply(w, r)
			}
			next.ServeHTTP(w, r)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, checked) })
	}
}

// checkOperations returns the body of an authenticated request, ok if all its operations are allowed, or hidden ones are to
// be answered behind, with that disguise. Otherwise it has answered.
func (rs *ResourceServer) checkOperations(w http.ResponseWriter, r *http.Request, policy *Policy, answersHidden bool) (body string, hidden *disguise, ok bool) {
	body, err := readBody(r, policy.maxBody)
	var why *refusal
	switch {
	case err != nil:
		why = refusalOfBody(err)
	case body == "":
		return "", nil, true
	default:
		hidden, why = rs.checkBody(r.Context(), policy, body)
		if why == nil {
			return body, nil, true
		}
		r = withoutBody(r)
	}
	rs.logRefusal(r.Context(), why)
	if hidden != nil && answersHidden {
		return body, hidden, true
	}
	rs.replyTo(why).ServeHTTP(w, r)
	return "", nil, false
}

// readBody returns the whole body, "" when there is none, or errBodyTooLong or errBodyBroken. GET and DELETE usually come
// without a body; when they have one, it is checked like that of any other method.
func readBody(r *http.Request, most int64) (string, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	if r.ContentLength > most {
		return "", errBodyTooLong
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead) // the client may announce more than it sends
	n, err := b.ReadFrom(io.LimitReader(r.Body, most+1))
	switch {
	case errors.As(err, new(*http.MaxBytesError)) || n > most:
		return "", errBodyTooLong
	case err != nil:
		return "", errBodyBroken
	}
	return b.String(), nil
}

var (
	errBodyTooLong = errors.New("the body is longer than Rules.MaxBodyBytes")
	errBodyBroken  = errors.New("reading the body failed before its end")
)

// replay makes body, which was read, the body of r from its beginning.
func replay(r *http.Request, body string) {
	replayed := &replayedBody{Closer: r.Body}
	replayed.Reset(body)
	r.Body = replayed
}

// withoutBody returns r without its body, which was read to its end: a reply need not wait for more of it.
func withoutBody(r *http.Request) *http.Request {
	read := *r
	read.Body = http.NoBody
	return &read
}

type replayedBody struct {
	strings.Reader
	io.Closer
}

// checkBody returns why the operations of body are refused, or nil, and a disguise if the reason is only that some of them
// are hidden. It makes the response a stream that ends with its token if one of them is subscriptions/listen.
func (rs *ResourceServer) checkBody(ctx context.Context, policy *Policy, body string) (disguised *disguise, why *refusal) {
	session, err := SessionFromContext(ctx)
	if err != nil {
		return nil, refusalOfBody(err) // unreachable: the request is authenticated
	}
	in := inquiry{policy: policy}
	if err := in.addBody(body); err != nil {
		return nil, refusalOfBody(err)
	}
	why = in.judge(session)
	var hidden []bool
	if why == nil && policy.check != nil {
		why, hidden = policy.ask(ctx, session, in.operations)
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
		return disguised, why.with(append(why.attrs, slog.Any("session", session))...)
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
