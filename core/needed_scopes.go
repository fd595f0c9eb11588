package mcpauth

import (
	"slices"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// neededScopes adds up what the operations of one body need. Each list of scopes is added once, however often it is asked
// for: otherwise a thousand reads of a resource that needs a thousand scopes would take a second.
type neededScopes struct {
	policy   *OperationPolicy
	scopes   []string // of all operations, each once, in the order in which they were asked for
	unlisted bool     // whether one of the operations is not listed
	listens  bool     // whether one of them is subscriptions/listen

	added     map[string]bool  // the same scopes, once they are many
	ofPattern []bool           // whether the scopes of a pattern are among them
	ofAll     bool             // whether the scopes of all patterns are
	budget    operation.Budget // of comparisons that are left
}

// addBody adds all operations that body asks for. The error says what is wrong with body.
func (n *neededScopes) addBody(body string) error {
	n.budget = operation.BudgetBody
	return operation.Read(body, n.add)
}

// add adds an operation. The error is operation.ErrBudget.
func (n *neededScopes) add(op operation.Operation) error {
	var scopes []string
	var listed bool
	switch op.Kind {
	case operation.KindTool:
		scopes, listed = n.policy.tools[op.Name]
	case operation.KindPrompt:
		scopes, listed = n.policy.prompts[op.Name]
	case operation.KindResource:
		return n.addResource(op.Name)
	case operation.KindListen:
		n.listens = true
		return nil
	}
	n.addScopes(scopes)
	n.unlisted = n.unlisted || !listed
	return nil
}

func (n *neededScopes) addResource(uri string) error {
	coverage, err := n.policy.patterns.Match(uri, &n.budget, n.addPattern)
	if err != nil {
		return err
	}
	if coverage == operation.CoverageAny && !n.ofAll {
		n.addScopes(n.policy.everyPattern)
		n.ofAll = true
	}
	n.unlisted = n.unlisted || coverage != operation.CoverageFull
	return nil
}

// addPattern adds the scopes of the pattern with the index i.
func (n *neededScopes) addPattern(i int) {
	if n.ofAll {
		return
	}
	if n.ofPattern == nil {
		n.ofPattern = make([]bool, len(n.policy.patterns))
	}
	if !n.ofPattern[i] {
		n.addScopes(n.policy.patternScopes[i])
		n.ofPattern[i] = true
	}
}

// addScopes adds those of more that are not there yet.
func (n *neededScopes) addScopes(more []string) {
	const few = 16
	if len(n.scopes) == 0 {
		n.scopes = slices.Clip(more) // it is the policy's; appending to it makes a copy
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
