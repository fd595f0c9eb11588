package devenv_test

import (
	"fmt"
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

// An environment with a domain of its own gives tokens that name it, while those from before name the old domain
// (docs/scalekit.md). Documents name the environment in both cases, so that clients can sign in.
func TestCustomDomain(t *testing.T) {
	t.Parallel()
	const old = "https://acme.scalekit.com"
	for name, tc := range map[string]struct {
		bare   bool
		issuer string
	}{
		"resource-scoped issuer": {false, old + "/resources/res_local"},
		"bare issuer":            {true, old},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, devenv.Config{BareIssuer: tc.bare, IssuerOrigin: old, Clients: []devenv.Client{{ID: "m2m_agent", Secret: "s"}}})
			if env.Issuer() != tc.issuer {
				t.Errorf("Issuer() = %s", env.Issuer())
			}
			c := register(t, env)
			tokens := c.tokens("usr_ada", nil)
			all := []any{
				tokens["access_token"],
				c.refresh(tokens["refresh_token"]).json(t, http.StatusOK)["access_token"],
				post(t, env.URL()+"/oauth/token", agentForm(env.Clients()[0])).json(t, http.StatusOK)["access_token"],
			}
			metadata := get(t, env.URL()+"/.well-known/oauth-authorization-server/resources/res_local").json(t, http.StatusOK)
			if metadata["issuer"] != env.URL()+"/resources/res_local" || metadata["jwks_uri"] != env.URL()+"/keys" {
				t.Errorf("metadata = %v", metadata)
			}
			config := mcpauth.Config{
				EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: "http://localhost:3001", Path: "/mcp", Logger: slog.New(slog.DiscardHandler),
			}
			for _, known := range []bool{false, true} {
				if known {
					config.Issuers = []string{old, old + "/resources/" + env.ResourceID()}
				}
				rs, err := mcpauth.New(config)
				if err != nil {
					t.Fatal(err)
				}
				for i, token := range all {
					header := http.Header{"Authorization": {fmt.Sprint("Bearer ", token)}}
					got := rs.Authenticate(t.Context(), mcpauth.Request{Method: http.MethodPost, Path: "/mcp", Header: header.Values})
					if (got.Session != nil) != known {
						t.Errorf("token %d, issuers known %t: outcome = %v", i, known, got.Outcome)
						continue
					}
					if known && got.Session.Claims()["iss"] != tc.issuer {
						t.Errorf("token %d: iss = %v", i, got.Session.Claims()["iss"])
					}
				}
			}
		})
	}
}

// An origin that could not be that of an issuer is refused at start.
func TestIssuerOriginIsAnOrigin(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{
		"acme.scalekit.com", "https://", "https://acme.scalekit.com/", "https://acme.scalekit.com/resources/res_1", "https://Acme.scalekit.com", "HTTPS://acme.scalekit.com",
		"ftp://acme.scalekit.com", "https://u@acme.scalekit.com", "https://acme.scalekit.com?a", "https://acme.scalekit.com#", " https://acme.scalekit.com", "https://:443",
	} {
		env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", IssuerOrigin: origin, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = env.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "devenv: IssuerOrigin: ") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
