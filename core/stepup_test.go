package mcpauth_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestStepUp asks for scopes behind one policy, behind two, and behind none.
func TestStepUp(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	var log strings.Builder
	cfg := env.Config("https://mcp.example.com")
	cfg.RequiredScopes, cfg.Logger = []string{"base"}, slog.New(slog.NewTextHandler(&log, nil))
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tool := func(name string, rule mcpauth.Rule) func(http.Handler) http.Handler {
		return rs.RequireOperations(newPolicy(t, mcpauth.Rules{Tools: map[string]mcpauth.Rule{name: rule}}))
	}
	one := tool("t", mcpauth.Rule{Scopes: []string{"one"}, AnyScopes: [][]string{{"far", "off"}, {"held", "near"}, {"one"}}})
	two := tool("t", mcpauth.Rule{Scopes: []string{"two"}})
	for name, c := range map[string]struct {
		through func(http.Handler) http.Handler
		op      mcpauth.Operation
		want    string
	}{
		"one policy":            {one, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"}, "base one late"},
		"two policies":          {func(next http.Handler) http.Handler { return two(one(next)) }, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"}, "base two one late"},
		"none":                  {func(next http.Handler) http.Handler { return next }, mcpauth.Operation{Kind: mcpauth.OperationTool, Name: "t"}, "base late"},
		"an unlisted operation": {one, mcpauth.Operation{Kind: mcpauth.OperationPrompt, Name: "t"}, "base late"},
		"no operation":          {one, mcpauth.Operation{}, "base late"},
	} {
		log.Reset()
		handler := c.through(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rs.StepUp(r.Context(), c.op, []string{"late", "base"}).ServeHTTP(w, r)
		}))
		r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader(`{"method":"tools/call","params":{"name":"t"}}`))
		r.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "base one two held"}))
		w := httptest.NewRecorder()
		rs.Serve(w, r, handler.ServeHTTP)
		if challenge := w.Header().Get("WWW-Authenticate"); w.Code != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope", scope="`+c.want+`"`) {
			t.Errorf("%s: status %d, challenge %s", name, w.Code, challenge)
		}
		if !strings.Contains(log.String(), "outcome=insufficient_scope") || !strings.Contains(log.String(), "while it ran") || !strings.Contains(log.String(), "session.user_id=usr_1") {
			t.Errorf("%s: the log is %s", name, log.String())
		}
	}
}
