package mcpauth

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// An OperationKind says what an operation uses.
type OperationKind string

// The kinds of operations. A completion is of the kind of what it is for.
const (
	OperationTool     OperationKind = "tool"
	OperationPrompt   OperationKind = "prompt"
	OperationResource OperationKind = "resource" // read, or subscribed to
)

// An Operation is one use of a tool, a prompt or a resource that a caller asks for, as [Rules.Check] sees it.
type Operation struct {
	Kind OperationKind

	// Name is the name of the tool or prompt, or the URI of the resource, as the client sent it.
	Name string

	// Listing is true when the question is whether the operation is shown in a list. There are no arguments then.
	Listing bool

	arguments *arguments
}

// arguments are those of one operation.
type arguments struct {
	text      string      // JSON, "" when there are none
	ambiguous atomic.Bool // they were read, and could be read in another way
	unnamed   atomic.Bool // they were read without the names of any
}

// Arguments returns the arguments of a tool call or a prompt, nil when there are none. The names of members are exact. Numbers
// are json.Number, and each has one spelling: 5e4 and 50000.0 are "50000".
//
// names are those of the arguments that Check looks for, on every level. Name all of them:
//
//	arguments, err := op.Arguments("amount", "currency")
//
// Many tools decode their arguments with encoding/json, which takes "Amount" for a field named amount. A Check that finds no
// "amount" would allow what it was to refuse, so a member whose name differs from one of names only in case is an error. A call
// without any name is a mistake of the program, as a Check that forgets them would be open to such members: it returns an error,
// and the request gets 503, whatever Check returns.
//
// It also returns an error for arguments that two JSON readers could understand differently: with repeated members, with
// members whose names differ only in case, with numbers that a float64 does not hold, or with broken text. Such a number is
// 9007199254740993, which a tool may see as 9007199254740992 (RFC 8259 §6): long ids have to be strings. What Check decided
// about one reading would not hold for the other, so the request gets 400 then, whatever Check returns.
func (op Operation) Arguments(names ...string) (map[string]any, error) {
	switch {
	case op.arguments == nil:
		return nil, nil //nolint:nilnil // there are none
	case len(names) == 0:
		op.arguments.unnamed.Store(true)
		return nil, errUnnamed
	case op.arguments.text == "":
		return nil, nil //nolint:nilnil // there are none
	}
	values, err := operation.Arguments(op.arguments.text, names...)
	if err != nil {
		op.arguments.ambiguous.Store(true)
	}
	return values, err
}

var errUnnamed = errors.New(`mcpauth: Operation.Arguments was called without names; name those that Check looks for, as in op.Arguments("amount")`)

// newOperation returns what Check sees of op, ok if it is asked about operations of its kind.
func newOperation(op operation.Operation) (asked Operation, ok bool) {
	switch op.Kind {
	case operation.KindTool:
		asked.Kind = OperationTool
	case operation.KindPrompt:
		asked.Kind = OperationPrompt
	case operation.KindResource:
		asked.Kind = OperationResource
	default:
		return asked, false
	}
	asked.Name = op.Name
	asked.arguments = &arguments{text: op.Arguments}
	return asked, true
}

// internal returns op as internal/operation names it.
func (op Operation) internal() operation.Operation {
	kinds := map[OperationKind]operation.Kind{
		OperationTool: operation.KindTool, OperationPrompt: operation.KindPrompt, OperationResource: operation.KindResource,
	}
	return operation.Operation{Kind: kinds[op.Kind], Name: op.Name} // KindUnknown for any other word
}

// ErrHidden is a result of [Rules.Check]: the caller must not know of the operation, which never runs. The handlers of the
// modules for MCP SDKs answer as they do for an operation that the server does not have, if they are given directly to Mount
// or [ResourceServer.RequireOperations] (see [ResourceServer.SDKHandler]). With any other handler the answer is 403 without a
// challenge, and 401 to a caller without credentials. An error with both ErrHidden and that of [NeedScopes] in its tree hides.
//
// A name with characters that can't be printed, and a batch in which another operation is refused, get 403 in any case. The
// answer is later than that for an unknown operation by the time that Check takes.
//
// A rule is judged before Check is asked: callers who lack its scopes, those without credentials among them, get the
// challenge that names them, and so does a batch in which another operation lacks some. So Check should ask for all scopes
// of an operation that it hides, and its rule for none.
var ErrHidden = errors.New("mcpauth: the operation is hidden from this caller")

// A scopesError is a result of Check that more scopes would change.
type scopesError struct{ scopes []string }

func (e *scopesError) Error() string {
	return "mcpauth: needs the scopes " + strings.Join(e.scopes, " ")
}

// NeedScopes returns an error that says which scopes a caller needs. As a result of [Rules.Check] it gets the client a
// challenge for these scopes and for those that the rule and the resource server require.
//
// A tool, prompt or resource may return it, too, because it may learn from its backend alone that a scope is missing. Under
// the modules for MCP SDKs the client gets the same challenge, as long as nothing of the answer was sent: see
// mcpauthgosdk.Attach and mcpauthmcpgo.Handler.
//
// Text that can't be the scope of a resource (RFC 6749 §3.3), and offline_access, make it an error like any other, which
// refuses without a challenge.
func NeedScopes(scopes ...string) error {
	for _, scope := range scopes {
		if !isScope(scope) || scope == offlineAccess {
			return errors.New("mcpauth: NeedScopes: " + quoteForError(scope) + " can't be the scope of a resource")
		}
	}
	if len(scopes) == 0 {
		return errors.New("mcpauth: NeedScopes without a scope")
	}
	return &scopesError{union(scopes, nil)}
}

// NeededScopes returns the scopes of all errors of [NeedScopes] in the tree of err, each once, and nil when there is none.
// Two that were joined (errors.Join) need the scopes of both: a client that was asked for those of one would be asked again.
func NeededScopes(err error) (scopes []string) {
	// errors.As would stop at the first error that it finds.
	for err != nil {
		var found *scopesError
		switch e := err.(type) { //nolint:errorlint // this walks the tree itself
		case *scopesError:
			found = e
		case interface{ As(target any) bool }:
			e.As(&found)
		}
		if found != nil {
			return union(found.scopes, nil)
		}
		switch e := err.(type) { //nolint:errorlint // this walks the tree itself
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				scopes = union(scopes, NeededScopes(one))
			}
			return scopes
		default:
			return nil
		}
	}
	return nil
}
