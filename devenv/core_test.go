package devenv_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// mcpauth discovers the environment and accepts its users' tokens, but not the environment's own token.
func TestResourceServerAcceptsTheTokens(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config devenv.Config
		oid    string
	}{
		"resource-scoped issuer": {devenv.Config{}, ""},
		"bare issuer":            {devenv.Config{BareIssuer: true}, ""},
		"organization claims":    {devenv.Config{OrgClaims: true}, "org_analytical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, tc.config)
			rs, err := mcpauth.New(mcpauth.Config{
				EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: "http://localhost:3001", Path: "/mcp", Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			authenticate := func(token any) mcpauth.Decision {
				s, _ := token.(string)
				return rs.Authenticate(t.Context(), mcpauth.Request{
					Method: http.MethodPost, Path: "/mcp",
					Header: func(name string) []string { return http.Header{"Authorization": {"Bearer " + s}}.Values(name) },
				})
			}
			c := register(t, env)
			tokens := c.tokens("usr_ada", nil)
			got := authenticate(tokens["access_token"])
			if got.Session == nil {
				t.Fatalf("outcome = %v", got.Outcome)
			}
			if s := got.Session; s.UserID() != "usr_ada" || s.OrganizationID() != tc.oid || !s.HasScopes("greet:write") || s.ClientID() != c.id {
				t.Errorf("session = %v", s.Claims())
			}
			env.RotateKeys()
			if got := authenticate(c.refresh(tokens["refresh_token"]).json(t, http.StatusOK)["access_token"]); got.Session == nil {
				t.Errorf("after a rotation: outcome = %v", got.Outcome)
			}
			own := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)
			if got := authenticate(own["access_token"]); got.Session != nil {
				t.Error("the environment's own token was accepted")
			}
		})
	}
}

// An environment with a domain of its own has two names. The server asks it at the new one, while tokens and documents still name
// the old one (docs/scalekit.md).
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	for name, bare := range map[string]bool{"resource-scoped issuer": false, "bare issuer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, devenv.Config{BareIssuer: bare})
			c := register(t, env)
			token, _ := c.tokens("usr_ada", nil)["access_token"].(string)
			config := mcpauth.Config{
				EnvironmentURL: strings.Replace(env.URL(), "127.0.0.1", "localhost", 1), ResourceID: env.ResourceID(),
				BaseURL: "http://localhost:3001", Path: "/mcp", Logger: slog.New(slog.DiscardHandler),
			}
			for _, known := range []bool{false, true} {
				if known {
					config.Issuers = []string{env.URL(), env.URL() + "/resources/" + env.ResourceID()}
				}
				rs, err := mcpauth.New(config)
				if err != nil {
					t.Fatal(err)
				}
				header := http.Header{"Authorization": {"Bearer " + token}}
				got := rs.Authenticate(t.Context(), mcpauth.Request{Method: http.MethodPost, Path: "/mcp", Header: header.Values})
				if (got.Session != nil) != known {
					t.Errorf("issuers known %t: outcome = %v", known, got.Outcome)
				}
			}
		})
	}
}
