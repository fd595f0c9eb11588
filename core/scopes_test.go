package mcpauth_test

import (
	"slices"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR59ImpliedScopes has scopes that imply others, through others too, and in a circle.
func TestR59ImpliedScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.ImpliedScopes = map[string][]string{"admin": {"write"}, "write": {"read"}, "x": {"y"}, "y": {"x"}}
	})
	s := authenticate(f.rs, f.env.Token(m{"scope": "admin x"})).Session
	if !s.HasScopes("admin", "write", "read", "x", "y") || s.HasScopes("z") {
		t.Error("an implied scope is missing, or another one is held")
	}
	if got := s.Scopes(); !slices.Equal(got, []string{"admin", "x"}) {
		t.Errorf("Scopes names implied ones: %q", got)
	}
	if s := authenticate(f.rs, f.env.Token(m{"scope": "read"})).Session; s.HasScopes("write") {
		t.Error("the hierarchy goes both ways")
	}
}
