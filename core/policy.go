package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// Rules say who may use the operations of an MCP server, which are its tools, prompts and resources. They hold in addition to
// [Config.RequiredScopes].
//
//	mcpauth.Rules{
//		Tools: map[string]mcpauth.Rule{
//			"delete_order": {Scopes: []string{"orders:read", "orders:write"}},
//			"refund":       {Roles: []string{"support", "admin"}},
//		},
//		Resources: map[string]mcpauth.Rule{"orders://{id}": {Scopes: []string{"orders:read"}}},
//	}
type Rules struct {
	// Tools and Prompts are listed by their names, exactly as the server registers them.
	Tools   map[string]Rule
	Prompts map[string]Rule

	// Resources are listed by URI, by URI template (RFC 6570) or with * as a wildcard: {...} and * both stand for any
	// text, slashes included, and for none. Where several patterns match a URI, the rules of all of them have to hold.
	//
	// A pattern also matches what a server could take for the same resource: other case, percent-encoding, a query, and
	// slashes that are repeated, backward, at the end or right after the scheme do not lead around it. orders://A and orders://a
	// count as one resource: if both are listed, reading either needs the rules of both. A URI with dot segments, such as
	// orders://x/../y, could lead anywhere, and needs the rules of all patterns.
	//
	// Another host, port or user is another URI, and the parameters of a query in another order are another query. What
	// single file systems make of a name (Unicode normal forms, short names, streams) is not known here.
	Resources map[string]Rule

	// Check, when set, is asked about every operation that its rule allows, and about those that are not listed, unless Strict
	// refuses them. It has to be safe for concurrent use. s is nil for callers without credentials: lists that are asked for
	// without a token, as over stdio, and public operations ([Rule.Public]). nil allows. The other results are:
	//
	//   - [NeedScopes]: 403 insufficient_scope with a challenge for these scopes, so that the client asks its user for them.
	//   - [ErrHidden]: the answer is that of the server for an operation that it does not have, under the handlers of the
	//     modules for MCP SDKs, and 403 without a challenge elsewhere. The operation is in no list of this caller.
	//   - Any other error: 403 without a challenge, and in no list. Its text goes to the log, and never to the client.
	//   - A panic, or no answer within CheckTimeout: 503.
	//
	// For lists it is asked with [Operation.Listing], for at most 16 entries at a time; there NeedScopes leaves an entry in
	// the list, unless its rule says Hide, and every other error takes it out.
	Check func(ctx context.Context, s *Session, op Operation) error

	// CheckTimeout is how long Check may take for all operations of a request, or for a whole list: 5 s by default.
	CheckTimeout time.Duration

	// Strict refuses every operation that is not listed, and every method and notification that MCP does not have, because it could
	// run something. Without it they go on to the server, for every authenticated caller. A URI is listed only if every
	// resource is that a server could take it for: files:///public/../x is not. Tasks are the outcome of a tool call
	// that was checked when it began, and are not checked again.
	Strict bool

	// MaxBodyBytes is the length in bytes of the longest body that is accepted, 4 MiB by default. A longer one gets 413. The
	// body is held in memory.
	//
	// With Check, and a handler that answers for hidden operations ([ErrHidden]), each operation of a body counts for 30 bytes
	// more, because its name may become longer. The SDK's server may have a bound of its own, such as MaxRequestBodyBytes of the
	// go-sdk (also 4 MiB by default). MaxBodyBytes must not be higher: otherwise that server refuses a body of just that length
	// if it asks for a hidden operation, and accepts it for an unknown one, so that a client can tell the two apart.
	//
	// A body also gets 400 when checking it would take too long. It may have, not counting the arguments of tools,
	//
	//   - 1,000 messages and 1,000 operations,
	//   - 8 KiB for a name or URI, and 256 KiB for all of them,
	//   - 16,384 members of messages and their parameters, and 256 KiB for their names,
	//   - 1,048,576 comparisons of URIs with patterns. Each URI is compared with each pattern four times, and eight times if it
	//     has a query or fragment. Each text between two wildcards costs one comparison more, plus one for every 16 bytes that
	//     are searched for it.
	MaxBodyBytes int64
}

// A Rule says what a caller needs for an operation. Everything that is set has to hold; the zero Rule allows every
// authenticated caller.
//
// Roles, permissions and the organization are claims that Scalekit's tokens for MCP users usually do not have. A caller whose
// token lacks the claim is refused, and the log says so.
type Rule struct {
	// Scopes have to be held, all of them, by name or by [Config.ImpliedScopes].
	Scopes []string

	// AnyScopes are alternatives: all scopes of one of these lists have to be held. The challenge names the list of which the
	// caller lacks the fewest, or the first of those.
	AnyScopes [][]string

	// Roles are alternatives, of which the caller has to have one.
	Roles []string

	// Permissions have to be held, all of them.
	Permissions []string

	// Organizations are ids of organizations ([Session.OrganizationID]), of which the caller has to belong to one.
	Organizations []string

	// Public lets callers without credentials use the operation, too, if the policy is [Config.Policy]: see there. It can't be
	// combined with anything that a caller would need. Where several patterns match a URI, all of them have to be public. Check
	// is asked with a nil session about public operations that are called without credentials.
	Public bool

	// Hide takes the operation out of lists for callers who lack its scopes, or those that Check needs. Otherwise they see it,
	// and a client that calls it asks its user for the scopes. Callers who lack a role, a permission or the organization never
	// see it, because asking would not help.
	Hide bool
}

// A Policy decides who may use which operations. [ResourceServer.RequireOperations] enforces it in front of a server, and
// the modules for MCP SDKs take out of lists what a caller may not see. It is immutable and safe for concurrent use.
type Policy struct {
	tools, prompts map[string]*rule
	patterns       operation.Patterns // of resources
	patternRules   []*rule            // in their order
	rules          int                // how many there are
	hasPublic      bool               // whether one of them is public
	strict         bool
	maxBody        int64
	check          func(context.Context, *Session, Operation) error
	checkTimeout   time.Duration
	scopes         []string // of all rules
}

// A rule is a Rule of a policy. Its lists are copies.
type rule struct {
	Rule
	kind  OperationKind
	name  string
	index int // among the policy's
}

const (
	defaultMaxBody      = 4 << 20
	defaultCheckTimeout = 5 * time.Second
)

// NewPolicy returns the policy that rules describe. The error names every mistake in them, as an errors.Join of
// *[ConfigError].
func NewPolicy(rules Rules) (*Policy, error) {
	var c checker
	p := &Policy{strict: rules.Strict, maxBody: rules.MaxBodyBytes, check: rules.Check, checkTimeout: rules.CheckTimeout}
	p.tools = c.named(p, OperationTool, "Tools", rules.Tools)
	p.prompts = c.named(p, OperationPrompt, "Prompts", rules.Prompts)
	c.resources(p, rules.Resources)
	switch {
	case rules.MaxBodyBytes < 0:
		c.add("MaxBodyBytes", "", "is negative; 0 means 4 MiB")
	case rules.MaxBodyBytes == 0:
		p.maxBody = defaultMaxBody
	case rules.MaxBodyBytes == math.MaxInt64:
		p.maxBody-- // a body is read up to one byte beyond the bound, to see whether it is too long
	}
	switch {
	case rules.CheckTimeout < 0:
		c.add("CheckTimeout", "", "is negative; 0 means 5 s")
	case rules.CheckTimeout > 0 && rules.Check == nil:
		c.add("CheckTimeout", "", "is set while Check is not; set the function, or remove it")
	case rules.CheckTimeout == 0:
		p.checkTimeout = defaultCheckTimeout
	}
	if p.rules == 0 && !p.strict && p.check == nil {
		c.add("Rules", "", "list no operation, so that nothing would be checked; list Tools, Prompts or Resources, or set Check")
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return p, nil
}

// String lists the rules, one operation a line, in the order of kinds and names. It is for tests that compare the whole
// policy of a server with a text that was reviewed. Names with a space, or with characters that can't be seen, are in the
// quotes of Go, so that no two policies with different rules have the same text.
func (p *Policy) String() string {
	var b strings.Builder
	for _, rules := range [][]*rule{sorted(p.tools), sorted(p.prompts), p.patternRules} {
		for _, r := range rules {
			fmt.Fprintf(&b, "%s %s: %s\n", r.kind, inOneWord(r.name), r.Rule)
		}
	}
	other := "every authenticated caller"
	if p.strict {
		other = "refused"
	}
	fmt.Fprintf(&b, "others: %s\n", other)
	if p.check != nil {
		b.WriteString("and Check\n")
	}
	return b.String()
}

// Covers reports whether a rule names an operation: a tool or prompt by its name, and a resource by its URI or URI template.
func (p *Policy) Covers(kind OperationKind, name string) bool {
	in := inquiry{policy: p, budget: operation.BudgetUnlimited}
	return in.add(Operation{Kind: kind, Name: name}.internal()) == nil && !in.unlisted
}

func sorted(rules map[string]*rule) []*rule {
	var all []*rule
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		all = append(all, rules[name])
	}
	return all
}

// String says in one line what the rule needs.
func (r Rule) String() string {
	var parts []string
	list := func(format string, values []string) {
		if len(values) > 0 {
			parts = append(parts, fmt.Sprintf(format, join(values, ", ")))
		}
	}
	list("scopes %s", r.Scopes)
	if len(r.AnyScopes) > 0 {
		var sets []string
		for _, set := range r.AnyScopes {
			sets = append(sets, join(set, " + "))
		}
		parts = append(parts, "any scopes of "+strings.Join(sets, ", "))
	}
	list("a role of %s", r.Roles)
	list("permissions %s", r.Permissions)
	list("an organization of %s", r.Organizations)
	switch {
	case r.Public:
		parts = append(parts, "public")
	case len(parts) == 0:
		parts = []string{"every authenticated caller"}
	}
	if r.Hide {
		parts = append(parts, "hidden without the scopes")
	}
	return strings.Join(parts, "; ")
}

// join writes values in one word each. Separators have a space, which no word has.
func join(values []string, separator string) string {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = inOneWord(value)
	}
	return strings.Join(words, separator)
}

// inOneWord returns text as it is if it can be seen, and within the quotes of Go otherwise.
func inOneWord(text string) string {
	unclear := func(r rune) bool { return r == ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) }
	if text == "" || strings.ContainsFunc(text, unclear) {
		return strconv.Quote(text)
	}
	return text
}

// named returns the checked rules of tools or prompts.
func (c *checker) named(p *Policy, kind OperationKind, field string, listed map[string]Rule) map[string]*rule {
	rules := make(map[string]*rule, len(listed))
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
		rules[name] = c.rule(p, kind, field, name, listed[name])
	}
	c.place = ""
	return rules
}

// resources adds the checked patterns of resources to p, with their rules.
func (c *checker) resources(p *Policy, listed map[string]Rule) {
	for i, text := range slices.Sorted(maps.Keys(listed)) {
		c.placeByName(i, len(listed))
		pattern, err := operation.Compile(text)
		if err != nil {
			c.add("Resources", text, err.Error())
		}
		p.patterns = append(p.patterns, pattern)
		p.patternRules = append(p.patternRules, c.rule(p, OperationResource, "Resources", text, listed[text]))
	}
	c.place = ""
}

// rule returns a checked copy of a rule.
func (c *checker) rule(p *Policy, kind OperationKind, field, name string, given Rule) *rule {
	r := &rule{kind: kind, name: name, index: p.rules, Rule: Rule{Hide: given.Hide, Public: given.Public}}
	p.rules++
	p.hasPublic = p.hasPublic || given.Public
	if given.Public && (given.Hide || len(given.Scopes)+len(given.AnyScopes)+len(given.Roles)+len(given.Permissions)+len(given.Organizations) > 0) {
		c.add(field, "", "is Public, and needs something of its callers, which those without credentials don't have; remove Public, or everything else")
	}
	c.advertisedScopes(field, given.Scopes)
	r.Scopes = union(given.Scopes, nil)
	p.scopes = union(p.scopes, r.Scopes)
	if given.AnyScopes != nil && len(given.AnyScopes) == 0 {
		c.add(field, "", "has an empty list of AnyScopes; leave it out, or name the scopes")
	}
	for _, set := range given.AnyScopes {
		if len(set) == 0 {
			c.add(field, "", "has an empty list in AnyScopes, which every caller holds; remove it, or name the scopes")
		}
		c.advertisedScopes(field, set)
		r.AnyScopes = append(r.AnyScopes, union(set, nil))
		p.scopes = union(p.scopes, set)
	}
	for _, list := range []struct {
		name   string
		values []string
		to     *[]string
	}{{"Roles", given.Roles, &r.Roles}, {"Permissions", given.Permissions, &r.Permissions}, {"Organizations", given.Organizations, &r.Organizations}} {
		if slices.Contains(list.values, "") {
			c.add(field, "", "has an empty text in "+list.name+"; remove it")
		}
		if list.values != nil && len(list.values) == 0 {
			c.add(field, "", "has an empty list of "+list.name+"; leave it out, or name them")
		}
		*list.to = union(list.values, nil)
	}
	return r
}

// placeByName has the mistakes that follow say which of n names they are about, if there are several.
func (c *checker) placeByName(i, n int) {
	c.place = ""
	if n > 1 {
		c.place = "(number " + strconv.Itoa(i+1) + " in alphabetical order) "
	}
}
