package mcpauth

import (
	"context"
	"slices"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// Visible returns for each of several operations of a kind whether it is shown to a caller in a list. Names are those of
// tools or prompts, or the URIs and URI templates of resources.
//
// An operation is shown if the caller may use it, and also if only scopes are missing, those that Check needs included,
// unless its rule says Hide: a client asks for the scopes of what it calls. It is not shown if Check does not answer in time.
// Nothing that a strict policy does not list is shown.
func (p *Policy) Visible(ctx context.Context, session *Session, kind OperationKind, names []string) []bool {
	shown := make([]bool, len(names))
	var asked []Operation
	var places []int
	var hides []bool   // those that are asked about are hidden without the scopes
	in := new(inquiry) // for one name after the other
	for i, name := range names {
		op := Operation{Kind: kind, Name: name, Listing: true}
		*in = inquiry{policy: p, budget: operation.BudgetUnlimited}
		shown[i] = in.add(op.internal()) == nil && in.shows(session)
		if shown[i] && p.check != nil {
			asked, places, hides = append(asked, op), append(places, i), append(hides, in.hides())
		}
	}
	for i, v := range p.askAll(ctx, session, asked) {
		shown[places[i]] = v.err == nil || v.scopes != nil && !v.hides && !hides[i]
	}
	return shown
}

// shows reports whether the rules leave the operation in lists for a caller: judge would find nothing, or that only scopes are
// missing, and no rule hides it then. It makes no refusal, because lists are long.
func (in *inquiry) shows(s *Session) bool {
	if in.unlisted && in.policy.strict {
		return false
	}
	held := true
	for _, r := range in.rules {
		if claim, _ := r.lackedClaim(s); claim != "" {
			return false
		}
		held = held && r.scopesHeld(s)
	}
	return held || !in.hides()
}

// hides reports whether a rule takes the operation out of lists for callers who lack scopes.
func (in *inquiry) hides() bool {
	return slices.ContainsFunc(in.rules, func(r *rule) bool { return r.Hide })
}
