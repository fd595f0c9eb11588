package operation

import (
	"errors"
	"math"
)

// A Budget is the number of comparisons that are left. One takes some 10 ns. A URI is compared with each pattern four
// times, and one with a query or fragment eight times; text between two wildcards of a pattern counts once more, and again
// for every 16 bytes in which it is searched.
type Budget int

// What a budget begins with.
const (
	BudgetBody      Budget = 1 << 20     // for all URIs of one body
	BudgetUnlimited Budget = math.MaxInt // for a single URI, which the caller chooses
)

// ErrBudget is the error of [Patterns.Match] when the budget is used up.
var ErrBudget = errors.New("more comparisons of resource URIs with patterns than one body may ask for")

// Patterns are compiled once, and are then not changed any more: they are used concurrently.
type Patterns []Pattern

// A Coverage says whether patterns match a URI in every way in which a server could read it. The zero value is the one that
// asks for most caution.
type Coverage uint8

const (
	// CoverageAny is for a URI that could be any resource, because it has dot segments, such as a://x/../y: where it leads
	// depends on the server. All patterns count as matching, and visit was called for none.
	CoverageAny Coverage = iota

	// CoveragePart is for a URI that a server could take for a resource that none of the patterns matches. It may be that
	// none matches it at all, or that visit was called for some.
	CoveragePart

	// CoverageFull is for a URI that a pattern matches, whichever resource a server takes it for.
	CoverageFull
)

// Match calls visit with the index of each pattern that matches uri, in their order, and takes the comparisons from budget.
// It errs on the side of refusal twice. For a pattern to match, it is enough that it matches in one of the ways in which
// servers read a URI: with or without its query, decoded, in other case, with repeated or backward slashes. For
// CoverageFull, some pattern has to match in each of them.
//
// The error is ErrBudget, and says that the body has to be refused: visit was not called for all patterns.
func (ps Patterns) Match(uri string, budget *Budget, visit func(i int)) (Coverage, error) {
	if hasDotSegment(uri) {
		return CoverageAny, nil
	}
	whole := formsOf(uri)
	path, hasQuery := whole, false
	if upToQuery := withoutQuery(uri); len(upToQuery) < len(uri) {
		path, hasQuery = formsOf(upToQuery), true
	}
	var inWhole, inPath formSet
	for i := range ps {
		p := &ps[i]
		matched := p.matches(&whole, budget)
		matchedPath := matched
		if hasQuery {
			matchedPath = p.matches(&path, budget)
		}
		if *budget < 0 {
			return CoverageAny, ErrBudget
		}
		if matched|matchedPath != 0 {
			visit(i)
		}
		inWhole |= matched
		inPath |= matchedPath
		if p.namesQuery {
			inPath |= matched // its author knows that the server looks at the query
		}
	}
	if inWhole&inPath&coveringForms != coveringForms {
		return CoveragePart, nil
	}
	return CoverageFull, nil
}

// A formSet has a bit for each form of a URI.
type formSet uint8

// matches returns the forms in which p matches a URI, and takes the comparisons from budget.
func (p *Pattern) matches(forms *[uriForms]string, budget *Budget) (matched formSet) {
	for form := range forms {
		if p.forms[form].matches(forms[form], budget) {
			matched |= 1 << form
		}
	}
	return matched
}
