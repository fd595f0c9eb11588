package mcpauth

import (
	"log/slog"
	"slices"
	"strings"
)

// offlineAccess asks an authorization server for refresh tokens (OpenID Connect Core §11). No resource has it.
const offlineAccess = "offline_access"

// isScope reports whether s is a scope-token (RFC 6749 §3.3).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// checkScopes compares the scopes of session with those that are required of every request.
func (rs *ResourceServer) checkScopes(session *Session) *refusal {
	for _, scope := range rs.required {
		if !session.hasScope(scope) {
			return refusalScope.with(slog.Any("required", slices.Clone(rs.required)))
		}
	}
	return nil
}

// closure returns the hierarchy with everything that is implied through others.
func closure(implied map[string][]string) map[string][]string {
	closed := make(map[string][]string, len(implied))
	for scope := range implied {
		reached := union(implied[scope], nil)
		for i := 0; i < len(reached); i++ {
			for _, next := range implied[reached[i]] {
				if !slices.Contains(reached, next) {
					reached = append(reached, next)
				}
			}
		}
		closed[scope] = reached
	}
	return closed
}

// union returns the elements of both lists, each once, in their order.
func union(a, b []string) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func (c *checker) advertisedScopes(field string, scopes []string) {
	c.each(scopes, func(scope string) {
		if scope == offlineAccess {
			c.addKnown(field, scope, "is a scope that clients ask the authorization server for, and not one of a resource; remove it")
			return
		}
		c.scope(field, scope)
	})
}

func (c *checker) scope(field, scope string) {
	if !isScope(scope) {
		c.add(field, scope, "is not a scope; write one scope per entry, in printable ASCII without spaces, \" and \\")
	}
}
