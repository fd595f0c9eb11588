package operation

import (
	"errors"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// The errors of [Read], in addition to those of a [strictjson.Reader]. They are never wrapped, and hold none of the body's
// text.
var (
	ErrLookalike  = errors.New("a member whose name differs from one of the protocol's only in case")
	ErrNoName     = errors.New("an operation that does not name its tool, prompt or resource by a string")
	ErrEmptyBatch = errors.New("an empty batch")
	ErrTooMany    = errors.New("more than 1000 messages or operations, or names and URIs of more than 8 KiB each or 256 KiB together")
)

// The bounds of one body. Every operation is compared with a policy, and every member with those before it: without bounds,
// a body of a few megabytes could take seconds. core's Rules.MaxBodyBytes documents them for users.
const (
	maxDepth        = 512
	maxMessages     = 1000
	maxOperations   = 1000
	maxNameBytes    = 8 << 10   // of a tool, prompt, URI or unknown method
	maxAllNameBytes = 256 << 10 // of all of them together

	maxMembers     = 16 << 10  // of messages and their parameters
	maxMemberBytes = 256 << 10 // of the names of all these members together
)

var limits = strictjson.Limits{Depth: maxDepth, AllMembers: maxMembers, AllNameBytes: maxMemberBytes}

// Read calls visit for each operation that body asks an MCP server for, in their order. The body is a JSON-RPC 2.0 message,
// or a batch of them, which MCP had until 2025-03-26.
//
// An error of visit ends the reading, and is returned as it is. Any other error says that the body has to be refused as a
// whole, although visit may have been called for operations in front of the mistake.
//
// Read accepts less than JSON-RPC libraries do. Some of them take "NAME" for name, and of repeated members one takes the
// first and another the last. A message in which they could disagree is an error. Values that no operation is read from,
// such as the arguments of a tool, are read for their syntax only.
func Read(body string, visit func(Operation) error) error {
	r := reader{strictjson.NewReader(body, limits)}
	if err := r.body(&visitor{visit: visit}); err != nil {
		return err
	}
	return r.End()
}

// Methods calls visit for the method of each message in body, in their order. That of a response is "". Otherwise it does what
// [Read] does.
func Methods(body string, visit func(method string) error) error {
	r := reader{strictjson.NewReader(body, limits)}
	if err := r.body(&visitor{visit: func(Operation) error { return nil }, visitMethod: visit}); err != nil {
		return err
	}
	return r.End()
}

// A reader reads messages, and hands what they ask for to a visitor. The visitor is an argument and not a field, so that
// what the caller's function refers to need not be allocated on the heap.
type reader struct{ *strictjson.Reader }

func (r reader) body(v *visitor) error {
	if r.Peek() != strictjson.KindArray {
		return r.message(v)
	}
	if err := r.Array(func() error { return r.message(v) }); err != nil {
		return err
	}
	if v.messages == 0 {
		return ErrEmptyBatch
	}
	return nil
}

// message reads a message to its end, and then visits its operations: its parameters may come before its method. A response
// has no method, and asks for nothing.
func (r reader) message(v *visitor) error {
	if v.messages++; v.messages > maxMessages {
		return ErrTooMany
	}
	var method string
	var p params
	err := r.Object(func(name string) (err error) {
		switch name {
		case "method":
			method, err = r.Text()
		case "params":
			p, err = r.params()
			p.end = r.Offset()
		case "jsonrpc", "id", "result", "error":
			err = r.Skim()
		default:
			err = r.other(name, "jsonrpc", "id", "method", "params", "result", "error")
		}
		return err
	})
	if err != nil {
		return err
	}
	v.paramsEnd, v.messageEnd = p.end, r.Offset()
	return v.message(method, &p)
}

// params is what may name an operation in the parameters of a message. What is absent, or not a string, is "": the
// protocol has no empty names.
type params struct {
	name, uri     word
	arguments     string // JSON
	ref           reference
	subscriptions subscriptions
	end           int // in the body
}

// A reference is what a completion is for.
type reference struct{ kind, name, uri word }

// A word is a string of a body, and its place there, with the quotes.
type word struct {
	text       string
	start, end int
}

// subscriptions are the resources that a client wants to be told about.
type subscriptions struct {
	uris      []word
	malformed bool // not a list
}

func (r reader) params() (p params, err error) {
	if r.Peek() != strictjson.KindObject {
		return p, r.Skim() // whether the method can do without is seen when the message is read
	}
	err = r.Object(func(name string) (err error) {
		switch name {
		case "name":
			p.name, err = r.name()
		case "uri":
			p.uri, err = r.name()
		case "arguments":
			p.arguments, err = r.Raw()
		case "ref":
			p.ref, err = r.reference()
		case "notifications":
			p.subscriptions, err = r.notifications()
		default:
			err = r.other(name, "name", "uri", "arguments", "ref", "notifications")
		}
		return err
	})
	return p, err
}

func (r reader) reference() (ref reference, err error) {
	if r.Peek() != strictjson.KindObject {
		return ref, r.Skim()
	}
	err = r.Object(func(name string) (err error) {
		switch name {
		case "type":
			ref.kind, err = r.name()
		case "name":
			ref.name, err = r.name()
		case "uri":
			ref.uri, err = r.name()
		default:
			err = r.other(name, "type", "name", "uri")
		}
		return err
	})
	return ref, err
}

func (r reader) notifications() (s subscriptions, err error) {
	if kind := r.Peek(); kind != strictjson.KindObject {
		s.malformed = kind != strictjson.KindNull
		return s, r.Skim()
	}
	err = r.Object(func(name string) (err error) {
		if name == "resourceSubscriptions" {
			s, err = r.subscriptions()
			return err
		}
		return r.other(name, "resourceSubscriptions")
	})
	return s, err
}

func (r reader) subscriptions() (s subscriptions, err error) {
	if kind := r.Peek(); kind != strictjson.KindArray {
		s.malformed = kind != strictjson.KindNull
		return s, r.Skim()
	}
	err = r.Array(func() error {
		if len(s.uris) == maxOperations {
			return ErrTooMany
		}
		uri, err := r.name()
		s.uris = append(s.uris, uri)
		return err
	})
	return s, err
}

// name reads a string. It reads a value of another type too, and returns "".
func (r reader) name() (w word, err error) {
	if r.Peek() != strictjson.KindText {
		return w, r.Skim()
	}
	w.start = r.Offset()
	w.text, err = r.Text()
	w.end = r.Offset()
	return w, err
}

// other reads the value of a member that has none of the names that matter. It returns ErrLookalike for one that a server
// takes for one of them when it does not compare letter by letter, such as "NAME" and "paramſ".
func (r reader) other(member string, names ...string) error {
	for _, name := range names {
		if strings.EqualFold(member, name) {
			return ErrLookalike
		}
	}
	return r.Skim()
}

// A visitor visits the operations of messages, up to the bounds of a body.
type visitor struct {
	visit       func(Operation) error
	visitMethod func(method string) error // nil for Read
	name        word                      // of the operation that is visited

	paramsEnd, messageEnd int // where in the body its message ends, and the parameters of that

	messages, operations, nameBytes int // so far
}

// message visits what a message with this method and these parameters asks for.
func (v *visitor) message(method string, p *params) error {
	if v.visitMethod != nil {
		if err := v.visitMethod(method); err != nil {
			return err
		}
	}
	switch method {
	case "tools/call":
		return v.named(p.name, Operation{Kind: KindTool, Arguments: p.arguments})
	case "prompts/get":
		return v.named(p.name, Operation{Kind: KindPrompt, Arguments: p.arguments})
	case "resources/read", "resources/subscribe":
		return v.named(p.uri, Operation{Kind: KindResource})
	case "completion/complete":
		return v.reference(&p.ref)
	case "subscriptions/listen":
		return v.subscriptions(&p.subscriptions)
	}
	if asksForNothing(method) {
		return nil
	}
	return v.named(word{text: method}, Operation{Kind: KindUnknown})
}

func (v *visitor) reference(ref *reference) error {
	switch ref.kind.text {
	case "ref/prompt":
		return v.named(ref.name, Operation{Kind: KindPrompt})
	case "ref/resource":
		return v.named(ref.uri, Operation{Kind: KindResource})
	}
	return ErrNoName
}

func (v *visitor) subscriptions(s *subscriptions) error {
	if s.malformed {
		return ErrNoName
	}
	if err := v.visit(Operation{Kind: KindListen}); err != nil {
		return err
	}
	for _, uri := range s.uris {
		if err := v.named(uri, Operation{Kind: KindResource}); err != nil {
			return err
		}
	}
	return nil
}

// named counts the operation of this name and visits it.
func (v *visitor) named(name word, op Operation) error {
	op.Name, v.name = name.text, name
	if op.Name == "" {
		return ErrNoName
	}
	v.operations++
	v.nameBytes += len(op.Name)
	if v.operations > maxOperations || len(op.Name) > maxNameBytes || v.nameBytes > maxAllNameBytes {
		return ErrTooMany
	}
	return v.visit(op)
}

// asksForNothing reports whether a method is known to run and read none of a server's tools, prompts and resources. The
// methods for tasks are among them: a task is the outcome of a tool call that was checked when it began.
func asksForNothing(method string) bool {
	switch method {
	case "", "initialize", "ping", "server/discover", "logging/setLevel", "resources/unsubscribe",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update":
		return true
	}
	return isClientNotification(method) || isOtherNotification(method)
}

// isClientNotification reports whether a method is a notification that MCP has clients send to servers.
func isClientNotification(method string) bool {
	switch method {
	case "notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed":
		return true
	}
	return false
}

// isOtherNotification reports whether a method is another notification of MCP: from servers, or about tasks and elicitations. A
// notification that MCP does not have is a server's own, whose handler could run anything.
func isOtherNotification(method string) bool {
	switch method {
	case "notifications/message", "notifications/tools/list_changed", "notifications/prompts/list_changed",
		"notifications/resources/list_changed", "notifications/resources/updated", "notifications/subscriptions/acknowledged",
		"notifications/tasks/status", "notifications/elicitation/complete":
		return true
	}
	return false
}

// CanBePublic reports whether a message with this method may be run without credentials, if all operations that it asks for
// are public. It may if it opens an MCP session, tells or asks something about the server, lists, or uses an operation once.
// Tasks belong to a user. A subscription is kept by the server, and without credentials there is no stream to be told by.
func CanBePublic(method string) bool {
	switch method {
	case MethodInitialize, "ping", "server/discover", "logging/setLevel",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"tools/call", "prompts/get", "resources/read", "completion/complete":
		return true
	}
	return isClientNotification(method)
}

// MethodInitialize opens an MCP session.
const MethodInitialize = "initialize"
