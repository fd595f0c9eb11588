package mcpauth

import (
	"errors"
	"slices"
)

// maxComparisons bounds how often the URIs of one body are compared with the patterns of a policy: each with each in every
// form, and again for what is searched between two wildcards. One takes some 10 ns.
const maxComparisons = 1 << 20

var errComparisons = errors.New("more comparisons of URIs with the patterns of OperationScopes.Resources than one body may ask for")

// needed adds up what the operations of one body need. Each list of scopes is added once, however often it is asked for:
// a thousand reads of what needs a thousand scopes would otherwise be compared for a second.
type needed struct {
	policy   *OperationPolicy
	scopes   []string // of all operations, in the order in which they were asked for
	unlisted bool     // whether one of them is not listed
	listens  bool     // whether one of them is subscriptions/listen

	added       map[string]bool // scopes, once they are many
	rules       []bool          // whether the scopes of a resource rule are among them
	every       bool            // whether those of all resource rules are
	comparisons int             // that are left
}

// add adds an operation, or returns errComparisons.
func (n *needed) add(op operation) error {
	var scopes []string
	var listed bool
	switch op.kind {
	case toolCall:
		scopes, listed = n.policy.tools[op.name]
	case promptGet:
		scopes, listed = n.policy.prompts[op.name]
	case resourceRead:
		return n.addResource(op.name)
	case listening:
		n.listens = true
		return nil
	}
	n.addScopes(scopes)
	n.unlisted = n.unlisted || !listed
	return nil
}

// addResource errs on the side of refusal in both of its answers: for the scopes it is enough that a pattern matches the
// URI in one form, but a URI is listed only if, in whichever form a server takes it, a pattern matches.
func (n *needed) addResource(uri string) error {
	p := n.policy
	if hasDotSegment(uri) {
		if !n.every {
			n.addScopes(p.everyResource)
		}
		n.every, n.unlisted = true, true
		return nil
	}
	whole := formsOf(uri)
	path, hasQuery := whole, false
	if upToQuery := withoutQuery(uri); len(upToQuery) < len(uri) {
		path, hasQuery = formsOf(upToQuery), true
	}
	var inWhole, inPath formSet
	for i := range p.resources {
		rule := &p.resources[i]
		matched := rule.matches(&whole, &n.comparisons)
		matchedPath := matched
		if hasQuery {
			matchedPath = rule.matches(&path, &n.comparisons)
		}
		if n.comparisons < 0 {
			return errComparisons
		}
		if matched|matchedPath != 0 {
			n.addRule(i)
		}
		inWhole |= matched
		inPath |= matchedPath
		if rule.namesQuery {
			inPath |= matched // its author knows that the server looks at the query
		}
	}
	n.unlisted = n.unlisted || inWhole&inPath&listForms != listForms
	return nil
}

func (n *needed) addRule(i int) {
	if n.rules == nil {
		n.rules = make([]bool, len(n.policy.resources))
	}
	if !n.every && !n.rules[i] {
		n.addScopes(n.policy.resources[i].scopes)
	}
	n.rules[i] = true
}

// addScopes adds what of more is not there yet.
func (n *needed) addScopes(more []string) {
	const few = 16
	if len(n.scopes) == 0 {
		n.scopes = slices.Clip(more) // the policy's: whoever appends gets a copy
		return
	}
	if n.added == nil && len(n.scopes)+len(more) > few {
		n.added = make(map[string]bool, len(n.scopes)+len(more))
		for _, scope := range n.scopes {
			n.added[scope] = true
		}
	}
	for _, scope := range more {
		if n.added == nil && !slices.Contains(n.scopes, scope) || n.added != nil && !n.added[scope] {
			n.scopes = append(n.scopes, scope)
			if n.added != nil {
				n.added[scope] = true
			}
		}
	}
}
