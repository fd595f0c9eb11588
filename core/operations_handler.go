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

// The outcomes of [ResourceServer.RequireOperations], beside OutcomeInsufficientScope, as they are logged.
const (
	OutcomeMessageRefused   Outcome = "message_refused"   // 400 or 413
	OutcomeOperationRefused Outcome = "operation_refused" // 403 without a challenge
)

// RequireOperations returns a middleware for MCP handlers that looks into the body for what is asked for, and
// refuses what the caller's scopes don't suffice for with 403 insufficient_scope. The challenge names all scopes of the
// operation at once, those of rs included (MCP "Scope Challenge Handling", RFC 6750 §3.1), so that the client can
// authorize again and come back. A batch needs the scopes of all its messages.
//
//	policy, err := mcpauth.NewOperationPolicy(mcpauth.OperationScopes{...})
//	if err != nil {
//		return err
//	}
//	require := rs.RequireOperations(policy)
//	mcpauthhttp.Mount(mux, rs, require(mcpauthgosdk.Handler(rs, handler)))
//
// A call of a tool, a prompt, a resource read, subscribed or listened to, and a completion for a prompt or resource are
// operations. Headers such as Mcp-Name are not looked at: the body is what the server runs. The body is read to its end,
// and handed on byte for byte.
//
// A body that is no JSON-RPC, or that two servers could read differently (repeated members, names that are the
// protocol's but for their case), is answered with 400, and one that is longer than MaxBodyBytes with 413. Both come
// after authentication. An operation that is not listed goes on, unless scopes are strict: then it gets 403 without a
// challenge, because no scope would help. The response to subscriptions/listen ends with its token ([EndWithToken]),
// whatever the headers say.
//
// RequireOperations panics when policy is nil. The middleware goes behind that of an adapter. A request that comes
// to it another way is authenticated here. The scopes that rs requires of every request are required in either case:
// the adapter may have a resource server that rs was made from by [ResourceServer.WithRequiredScopes]. The other way around, the
// challenge does not name the scopes which the adapter's has in addition.
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

// checkOperations returns the body of an authenticated request whose operations are permitted. Otherwise it has answered.
func (rs *ResourceServer) checkOperations(w http.ResponseWriter, r *http.Request, policy *OperationPolicy) (body string, ok bool) {
	body, err := readBody(r, policy.maxBody)
	if err == nil && body != "" {
		err = rs.permitOperations(r.Context(), policy, body)
	}
	var refused *operationRefusal
	switch {
	case errors.As(err, &refused):
		refused.reply.ServeHTTP(w, withoutBody(r))
	case err != nil && body != "":
		rs.refuseMessage(r.Context(), err).ServeHTTP(w, withoutBody(r))
	case err != nil:
		rs.refuseMessage(r.Context(), err).ServeHTTP(w, r)
	default:
		return body, true
	}
	return "", false
}

// readBody returns the whole body, "" when there is none. GET and DELETE usually come without, and are looked at like
// all others when they do not.
func readBody(r *http.Request, most int64) (string, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	if r.ContentLength > most {
		return "", errBodyTooLong
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead) // what is announced is not there yet
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
	errBodyBroken  = errors.New("the body could not be read to its end")
)

// withBody returns r with a body that begins again.
func withBody(r *http.Request, body string) *http.Request {
	if body == "" {
		return r
	}
	again := r.WithContext(r.Context())
	again.Body = &replayedBody{strings.NewReader(body), r.Body}
	return again
}

// withoutBody returns r when its body was read to the end, so that there is nothing to wait for.
func withoutBody(r *http.Request) *http.Request {
	read := *r
	read.Body = http.NoBody
	return &read
}

type replayedBody struct {
	*strings.Reader
	io.Closer
}

// An operationRefusal carries the reply to a request whose operations are not permitted.
type operationRefusal struct{ reply *Reply }

func (*operationRefusal) Error() string { return "operation refused" }

// permitOperations returns an *operationRefusal, or what is wrong with the body.
func (rs *ResourceServer) permitOperations(ctx context.Context, policy *OperationPolicy, body string) error {
	session, err := SessionFromContext(ctx)
	if err != nil {
		return err // unreachable: the request is authenticated
	}
	needed := needed{policy: policy, comparisons: maxComparisons}
	err = readOperations(body, needed.add)
	switch {
	case err != nil:
		return err
	case needed.unlisted && policy.strict:
		rs.LogRefusal(ctx, OutcomeOperationRefused, "the operation is not listed, and the policy is strict",
			"list it in OperationScopes if clients are to use it", slog.Any("session", session))
		return &operationRefusal{&operationRefused}
	case !session.HasScopes(needed.scopes...):
		// What is logged are the scopes of the policy, and not the client's name for what it wants.
		rs.LogRefusal(ctx, OutcomeInsufficientScope, "the token lacks scopes that the operation needs",
			"nothing to do here: the client asks its user for them", slog.Any("needed", slices.Clone(needed.scopes)), slog.Any("session", session))
		reply := challenge{metadataURL: rs.metadataURL, scope: strings.Join(union(rs.required, needed.scopes), " ")}.insufficientScope()
		return &operationRefusal{&reply}
	}
	if needed.listens {
		EndWithToken(ctx)
	}
	return nil
}

// refuseMessage logs what is wrong with a body, and returns the answer, which is JSON-RPC's.
func (rs *ResourceServer) refuseMessage(ctx context.Context, err error) *Reply {
	rs.LogRefusal(ctx, OutcomeMessageRefused, "the body is not one that can be checked",
		"nothing to do here: the client has to send JSON-RPC 2.0 as MCP has it", slog.Any("error", err))
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
