package mcpauth

import (
	"context"
	"log/slog"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// StepUp returns the reply that asks the client for more scopes, and logs it: 403 insufficient_scope, and 401 if ctx has no
// session. It is for MCP servers that answer requests themselves, when an operation that was allowed learns from its backend
// that a scope is missing, and nothing of its answer was sent. With a module for an MCP SDK, the operation returns
// [NeedScopes], and [LateStepUp] sends the reply.
//
// The challenge names what rs requires of every request, what the rules need for op, and scopes. The rules are those of the
// policy that let the request of ctx through ([Config.Policy], [ResourceServer.RequireOperations]); without one, and for the
// zero Operation, there are none.
func (rs *ResourceServer) StepUp(ctx context.Context, op Operation, scopes []string) *Reply {
	return rs.replyTo(rs.refuseLate(ctx, op, scopes))
}

// stepUpResult returns the challenge of StepUp as the result of a tool call, and logs it, if the client reads it there: see
// [Config.ChallengeInResultFor]. Otherwise, and for operations that are not tools, it returns nil, and does nothing.
func (rs *ResourceServer) stepUpResult(ctx context.Context, op Operation, scopes []string) *ToolRefusal {
	if x := exchangeIn(ctx); x == nil || !x.inResult || op.Kind != OperationTool {
		return nil
	}
	return rs.toolRefusal(rs.refuseLate(ctx, op, scopes))
}

// refuseLate returns the refusal of an operation that needs more scopes than it was checked for, and logs it.
func (rs *ResourceServer) refuseLate(ctx context.Context, op Operation, scopes []string) *refusal {
	session, _ := SessionFromContext(ctx)
	var needed []string
	for c := checkedIn(ctx); c != nil; c = checkedIn(c.Context) {
		in := inquiry{policy: c.policy, budget: operation.BudgetUnlimited}
		if in.add(op.internal()) == nil {
			needed = union(in.scopes(session), needed)
		}
	}
	because := refusalOperationScope
	if session == nil {
		because = refusalNoCredentials
	}
	why := *because.needing(union(needed, scopes))
	why.cause = "a scope that the operation needs was found to be missing while it ran"
	if session != nil {
		why.attrs = append(why.attrs, slog.Any("session", session))
	}
	rs.logRefusal(ctx, &why)
	return why.of(session)
}

// checkedKey is the key under which a checkedContext answers with itself.
type checkedKey struct{}

// A checkedContext is the context of a request whose operations a policy allowed.
type checkedContext struct {
	context.Context
	policy *Policy
}

func (c *checkedContext) Value(key any) any {
	if key == (checkedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func checkedIn(ctx context.Context) *checkedContext {
	c, _ := ctx.Value(checkedKey{}).(*checkedContext)
	return c
}
