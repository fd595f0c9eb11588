package operations_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestNoWayAroundAPattern generates URIs of files. For each file that a server could take a URI for, it checks that the URI
// needs the scopes of that file.
func TestNoWayAroundAPattern(t *testing.T) {
	t.Parallel()
	byScope, err := mcpauth.NewPolicy(policy())
	if err != nil {
		t.Fatal(err)
	}
	strict, err := mcpauth.NewPolicy(openOnly())
	if err != nil {
		t.Fatal(err)
	}
	unscoped, open := mcpauthtest.NewSession(nil), mcpauthtest.NewSession(map[string]any{"scope": openScopes()})
	allBut := make(map[string]*mcpauth.Session) // by the missing scope
	for _, missing := range listedResources {
		var held []string
		for _, scope := range listedResources {
			if scope != missing {
				held = append(held, scope)
			}
		}
		allBut[missing] = mcpauthtest.NewSession(map[string]any{"scope": strings.Join(held, " ")})
	}
	pieces := []string{
		"/", "/", "/", "/", "//", "..", "..", ".", "secret", "secret", "deep", "b", "top", "public", "a", "%2e", "%2E%2e", "%2f", "%2F", "%5c", `\`, "?", "#", "%3f", "%23",
		"SECRET", "ſecret", "%C5%BFecret", "s%65cret", "%73ecret", "/secret/", "/deep/", "/b/", "/secret/deep/b/top", "/public/", "/../", "/./", "%00", ";", ":", "@", "%", "%2", "%25", "%252e", "...", "\t", " ",
	}
	const uris = 300_000
	r := random(number(t, "MCPAUTH_SEED", 20_260_728), 1)
	guarded := 0
	for range uris {
		var b strings.Builder
		b.WriteString(pick(r, []string{"files://", "files:///", "files:///", "files:///secret", "files:///public", "FILES:///", "files:/"}))
		for range r.IntN(9) {
			b.WriteString(pick(r, pieces))
		}
		uri := b.String()
		needs := op{resource, uri}.needs()
		if !slices.ContainsFunc(needs, isGuarded) {
			continue
		}
		guarded++
		for _, scope := range needs {
			if allowsResource(byScope, allBut[scope], uri) {
				t.Errorf("%q is allowed without %s, and is one of %q to a server", uri, scope, filesOf(uri))
			}
		}
		if allowsResource(byScope, unscoped, uri) || allowsResource(byScope, open, uri) || allowsResource(strict, open, uri) {
			t.Errorf("%q is allowed, and is one of %q to a server", uri, filesOf(uri))
		}
	}
	t.Logf("%d URIs, %d of them for something guarded", uris, guarded)
	if guarded < uris/20 {
		t.Error("too few are guarded")
	}
}

// allowsResource reports whether a policy lets a caller read a resource.
func allowsResource(p *mcpauth.Policy, s *mcpauth.Session, uri string) bool {
	return p.Authorize(context.Background(), s, mcpauth.Operation{Kind: mcpauth.OperationResource, Name: uri}) == nil
}
