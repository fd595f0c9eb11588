package mcpauth

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// OperationScopes says which scopes the operations of an MCP server need, beside [Config.RequiredScopes]. Of an
// operation that needs several, a caller has to hold all, by name or by [Config.ImpliedScopes].
//
//	mcpauth.OperationScopes{
//		Tools:     map[string][]string{"delete_order": {"orders:read", "orders:write"}, "whoami": nil},
//		Resources: map[string][]string{"orders://{id}": {"orders:read"}},
//	}
type OperationScopes struct {
	// Tools and Prompts are listed by their names, exactly as the server registers them.
	Tools   map[string][]string
	Prompts map[string][]string

	// Resources are listed by URI, by URI template (RFC 6570) or with * as a wildcard: {...} and * both stand for any
	// text, slashes included, and for none. Where several patterns match a URI, the scopes of all of them are needed.
	//
	// A pattern also matches what a server could take for the same resource: other case, percent-encoding, a query, and
	// slashes that are repeated, backward, at the end or right after the scheme do not lead around it. Were a server to
	// tell orders://A from orders://a, reading either would need the scopes of both. A URI with dot segments, such as
	// orders://x/../y, could lead anywhere, and needs the scopes of all patterns.
	//
	// Another host, port or user is another URI, and the parameters of a query in another order are another query. What
	// single file systems make of a name (Unicode normal forms, short names, streams) is not known here.
	Resources map[string][]string

	// Strict refuses every operation that is not listed, and every method that could be one because it is not known here.
	// Otherwise they go on to the server, and an operation that nobody listed needs no scope. A URI which a server could
	// take for a resource that is not listed, such as files:///public/../x, is not listed either. Tasks are the outcome of a
	// tool call that was checked when it began, and are not checked again.
	Strict bool

	// MaxBodyBytes is the longest body that is accepted, 4 MiB by default. The body is held in memory.
	//
	// A body also gets 400 when it is made to cost time: with more than 1,000 messages or 1,000 operations, a name or URI of
	// more than 8 KiB, more than 256 KiB of them in all, more than 16,384 members of messages and their parameters, or names
	// of those of more than 256 KiB in all; what tools get as arguments does not count. And with URIs and patterns that take
	// more than 1,048,576 comparisons: each URI is compared with each pattern four times, one with a query eight times, and
	// text between two wildcards of a pattern counts once more, and again for every 16 bytes in which it is searched.
	MaxBodyBytes int64
}

const defaultMaxBody = 4 << 20

// An OperationPolicy tells whether a session may run an operation. [ResourceServer.RequireOperations] enforces one;
// by itself it is for showing callers only what they may use. It is immutable and safe for concurrent use.
type OperationPolicy struct {
	tools, prompts map[string][]string
	resources      []resourceRule
	everyResource  []string // the scopes of all of them
	strict         bool
	maxBody        int64
}

// NewOperationPolicy returns the policy that scopes describes, or every mistake in it, as an errors.Join of
// *[ConfigError].
func NewOperationPolicy(scopes OperationScopes) (*OperationPolicy, error) {
	var c checker
	p := &OperationPolicy{
		tools:   c.operations("Tools", scopes.Tools),
		prompts: c.operations("Prompts", scopes.Prompts),
		strict:  scopes.Strict,
		maxBody: scopes.MaxBodyBytes,
	}
	var every []string
	for i, pattern := range slices.Sorted(maps.Keys(scopes.Resources)) {
		needed := scopes.Resources[pattern]
		c.placeByName(i, len(scopes.Resources))
		c.advertisedScopes("Resources", needed)
		rule, reason := newResourceRule(pattern, union(needed, nil))
		if reason != "" {
			c.add("Resources", pattern, reason)
		}
		p.resources = append(p.resources, rule)
		every = append(every, rule.scopes...)
	}
	c.place = ""
	p.everyResource = union(every, nil)
	switch {
	case scopes.MaxBodyBytes < 0:
		c.add("MaxBodyBytes", "", "is negative; 0 means 4 MiB")
	case scopes.MaxBodyBytes == 0:
		p.maxBody = defaultMaxBody
	case scopes.MaxBodyBytes == math.MaxInt64:
		p.maxBody-- // one byte more than it is asked for, or a body that is too long would look like none
	}
	if len(p.tools)+len(p.prompts)+len(p.resources) == 0 && !p.strict {
		c.add("OperationScopes", "", "lists no operation, so that nothing would be checked; list Tools, Prompts or Resources")
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return p, nil
}

// operations returns a checked copy of a list of tools or prompts.
func (c *checker) operations(field string, listed map[string][]string) map[string][]string {
	checked := make(map[string][]string, len(listed))
	for i, name := range slices.Sorted(maps.Keys(listed)) {
		c.placeByName(i, len(listed))
		switch {
		case name == "":
			c.add(field, "", "holds an empty name; give the name that the server registers")
		case strings.ContainsFunc(name, isControl) || strings.ToValidUTF8(name, "") != name:
			c.add(field, name, "holds a control character or broken UTF-8; give the name that the server registers")
		case strings.Contains(name, "*"):
			c.add(field, name, "is no name, and only resources have patterns; list each by itself, or set Strict")
		}
		c.advertisedScopes(field, listed[name])
		checked[name] = union(listed[name], nil)
	}
	c.place = ""
	return checked
}

// placeByName says in mistakes which of several names it is that is checked.
func (c *checker) placeByName(i, n int) {
	c.place = ""
	if n > 1 {
		c.place = "(number " + strconv.Itoa(i+1) + " in alphabetical order) "
	}
}

// AllowsTool reports whether s holds the scopes of a tool; a nil s holds none. It is true for a tool that is not listed,
// unless the policy is strict.
func (p *OperationPolicy) AllowsTool(s *Session, name string) bool {
	return p.allows(s, operation{toolCall, name})
}

// AllowsPrompt is AllowsTool for a prompt.
func (p *OperationPolicy) AllowsPrompt(s *Session, name string) bool {
	return p.allows(s, operation{promptGet, name})
}

// AllowsResource is AllowsTool for a resource, by its URI, or for a resource template.
func (p *OperationPolicy) AllowsResource(s *Session, uri string) bool {
	return p.allows(s, operation{resourceRead, uri})
}

func (p *OperationPolicy) allows(s *Session, op operation) bool {
	n := needed{policy: p, comparisons: math.MaxInt} // one operation, and not a client's list of them
	if n.add(op) != nil || n.unlisted && p.strict {
		return false
	}
	return len(n.scopes) == 0 || s != nil && s.HasScopes(n.scopes...)
}

// An operation is what a JSON-RPC message asks a server to run or read.
type operation struct {
	kind operationKind
	name string // of the tool or prompt, the URI of the resource, or the method that nothing is known about
}

type operationKind uint8

const (
	toolCall operationKind = iota
	promptGet
	resourceRead
	listening // needs no scope: its response is a stream
	unknownMethod
)

// A resourceRule is a pattern in each of the forms that URIs are compared in.
type resourceRule struct {
	forms      [uriForms]wildcard
	scopes     []string
	namesQuery bool // has a query or fragment itself
}

// newResourceRule returns the rule of a pattern, or what is wrong with it.
func newResourceRule(pattern string, scopes []string) (rule resourceRule, mistake string) {
	rule.scopes = scopes
	rule.namesQuery = strings.ContainsAny(pattern, "?#")
	literals, mistake := splitPattern(pattern)
	if mistake != "" {
		return rule, mistake
	}
	for form := range rule.forms {
		rule.forms[form] = make(wildcard, len(literals))
	}
	last := len(literals) - 1
	for i, literal := range literals {
		forms := formsOf(literal)
		if i < last {
			forms[noEndSlash] = forms[noEndSlash-1] // the slash is not at the pattern's end
		}
		for form := range forms {
			rule.forms[form][i] = forms[form]
		}
	}
	return rule, ""
}

// splitPattern returns the text between the wildcards of a pattern, or what is wrong with it.
func splitPattern(pattern string) (literals []string, mistake string) {
	if pattern == "" {
		return nil, "holds an empty pattern; give a resource's URI, or a template such as orders://{id}"
	}
	if strings.ContainsFunc(pattern, isControl) || strings.Contains(pattern, " ") || strings.ToValidUTF8(pattern, "") != pattern {
		return nil, "holds a space, a control character or broken UTF-8, which no URI does; write them percent-encoded"
	}
	var literal strings.Builder
	for rest := pattern; rest != ""; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case '*':
		case '{':
			name, after, ok := strings.Cut(rest, "}")
			if !ok || name == "" || strings.Contains(name, "{") {
				return nil, "has an unclosed, empty or nested {; write {name} for the part that varies"
			}
			rest = after
		case '}':
			return nil, "has a } without its {; write {name} for the part that varies"
		default:
			literal.WriteByte(c)
			continue
		}
		literals = append(literals, literal.String())
		literal.Reset()
	}
	literals = append(literals, literal.String())
	if scheme, _, ok := strings.Cut(literals[0], ":"); len(literals) == 1 && !ok || ok && scheme == "" || !ok && literals[0] != "" && !isToken(literals[0]) {
		return nil, "is no absolute URI; begin with the scheme, as in orders://{id}"
	}
	for _, literal := range literals {
		if hasDotSegment(literal) {
			return nil, "has a dot segment; write the path that it leads to"
		}
		if strings.Count(literal, "%") != len(percentEncoded.FindAllString(literal, -1)) {
			return nil, "has a % that encodes nothing; write %25"
		}
	}
	return literals, ""
}

// A wildcard matches the texts that hold its parts in order, the first at the beginning and the last at the end.
type wildcard []string

// match takes from comparisons what it costs.
func (w wildcard) match(text string, comparisons *int) bool {
	first, last := w[0], w[len(w)-1]
	*comparisons -= 1 + (len(first)+len(last))/64
	if len(w) == 1 {
		return text == first
	}
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first):]
	for _, part := range w[1 : len(w)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			*comparisons -= 1 + len(text)/16
			return false
		}
		*comparisons -= 1 + at/16
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, last)
}

// A formSet has a bit for each form of a URI.
type formSet uint8

// matches returns the forms in which the rule's pattern matches a URI, and takes from comparisons what it costs.
func (rule *resourceRule) matches(forms *[uriForms]string, comparisons *int) (matched formSet) {
	for form := range forms {
		if rule.forms[form].match(forms[form], comparisons) {
			matched |= 1 << form
		}
	}
	return matched
}
