// Package operation reads what the messages of the Model Context Protocol (MCP) ask a server to run or read, and compares
// the URIs of resources with patterns.
//
// [Read] lists the operations that the body of a request asks for. [Compile] makes a pattern of a resource's URI or URI
// template, and [Patterns.Match] tells which of several patterns match a URI.
//
// What is read here has to be what a server behind it runs, whichever server that is. Where two servers could differ, the
// answer is the careful one: a message that could be read in two ways is an error, and a URI matches a pattern as soon as
// it does in one of the ways in which a server could read it.
//
// The package decides nothing. It knows no session, no scope, no policy and no HTTP: who may do what is the caller's part.
package operation

// An Operation is one thing that a message asks an MCP server for.
type Operation struct {
	Kind Kind

	// Name is the name of a tool or prompt, the URI of a resource, or a method of KindUnknown, and not empty. It is empty
	// for KindListen.
	Name string

	// Arguments is the JSON text of the arguments of a tool or prompt, "" when there are none. It is read for its syntax only:
	// see the function Arguments.
	Arguments string
}

// A Kind says what an operation runs or reads.
type Kind uint8

// The kinds of operations. In addition to its own method, a completion is of the kind of what it is for, because it shows
// what a prompt or a resource takes.
const (
	KindUnknown  Kind = iota // a method that is not known here, and could run or read anything
	KindTool                 // tools/call
	KindPrompt               // prompts/get, and completion/complete for a prompt
	KindResource             // resources/read, resources/subscribe, subscriptions/listen, and completion/complete for a resource
	KindListen               // subscriptions/listen itself: its response is a stream, whatever it subscribes to
)
