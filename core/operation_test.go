package mcpauth_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// scoped is an error that has scopes in its method As.
type scoped struct{ error }

func (e scoped) As(target any) bool { return errors.As(e.error, target) }

// TestNeededScopes has errors of NeedScopes in every place of a tree.
func TestNeededScopes(t *testing.T) {
	t.Parallel()
	no, a, b := errors.New("no"), mcpauth.NeedScopes("a", "c"), mcpauth.NeedScopes("b", "a")
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"nil":             {nil, nil},
		"another error":   {no, nil},
		"itself":          {a, []string{"a", "c"}},
		"repeated":        {mcpauth.NeedScopes("a", "a"), []string{"a"}},
		"wrapped":         {fmt.Errorf("x: %w", a), []string{"a", "c"}},
		"joined":          {errors.Join(a, no, b), []string{"a", "c", "b"}},
		"joined to none":  {errors.Join(no, no), nil},
		"wrapped twice":   {fmt.Errorf("%w: %w", b, fmt.Errorf("x: %w", a)), []string{"b", "a", "c"}},
		"joined in depth": {fmt.Errorf("x: %w", errors.Join(no, errors.Join(no, a), b)), []string{"a", "c", "b"}},
		"by its As":       {errors.Join(scoped{a}, b), []string{"a", "c", "b"}},
		"not by its As":   {scoped{no}, nil},
	} {
		if got := mcpauth.NeededScopes(c.err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
