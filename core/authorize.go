package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// The refusals of operations. Their attributes never name the operation: its name is the client's text.
var (
	refusalUnlisted = &refusal{
		outcome: OutcomeOperationRefused, cause: "the operation is not listed, and the policy is strict",
		cure: "list it in Rules if clients are to use it",
	}
	refusalOperationScope = &refusal{
		outcome: OutcomeInsufficientScope, cause: "the token lacks scopes that the operation needs",
		cure: "nothing to do here: the client asks its user for them; to a program without a user, grant them in the Scalekit dashboard",
	}
	refusalAmbiguous = &refusal{
		outcome: OutcomeMessageRefused, cause: "Check read arguments that two JSON readers could understand differently",
		cure: "nothing to do here: the client has to send each member once",
	}
)

// refusalByCheck is the refusal of an operation that Check does not allow.
func refusalByCheck(err error) *refusal {
	return &refusal{
		outcome: OutcomeOperationRefused, cause: "Check refused the operation", cure: "see the error: it is what Rules.Check returned",
		err: err, attrs: []slog.Attr{slog.Any("error", err)},
	}
}

// refusalOfCheck is the refusal of an operation about which Check did not answer.
func refusalOfCheck(err error) *refusal {
	return &refusal{
		outcome: OutcomeUnavailable, level: slog.LevelWarn, retryAfter: time.Second, cause: "Check failed", cure: "see the error of Rules.Check",
		err: err, attrs: []slog.Attr{slog.Any("error", err)},
	}
}

// Authorize returns nil if the policy allows op to a caller. A nil session is a caller without a token, who has no scope and
// no claim. Otherwise the error says why not: [NeededScopes] returns the scopes that would help, and errors.Is finds
// [ErrHidden]. It is for tests of a policy; [ResourceServer.RequireOperations] decides about requests.
func (p *Policy) Authorize(ctx context.Context, session *Session, op Operation) error {
	in := inquiry{policy: p, budget: operation.BudgetUnlimited}
	if err := in.add(op.internal()); err != nil {
		return err
	}
	if why := in.judge(session); why != nil {
		return why.asError()
	}
	if p.check == nil {
		return nil
	}
	if why, _ := p.ask(ctx, session, []Operation{op}); why != nil {
		return why.asError()
	}
	return nil
}

// asError returns a refusal of an operation for the users of Authorize.
func (r *refusal) asError() error {
	switch {
	case r.err != nil:
		return r.err
	case r.outcome == OutcomeInsufficientScope:
		return &scopesError{r.scopes}
	}
	return r
}

// IsOpen reports whether every authenticated caller may use an operation: no rule needs anything for it, and there is no Check.
// It is for answers that caches may share among callers.
func (p *Policy) IsOpen(kind OperationKind, name string) bool {
	in := inquiry{policy: p, budget: operation.BudgetUnlimited}
	return p.check == nil && in.add(Operation{Kind: kind, Name: name}.internal()) == nil && in.judge(nil) == nil
}

// An inquiry collects the rules of the operations that one request asks for. Each rule is judged once, however often it is
// asked for: otherwise a thousand reads of a resource that needs a thousand scopes would take a second.
type inquiry struct {
	policy     *Policy
	rules      []*rule // of all operations, each once, in the order in which they were asked for
	operations []Operation
	unlisted   bool // whether one of the operations is not listed
	listens    bool // whether one of them is subscriptions/listen

	few    [4]*rule         // memory for rules
	seen   []bool           // by the index of a rule, once they are many
	all    bool             // whether the rules of all patterns are among them
	budget operation.Budget // of comparisons that are left
}

// addBody adds all operations that body asks for. The error says what is wrong with body.
func (in *inquiry) addBody(body string) error {
	in.budget = operation.BudgetBody
	return operation.Read(body, in.add)
}

// add adds an operation. The error is operation.ErrBudget.
func (in *inquiry) add(op operation.Operation) error {
	if in.policy.check != nil {
		if asked, ok := newOperation(op); ok {
			in.operations = append(in.operations, asked)
		}
	}
	switch op.Kind {
	case operation.KindTool:
		in.addNamed(in.policy.tools[op.Name])
	case operation.KindPrompt:
		in.addNamed(in.policy.prompts[op.Name])
	case operation.KindResource:
		return in.addResource(op.Name)
	case operation.KindListen:
		in.listens = true
	default:
		in.unlisted = true
	}
	return nil
}

func (in *inquiry) addNamed(r *rule) {
	if r == nil {
		in.unlisted = true
		return
	}
	in.addRule(r)
}

func (in *inquiry) addResource(uri string) error {
	coverage, err := in.policy.patterns.Match(uri, &in.budget, func(i int) { in.addRule(in.policy.patternRules[i]) })
	if err != nil {
		return err
	}
	if coverage == operation.CoverageAny && !in.all {
		in.all = true
		in.rules = slices.Grow(in.rules, len(in.policy.patternRules))
		for _, r := range in.policy.patternRules {
			in.addRule(r)
		}
	}
	in.unlisted = in.unlisted || coverage != operation.CoverageFull
	return nil
}

// addRule adds r, if it is not there yet.
func (in *inquiry) addRule(r *rule) {
	if in.rules == nil {
		in.rules = in.few[:0]
	}
	switch {
	case in.seen != nil && in.seen[r.index], in.seen == nil && slices.Contains(in.rules, r):
		return
	case in.seen == nil && len(in.rules) == len(in.few):
		in.seen = make([]bool, in.policy.rules)
		for _, old := range in.rules {
			in.seen[old.index] = true
		}
	}
	if in.seen != nil {
		in.seen[r.index] = true
	}
	in.rules = append(in.rules, r)
}

// judge returns why the rules refuse the operations to a caller, or nil. What more scopes can't change comes first. The
// scopes of an insufficient_scope refusal are all that the operations need.
func (in *inquiry) judge(s *Session) *refusal {
	if in.unlisted && in.policy.strict {
		return refusalUnlisted
	}
	held := true
	for _, r := range in.rules {
		if why := r.judgeClaims(s); why != nil {
			return why
		}
		held = held && r.scopesHeld(s)
	}
	if held {
		return nil
	}
	return refusalOperationScope.needing(in.scopes(s))
}

// scopes returns all scopes that the rules need, each once.
func (in *inquiry) scopes(s *Session) []string {
	var all []string
	added := make(map[string]bool, len(in.rules))
	add := func(scopes []string) {
		for _, scope := range scopes {
			if !added[scope] {
				added[scope] = true
				all = append(all, scope)
			}
		}
	}
	for _, r := range in.rules {
		add(r.Scopes)
		if len(r.AnyScopes) > 0 {
			add(r.nearest(s))
		}
	}
	return all
}

// judgeClaims returns the refusal of a caller who lacks a role, a permission or the organization that the rule needs.
func (r *rule) judgeClaims(s *Session) *refusal {
	if claim, absent := r.lackedClaim(s); claim != "" {
		return r.lacking(claim, absent)
	}
	return nil
}

// lackedClaim names the claim that the rule needs and a caller lacks, or is "". absent says that the token has no such claim at
// all.
func (r *rule) lackedClaim(s *Session) (claim string, absent bool) {
	if len(r.Roles)+len(r.Permissions)+len(r.Organizations) == 0 {
		return "", false
	}
	if s == nil {
		s = withoutClaims
	}
	claims := s.notShown()
	switch {
	case len(r.Organizations) > 0 && (s.organizationID == "" || !slices.Contains(r.Organizations, s.organizationID)):
		return "organization", s.organizationID == ""
	case len(r.Roles) > 0 && !slices.ContainsFunc(r.Roles, func(role string) bool { return slices.Contains(claims.roles, role) }):
		return "role", len(claims.roles) == 0
	case slices.ContainsFunc(r.Permissions, func(permission string) bool { return !slices.Contains(claims.permissions, permission) }):
		return "permission", len(claims.permissions) == 0
	}
	return "", false
}

// withoutClaims is a caller without a token. Nothing changes it.
var withoutClaims = newSession()

// lacking returns the refusal of a caller without a claim that the rule needs. absent says that the token has no such claim
// at all.
func (r *rule) lacking(claim string, absent bool) *refusal {
	cure := "give the user the " + claim + " in Scalekit, if they are to use it"
	if absent {
		cure = "the token has no " + claim + " at all: Scalekit's tokens for MCP users usually don't; use scopes, or Check"
	}
	return &refusal{
		outcome: OutcomeOperationRefused, cause: "the caller lacks a " + claim + " that the operation needs", cure: cure,
		attrs: []slog.Attr{slog.String("rule", string(r.kind)+" "+r.name)},
	}
}

func (r *rule) scopesHeld(s *Session) bool {
	holds := func(scopes []string) bool { return len(scopes) == 0 || s != nil && s.HasScopes(scopes...) }
	return holds(r.Scopes) && (len(r.AnyScopes) == 0 || slices.ContainsFunc(r.AnyScopes, holds))
}

// nearest returns the list of AnyScopes of which the caller lacks the fewest.
func (r *rule) nearest(s *Session) []string {
	lacks := func(scopes []string) (n int) {
		for _, scope := range scopes {
			if s == nil || !s.hasScope(scope) {
				n++
			}
		}
		return n
	}
	return slices.MinFunc(r.AnyScopes, func(a, b []string) int { return lacks(a) - lacks(b) }) // the first of several
}

// ask returns why Check refuses one of several operations to a caller, or nil. A failure of Check comes first, and then what
// more scopes can't change. hidden says which of the operations are hidden, if nothing else is wrong; it is nil otherwise.
func (p *Policy) ask(ctx context.Context, s *Session, operations []Operation) (why *refusal, hidden []bool) {
	var refused, hides *refusal
	var scopes []string
	hidden = make([]bool, len(operations))
	verdicts := p.askAll(ctx, s, operations)
	for i, op := range operations {
		switch v := &verdicts[i]; {
		case op.arguments != nil && op.arguments.ambiguous.Load():
			return refusalAmbiguous, nil
		case op.arguments != nil && op.arguments.unnamed.Load():
			return refusalOfCheck(errUnnamed), nil
		case v.err == nil:
		case v.failed:
			return refusalOfCheck(v.err), nil
		case v.hides: // also if something else in its tree needs scopes, which a challenge would name
			hides, hidden[i] = refusalByCheck(v.err), true
		case v.scopes != nil && (s == nil || !s.HasScopes(v.scopes...)):
			scopes = union(scopes, v.scopes)
		default: // also for a caller who holds the scopes, and would be asked for them for ever
			refused = refusalByCheck(v.err)
		}
	}
	switch {
	case refused != nil:
		return refused, nil
	case scopes != nil:
		return refusalOperationScope.needing(scopes), nil
	case hides != nil:
		return hides, hidden
	}
	return nil, nil
}

// A verdict is what Check says of an operation. The zero verdict allows it.
type verdict struct {
	err    error
	failed bool     // Check panicked or did not answer
	hides  bool     // ErrHidden is in the tree of err
	scopes []string // of NeedScopes in the tree of err
}

// checkFailed returns the verdict of a Check that does not answer.
func checkFailed(format string, args ...any) verdict {
	return verdict{err: fmt.Errorf("the check failed: "+format, args...), failed: true}
}

var (
	checkPanicked = checkFailed("panic")
	checkExited   = checkFailed("it ended its goroutine")
)

// maxChecks is how many operations of a request, or entries of a list, are checked at a time.
const maxChecks = 16

// askAll calls Check for each operation, on goroutines of its own, and returns the verdicts in the order of the operations.
// All of them together have checkTimeout. A Check that ignores its context is left behind then.
func (p *Policy) askAll(ctx context.Context, s *Session, operations []Operation) []verdict {
	if len(operations) == 0 {
		return nil
	}
	over := fmt.Errorf("no answer within %v", p.checkTimeout)
	late := checkFailed("%w", over)
	ctx, cancel := context.WithTimeoutCause(ctx, p.checkTimeout, over)
	defer cancel()
	timer := time.NewTimer(p.checkTimeout)
	defer timer.Stop()

	type result struct {
		place   int
		verdict verdict
	}
	results := make(chan result, len(operations))
	slots := make(chan struct{}, maxChecks)
	left := make(chan struct{})
	defer close(left)
	for i, op := range operations {
		go func() {
			select {
			case slots <- struct{}{}:
			case <-left:
				return
			}
			r := result{i, checkExited}
			defer func() {
				<-slots
				results <- r
			}()
			r.verdict = p.askOne(ctx, s, op)
		}()
	}

	verdicts := make([]verdict, len(operations))
	for i := range verdicts {
		verdicts[i] = late
	}
	for range operations {
		select {
		case r := <-results:
			verdicts[r.place] = r.verdict
		case <-timer.C: // and not the end of ctx, which Check may ignore and answer all the same
			return verdicts
		}
	}
	return verdicts
}

// askOne calls Check, and makes a verdict of a panic. The methods of the error are the user's code, too: Unwrap of a nil
// pointer panics, and anywhere else that would end the request without a reply, and on a goroutine of an SDK the program.
func (p *Policy) askOne(ctx context.Context, s *Session, op Operation) (v verdict) {
	v = checkPanicked // which stays if recover returns nil, as after panic(nil) with GODEBUG=panicnil=1
	defer func() {
		if said := recover(); said != nil {
			v = checkFailed("panic: %v", said)
		}
	}()
	err := p.check(ctx, s, op)
	if err == nil {
		return verdict{}
	}
	v = verdict{err: err, hides: errors.Is(err, ErrHidden), scopes: NeededScopes(err)}
	if !v.hides && v.scopes == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return checkFailed("%w: %w", context.Cause(ctx), err) // it gave up when its time was over, and decided nothing
	}
	return v
}
