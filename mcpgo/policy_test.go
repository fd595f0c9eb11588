package mcpauthmcpgo_test

import (
	"net/http"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestConfigPolicyIsEnforced serves Handler alone, and not by Mount.
func TestConfigPolicyIsEnforced(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Strict: true, Tools: map[string]mcpauth.Rule{"whoami": {Scopes: []string{"admin"}}}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setup{config: func(cfg *mcpauth.Config) { cfg.Policy = policy }})
	status, body := f.send(t, call(f.token("usr_1"), f.initialize(t, f.token("usr_1")), legacy, "whoami"))
	if status != http.StatusForbidden {
		t.Errorf("status %d, %s", status, body)
	}
}
