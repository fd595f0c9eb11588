package mcpauth

import (
	"errors"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// What one body may ask for. Each operation is compared with the policy, and each member with those before it: without
// bounds, one body of a few megabytes could keep a core busy for seconds. OperationScopes.MaxBodyBytes tells users.
const (
	maxMessageDepth = 512
	maxMessages     = 1000
	maxOperations   = 1000
	maxNameBytes    = 8 << 10   // of a tool, prompt, URI or unknown method
	maxAllNameBytes = 256 << 10 // of all of them

	maxMembers     = 16 << 10  // of messages and their parameters
	maxMemberBytes = 256 << 10 // of the names of all of them
)

// What a message is refused for, in addition to what a strictjson.Reader refuses.
var (
	errLookalike  = errors.New("a member whose name differs from one of the protocol's in case alone")
	errNoName     = errors.New("an operation without a name or URI of type string")
	errEmptyBatch = errors.New("an empty batch")
	errTooMany    = errors.New("more than 1000 messages or operations, a name or URI of more than 8 KiB, or 256 KiB of them")
)

// readOperations calls visit for each operation that an HTTP body asks an MCP server for: a JSON-RPC 2.0 message, or a
// batch of them, as MCP had until 2025-03-26.
//
// It accepts less than JSON-RPC libraries do, because what it reads and what the server behind it reads have to be the
// same whichever server that is. Some take "NAME" for name, and of repeated members one takes the first and another the
// last; where they could disagree, the message is refused. What operations get as arguments is looked at for its syntax
// only.
//
// An error of visit ends the reading, and is returned.
func readOperations(document string, visit func(operation) error) error {
	r := messageReader{strictjson.NewReader(document, strictjson.Limits{
		Depth: maxMessageDepth, AllMembers: maxMembers, AllNameBytes: maxMemberBytes,
	})}
	messages, operations, nameBytes := 0, 0, 0
	counted := func(op operation) error {
		if op.kind == listening {
			return visit(op)
		}
		operations++
		nameBytes += len(op.name)
		if operations > maxOperations || len(op.name) > maxNameBytes || nameBytes > maxAllNameBytes {
			return errTooMany
		}
		return visit(op)
	}
	var err error
	if r.Peek() != strictjson.KindArray {
		err = r.message(counted)
	} else {
		err = r.Array(func() error {
			if messages++; messages > maxMessages {
				return errTooMany
			}
			return r.message(counted)
		})
		if err == nil && messages == 0 {
			err = errEmptyBatch
		}
	}
	if err != nil {
		return err
	}
	return r.End()
}

// A messageReader reads what MCP's messages ask for.
type messageReader struct{ *strictjson.Reader }

// message reads one message. A response has no method, and asks for nothing.
func (r messageReader) message(visit func(operation) error) error {
	var method string
	var params messageParams
	err := r.Object(func(name string) (err error) {
		switch name {
		case "method":
			method, err = r.Text()
		case "params":
			params, err = r.params()
		case "jsonrpc", "id", "result", "error":
			err = r.Skim()
		default:
			if looksLike(name, "jsonrpc", "id", "method", "params", "result", "error") {
				return errLookalike
			}
			err = r.Skim()
		}
		return err
	})
	if err != nil {
		return err
	}
	return params.operations(method, visit)
}

// messageParams are what may name an operation in the parameters of a message.
type messageParams struct {
	name, uri     optionalString
	ref           completionReference
	subscriptions []string
	malformed     bool // subscriptions are not what they should be
}

type optionalString struct {
	text  string
	given bool // as a string
}

type completionReference struct{ kind, name, uri optionalString }

func (r messageReader) params() (p messageParams, err error) {
	if r.Peek() != strictjson.KindObject {
		return p, r.Skim() // operations sees to it that none has such parameters
	}
	err = r.Object(func(name string) (err error) {
		switch name {
		case "name":
			p.name, err = r.optionalString()
		case "uri":
			p.uri, err = r.optionalString()
		case "ref":
			p.ref, err = r.reference()
		case "notifications":
			p.subscriptions, p.malformed, err = r.notifications()
		default:
			if looksLike(name, "name", "uri", "ref", "notifications") {
				return errLookalike
			}
			err = r.Skim()
		}
		return err
	})
	return p, err
}

// reference reads what a completion is for.
func (r messageReader) reference() (ref completionReference, err error) {
	if r.Peek() != strictjson.KindObject {
		return ref, r.Skim()
	}
	err = r.Object(func(name string) (err error) {
		switch name {
		case "type":
			ref.kind, err = r.optionalString()
		case "name":
			ref.name, err = r.optionalString()
		case "uri":
			ref.uri, err = r.optionalString()
		default:
			if looksLike(name, "type", "name", "uri") {
				return errLookalike
			}
			err = r.Skim()
		}
		return err
	})
	return ref, err
}

// notifications reads which resources a client wants to be told about.
func (r messageReader) notifications() (uris []string, malformed bool, err error) {
	const subscriptions = "resourceSubscriptions"
	if r.Peek() != strictjson.KindObject {
		return nil, r.Peek() != strictjson.KindNull, r.Skim()
	}
	err = r.Object(func(name string) (err error) {
		switch {
		case name == subscriptions && r.Peek() == strictjson.KindArray:
			return r.Array(func() error {
				if len(uris) == maxOperations {
					return errTooMany
				}
				uri, err := r.optionalString()
				malformed = malformed || !uri.given
				uris = append(uris, uri.text)
				return err
			})
		case name == subscriptions:
			malformed = r.Peek() != strictjson.KindNull
		case looksLike(name, subscriptions):
			return errLookalike
		}
		return r.Skim()
	})
	return uris, malformed, err
}

// operations calls visit for what a message with this method and these parameters asks for.
func (p *messageParams) operations(method string, visit func(operation) error) error {
	named := func(kind operationKind, name optionalString) error {
		if !name.given || name.text == "" {
			return errNoName
		}
		return visit(operation{kind, name.text})
	}
	switch method {
	case "tools/call":
		return named(toolCall, p.name)
	case "prompts/get":
		return named(promptGet, p.name)
	case "resources/read", "resources/subscribe":
		return named(resourceRead, p.uri)
	case "completion/complete": // shows what a prompt or resource takes
		if p.ref.kind == (optionalString{"ref/prompt", true}) {
			return named(promptGet, p.ref.name)
		}
		if p.ref.kind == (optionalString{"ref/resource", true}) {
			return named(resourceRead, p.ref.uri)
		}
		return errNoName
	case methodListen:
		if p.malformed {
			return errNoName
		}
		if err := visit(operation{kind: listening}); err != nil {
			return err
		}
		for _, uri := range p.subscriptions {
			if err := named(resourceRead, optionalString{uri, true}); err != nil {
				return err
			}
		}
		return nil
	}
	if !isHarmless(method) {
		return visit(operation{unknownMethod, method})
	}
	return nil
}

// isHarmless reports whether a method is known to run and read none of a server's tools, prompts and resources. Tasks
// are the outcome of a tool call that was checked when it began.
func isHarmless(method string) bool {
	switch method {
	case "", "initialize", "ping", "server/discover", "logging/setLevel", "resources/unsubscribe",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update":
		return true
	}
	return strings.HasPrefix(method, "notifications/")
}

// looksLike reports whether a member is taken for one of names by a server that does not compare letter by letter:
// "NAME" is, and "paramſ".
func looksLike(member string, names ...string) bool {
	for _, name := range names {
		if strings.EqualFold(member, name) {
			return true
		}
	}
	return false
}

// optionalString reads a string, or a value of another type as none.
func (r messageReader) optionalString() (s optionalString, err error) {
	if r.Peek() != strictjson.KindText {
		return s, r.Skim()
	}
	s.text, err = r.Text()
	s.given = true
	return s, err
}
