package mcpauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
//	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{...})
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
// because more scopes would not help. The response to subscriptions/listen ends with its token ([EndWithToken]), whatever
// the headers say.
//
// RequireOperations panics when policy is nil. The middleware goes behind that of an adapter; a request that comes to it
// another way is authenticated here. In either case it requires the scopes that rs requires of every request. The
// adapter may have the resource server that rs was made from by [ResourceServer.WithRequiredScopes]. The other way around, the
// challenge lacks the scopes that only the adapter's requires.
func (rs *ResourceServer) RequireOperations(policy *OperationPolicy) func(next http.Handler) http.Handler {
	if policy == nil {
		panic("mcpauth: nil *mcpauth.OperationPolicy; did mcpauth.NewOperationPolicy return an error?")
	}
	return func(next http.Handler) http.Handler {
		checked := func(w http.ResponseWriter, r *http.Request) {
			if body, ok := rs.checkOperations(w, r, policy); ok {
				next.ServeHTTP(w, withBody(r, body))
			}
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rs.Serve(w, r, checked) })
	}
}

// checkOperations returns the body of an authenticated request, ok if all its operations are allowed. Otherwise it has
// answered.
func (rs *ResourceServer) checkOperations(w http.ResponseWriter, r *http.Request, policy *OperationPolicy) (body string, ok bool) {
	body, err := readBody(r, policy.maxBody)
	switch {
	case err != nil:
		rs.bodyReply(r.Context(), err).ServeHTTP(w, r)
		return "", false
	case body == "":
		return "", true
	}
	if reply := rs.operationsReply(r.Context(), policy, body); reply != nil {
		reply.ServeHTTP(w, withoutBody(r))
		return "", false
	}
	return body, true
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
	errBodyTooLong = errors.New("the body is longer than OperationScopes.MaxBodyBytes")
	errBodyBroken  = errors.New("reading the body failed before its end")
)

// withBody returns r with the body that was read, from its beginning.
func withBody(r *http.Request, body string) *http.Request {
	if body == "" {
		return r
	}
	again := r.WithContext(r.Context())
	again.Body = &replayedBody{strings.NewReader(body), r.Body}
	return again
}

// withoutBody returns r without its body, which was read to its end: a reply need not wait for more of it.
func withoutBody(r *http.Request) *http.Request {
	read := *r
	read.Body = http.NoBody
	return &read
}

type replayedBody struct {
	*strings.Reader
	io.Closer
}

// operationsReply logs why the operations of body are refused and returns the reply, or returns nil if they are allowed. It
// makes the response a stream that ends with its token if one of them is subscriptions/listen.
func (rs *ResourceServer) operationsReply(ctx context.Context, policy *OperationPolicy, body string) *Reply {
	session, err := SessionFromContext(ctx)
	if err != nil {
		return rs.bodyReply(ctx, err) // unreachable: the request is authenticated
	}
	needed := neededScopes{policy: policy}
	if err := needed.addBody(body); err != nil {
		return rs.bodyReply(ctx, err)
	}
	switch {
	case needed.unlisted && policy.strict:
		rs.LogRefusal(ctx, OutcomeOperationRefused, "the operation is not listed, and the policy is strict",
			"list it in OperationScopes if clients are to use it", slog.Any("session", session))
		return &operationRefused
	case !session.HasScopes(needed.scopes...):
		// The scopes in the log are the policy's. The name of the operation is the client's text, and stays out.
		rs.LogRefusal(ctx, OutcomeInsufficientScope, "the token lacks scopes that the operation needs",
			"nothing to do here: the client asks its user for them", slog.Any("needed", slices.Clone(needed.scopes)), slog.Any("session", session))
		reply := challenge{metadataURL: rs.metadataURL, scope: strings.Join(union(rs.required, needed.scopes), " ")}.insufficientScope()
		return &reply
	}
	if needed.listens {
		EndWithToken(ctx)
	}
	return nil
}

// bodyReply logs what is wrong with a body and returns the reply, which is an error of JSON-RPC.
func (rs *ResourceServer) bodyReply(ctx context.Context, err error) *Reply {
	rs.LogRefusal(ctx, OutcomeMessageRefused, "the body can't be checked",
		"nothing to do here: the client has to send JSON-RPC 2.0 as MCP defines it", slog.Any("error", err))
	if errors.Is(err, errBodyTooLong) {
		return &messageTooLong
	}
	return &messageRefused
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
