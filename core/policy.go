package mcpauth

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// OperationScopes says which scopes the operations of an MCP server need, in addition to [Config.RequiredScopes]. For an
// operation that needs several, a caller has to hold all of them, by name or by [Config.ImpliedScopes].
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

	// Strict refuses every operation that is not listed, and every method that is not known here, because it could run
	// something. Without it they go on to the server, and an operation that is not listed needs no scope. A URI which a
	// server could take for a resource that is not listed, such as files:///public/../x, is not listed either. Tasks are the
	// outcome of a tool call that was checked when it began, and are not checked again.
	Strict bool

	// MaxBodyBytes is the length in bytes of the longest body that is accepted, 4 MiB by default. A longer one gets 413. The
	// body is held in memory.
	//
	// A body also gets 400 when checking it would take too long: with more than 1,000 messages or 1,000 operations, a name or
	// URI of more than 8 KiB, more than 256 KiB of them in all, more than 16,384 members of messages and their parameters, or
	// names of these members of more than 256 KiB in all; the arguments of tools do not count. It gets 400 too when its URIs
	// take more than 1,048,576 comparisons with patterns: each URI is compared with each pattern four times, one with a query
	// or fragment eight times, and text between two wildcards of a pattern counts once more, and again for every 16 bytes in
	// which it is searched.
	MaxBodyBytes int64
}

const defaultMaxBody = 4 << 20

// An OperationPolicy tells whether a session may run an operation. [ResourceServer.RequireOperations] enforces one. Its own
// methods are for showing callers only what they may use. It is immutable and safe for concurrent use.
type OperationPolicy struct {
	tools, prompts map[string][]string // the scopes of each
	patterns       operation.Patterns  // of resources
	patternScopes  [][]string          // the scopes of each pattern, in their order
	everyPattern   []string            // the scopes of all patterns
	strict         bool
	maxBody        int64
}

// NewOperationPolicy returns the policy that scopes describes. The error names every mistake in it, as an errors.Join of
// *[ConfigError].
func NewOperationPolicy(scopes OperationScopes) (*OperationPolicy, error) {
	var c checker
	p := &OperationPolicy{
		tools:   c.operations("Tools", scopes.Tools),
		prompts: c.operations("Prompts", scopes.Prompts),
		strict:  scopes.Strict,
		maxBody: scopes.MaxBodyBytes,
	}
	c.resources(p, scopes.Resources)
	switch {
	case scopes.MaxBodyBytes < 0:
		c.add("MaxBodyBytes", "", "is negative; 0 means 4 MiB")
	case scopes.MaxBodyBytes == 0:
		p.maxBody = defaultMaxBody
	case scopes.MaxBodyBytes == math.MaxInt64:
		p.maxBody-- // a body is read up to one byte beyond the bound, to see whether it is too long
	}
	if len(p.tools)+len(p.prompts)+len(p.patterns) == 0 && !p.strict {
		c.add("OperationScopes", "", "lists no operation, so that nothing would be checked; list Tools, Prompts or Resources")
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return p, nil
}

// AllowsTool reports whether s holds the scopes of a tool; a nil s holds none. It is true for a tool that is not listed,
// unless the policy is strict.
func (p *OperationPolicy) AllowsTool(s *Session, name string) bool {
	return p.allows(s, operation.Operation{Kind: operation.KindTool, Name: name})
}

// AllowsPrompt is AllowsTool for a prompt.
func (p *OperationPolicy) AllowsPrompt(s *Session, name string) bool {
	return p.allows(s, operation.Operation{Kind: operation.KindPrompt, Name: name})
}

// AllowsResource is AllowsTool for a resource, by its URI, or for a resource template.
func (p *OperationPolicy) AllowsResource(s *Session, uri string) bool {
	return p.allows(s, operation.Operation{Kind: operation.KindResource, Name: uri})
}

func (p *OperationPolicy) allows(s *Session, op operation.Operation) bool {
	needed := neededScopes{policy: p, budget: operation.BudgetUnlimited}
	if needed.add(op) != nil || needed.unlisted && p.strict {
		return false
	}
	return len(needed.scopes) == 0 || s != nil && s.HasScopes(needed.scopes...)
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
			c.add(field, name, "holds a *, and only resources have patterns; list each name by itself, or set Strict to refuse all that are not listed")
		}
		c.advertisedScopes(field, listed[name])
		checked[name] = union(listed[name], nil)
	}
	c.place = ""
	return checked
}

// resources adds the checked patterns of resources to p, with a copy of their scopes.
func (c *checker) resources(p *OperationPolicy, listed map[string][]string) {
	var every []string
	for i, text := range slices.Sorted(maps.Keys(listed)) {
		c.placeByName(i, len(listed))
		c.advertisedScopes("Resources", listed[text])
		pattern, err := operation.Compile(text)
		if err != nil {
			c.add("Resources", text, err.Error())
		}
		needed := union(listed[text], nil)
		p.patterns = append(p.patterns, pattern)
		p.patternScopes = append(p.patternScopes, needed)
		every = append(every, needed...)
	}
	c.place = ""
	p.everyPattern = union(every, nil)
}

// placeByName has the mistakes that follow say which of n names they are about, if there are several.
func (c *checker) placeByName(i, n int) {
	c.place = ""
	if n > 1 {
		c.place = "(number " + strconv.Itoa(i+1) + " in alphabetical order) "
	}
}
