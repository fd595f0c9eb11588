package mcpauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// StepUp is what an MCP server without an SDK replies when a tool has learned from its backend that a scope is missing.
func ExampleResourceServer_StepUp() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: map[string]mcpauth.Rule{"transfer": {Scopes: []string{"accounts"}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	op := mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "transfer"}
	handler := rs.RequireOperations(policy)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rs.StepUp(r.Context(), op, []string{"transfer:abroad"}).ServeHTTP(w, r)
	}))

	r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer"}}`))
	r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "accounts"}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	fmt.Println(strings.Split(w.Header().Get("WWW-Authenticate"), ", ")[1])
	// Output:
	// 403
	// scope="accounts transfer:abroad"
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
