package mcpauth_test

import (
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestWithRequiredScopes has a resource server and one with a scope more: they share cache and keys, and differ in what
// they require.
func TestWithRequiredScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.RequiredScopes = []string{"a"} })
	narrow := f.rs.WithRequiredScopes("b", "a")
	onlyA, both := f.env.Token(m{"scope": "a"}), f.env.Token(m{"scope": "a b"})
	for i := range 2 { // verified, then from the cache they share
		for _, c := range []struct {
			rs    *mcpauth.ResourceServer
			token string
			want  mcpauth.Outcome
		}{{f.rs, onlyA, mcpauth.OutcomeAllowed}, {narrow, onlyA, mcpauth.OutcomeInsufficientScope}, {f.rs, both, mcpauth.OutcomeAllowed}, {narrow, both, mcpauth.OutcomeAllowed}} {
			if d := authenticate(c.rs, c.token); d.Outcome != c.want {
				t.Errorf("round %d: %s, want %s", i, d.Outcome, c.want)
			}
		}
	}
	if got := authenticate(narrow, onlyA).Reply.Header.Get("WWW-Authenticate"); !strings.Contains(got, `scope="a b"`) {
		t.Errorf("the challenge does not name all scopes: %s", got)
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d key fetches, want 1: the keys are not shared", n)
	}
}

func TestWithRequiredScopesPanicsOnABadScope(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	rs.WithRequiredScopes("a b")
}
