package mcpauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// NewPolicy reports every mistake at once, as New does.
func ExampleNewPolicy() {
	_, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{"delete_order": {Scopes: []string{"orders:read orders:write"}}},
	})
	for mistake := range mcpauth.ConfigErrors(err) {
		fmt.Println(mistake.Field)
	}
	// Output: Tools
}

// Authorize asks a policy about one operation, as a test of the policy does.
func ExamplePolicy_Authorize() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{
			"read_order": {Scopes: []string{"orders:read"}},
			"refund":     {Roles: []string{"support"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := mcpauthtest.NewSession(map[string]any{"scope": "openid"})
	for _, tool := range []string{"help", "read_order", "refund"} {
		err := policy.Authorize(context.Background(), session, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: tool})
		fmt.Println(tool, "allowed:", err == nil, "needs:", mcpauth.NeededScopes(err))
	}
	fmt.Println("for every caller:", policy.IsOpen(mcpauth.OperationTool, "help"), policy.IsOpen(mcpauth.OperationTool, "refund"))
	// Output:
	// help allowed: true needs: []
	// read_order allowed: false needs: [orders:read]
	// refund allowed: false needs: []
	// for every caller: true false
}

// Visible says what a caller sees in a list: also what only scopes are missing for, because a client asks for them.
func ExamplePolicy_Visible() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools: map[string]mcpauth.Rule{
			"read_order": {Scopes: []string{"orders:read"}},
			"audit":      {Scopes: []string{"orders:audit"}, Hide: true},
			"refund":     {Roles: []string{"support"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := mcpauthtest.NewSession(nil)
	tools := []string{"help", "read_order", "audit", "refund"}
	for i, shown := range policy.Visible(context.Background(), session, mcpauth.OperationTool, tools) {
		fmt.Println(tools[i], shown)
	}
	fmt.Print(policy)
	// Output:
	// help true
	// read_order true
	// audit false
	// refund false
	// tool audit: scopes orders:audit; hidden without the scopes
	// tool read_order: scopes orders:read
	// tool refund: a role of support
	// others: every authenticated caller
}

// Covers tells a test which operations have a rule.
func ExamplePolicy_Covers() {
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools:     map[string]mcpauth.Rule{"refund": {Roles: []string{"support"}}},
		Resources: map[string]mcpauth.Rule{"orders://{id}": {Scopes: []string{"orders:read"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(policy.Covers(mcpauth.OperationTool, "refund"), policy.Covers(mcpauth.OperationTool, "help"))
	fmt.Println(policy.Covers(mcpauth.OperationResource, "orders://7"), policy.Covers(mcpauth.OperationResource, "about:shop"))
	// Output:
	// true false
	// true false
}

// A decision point of its own, which speaks the AuthZEN API of the OpenID Foundation, decides about each operation.
func ExampleRules_authzen() {
	decisionPoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			Resource struct{ ID string }
		}
		err := json.NewDecoder(r.Body).Decode(&question)
		if question.Resource.ID == "broken" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = fmt.Fprintf(w, `{"decision":%t}`, err == nil && question.Resource.ID == "refund")
	}))
	defer decisionPoint.Close()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Check: authzen(decisionPoint.URL + "/access/v1/evaluation")})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := mcpauthtest.NewSession(nil)
	for _, tool := range []string{"refund", "delete_order", "broken"} {
		fmt.Println(tool, policy.Authorize(context.Background(), session, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: tool}))
	}
	// Output:
	// refund <nil>
	// delete_order mcpauth: the operation is hidden from this caller
	// broken the decision point answers 502 Bad Gateway
}

// authzen returns a Check that asks a decision point.
func authzen(endpoint string) func(context.Context, *mcpauth.Session, mcpauth.Operation) error {
	return func(ctx context.Context, s *mcpauth.Session, op mcpauth.Operation) error {
		if s == nil {
			return mcpauth.ErrHidden
		}
		question, err := json.Marshal(map[string]any{
			"subject": map[string]string{"type": "user", "id": s.UserID()}, "action": map[string]string{"name": "use"},
			"resource": map[string]string{"type": string(op.Kind), "id": op.Name},
		})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(question))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the decision point answers %s", resp.Status) // 403, and a line in the log
		}
		var answer struct{ Decision bool }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return fmt.Errorf("the decision point's answer: %w", err)
		}
		if !answer.Decision {
			return mcpauth.ErrHidden
		}
		return nil
	}
}
