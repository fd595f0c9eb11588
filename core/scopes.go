package mcpauth

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// offlineAccess asks an authorization server for refresh tokens (OpenID Connect Core §11). It is never required of a token.
const offlineAccess = "offline_access"

// isScope reports whether s is a scope-token (RFC 6749 §3.3).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// checkScopes compares the scopes of session with those that are required of every request.
func (rs *ResourceServer) checkScopes(session *Session) *refusal {
	for _, scope := range rs.required {
		if !session.hasScope(scope) {
			return refusalScope.with(slog.Any("required", slices.Clone(rs.required))).of(session)
		}
	}
	return nil
}

// challenged returns the scopes that the challenge of an insufficient_scope refusal names: those that are needed, and with
// [Config.ChallengeHeldScopes] those that the caller holds.
func (rs *ResourceServer) challenged(why *refusal) []string {
	scopes := union(rs.required, why.scopes)
	if rs.challengeHeld && why.caller != nil {
		scopes = union(scopes, rs.known.heldBy(why.caller))
	}
	return scopes
}

// advertised returns the scopes of the metadata document.
func advertised(cfg *Config) []string {
	scopes := union(cfg.Scopes, cfg.RequiredScopes)
	if cfg.AdvertiseOfflineAccess {
		scopes = append(scopes, offlineAccess)
	}
	return scopes
}

// challenge returns the challenge that names scopes. One that names none leaves the choice to the metadata, and clients would
// ask for offline_access alone if it were added.
func (r *resource) challenge(scopes []string) challenge {
	if r.advertiseOffline && len(scopes) > 0 {
		scopes = union(scopes, []string{offlineAccess})
	}
	return challenge{metadataURL: r.metadataURL, scope: strings.Join(scopes, " ")}
}

// knownScopes are the scopes that the settings of a resource server name. They are added while routes are set up.
type knownScopes struct {
	mu     sync.Mutex
	scopes []string
}

func (k *knownScopes) add(scopes []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.scopes = union(k.scopes, scopes)
}

// heldBy returns those that the token of a session holds by name, and those that it holds only through a scope that is not
// known here.
func (k *knownScopes) heldBy(s *Session) []string {
	k.mu.Lock()
	known := k.scopes // never changed in place
	k.mu.Unlock()
	byName := make(map[string]bool, len(s.scopes)) // not hasScope: a token of 16 KiB may hold thousands
	for _, scope := range s.scopes {
		byName[scope] = true
	}
	implied := make(map[string]bool) // value: by a scope that is known
	for _, scope := range s.scopes {
		isKnown := len(s.implied[scope]) > 0 && slices.Contains(known, scope)
		for _, other := range s.implied[scope] {
			implied[other] = implied[other] || isKnown
		}
	}
	var held []string
	for _, scope := range known {
		byKnown, isImplied := implied[scope]
		if byName[scope] || isImplied && !byKnown {
			held = append(held, scope)
		}
	}
	return held
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
			c.addKnown(field, scope, "is a scope that clients ask the authorization server for, and not one of a resource; remove it, or set AdvertiseOfflineAccess for clients that ask only for what is advertised")
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
