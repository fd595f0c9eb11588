package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

// TestSignIn signs a person in, by registration and by client metadata document, with tokens of either issuer, at a server
// with and without MCP sessions. The tools know the user.
func TestSignIn(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			for issuer, bare := range map[string]bool{"resource issuer": false, "bare issuer": true} {
				server, _ := start(t, framework, devenv.Config{BareIssuer: bare}, variable)
				for registration, cimd := range map[string]bool{"DCR": false, "CIMD": true} {
					t.Run(mode+"/"+issuer+"/"+registration, func(t *testing.T) {
						checkSignIn(t, server, bare, cimd)
					})
				}
			}
		}
	})
}

func checkSignIn(t *testing.T, server *child.Process, bare, cimd bool) {
	t.Helper()
	var story strings.Builder
	session := signIn(t, server, "grace", func(o *flow.Options) { o.CIMD, o.Out = cimd, &story })

	identity := mustWhoami(t, session)
	if identity.UserID != "usr_grace" || identity.OrganizationID != "org_compilers" {
		t.Errorf("whoami = %+v", identity)
	}
	if !strings.Contains(strings.Join(identity.Scopes, " "), "offline_access") {
		t.Errorf("scopes = %q, want offline_access among them", identity.Scopes)
	}
	if end, err := time.Parse(time.RFC3339, identity.ExpiresAt); err != nil || end.Before(time.Now()) {
		t.Errorf("expiresAt = %q", identity.ExpiresAt)
	}
	if got := call(t, session, "greet", `{"name":"Admiral"}`); !strings.Contains(got, "Admiral") || !strings.Contains(got, "usr_grace") {
		t.Errorf("greet = %q", got)
	}
	if got := call(t, session, "greet", ""); !strings.Contains(got, "there") || !strings.Contains(got, "usr_grace") {
		t.Errorf("greet without a name = %q", got)
	}
	if got := call(t, session, "random_number", `{"min":7,"max":7}`); got != "7" {
		t.Errorf("random_number = %q", got)
	}
	if got := call(t, session, "get_organization", ""); !strings.Contains(got, "Compilers United") {
		t.Errorf("get_organization = %q", got)
	}

	told := story.String()
	for _, want := range []string{
		"401 Unauthorized", `WWW-Authenticate: Bearer resource_metadata="`, "/.well-known/oauth-protected-resource/mcp -> 200",
		"/.well-known/oauth-authorization-server/resources/res_local -> 200", "client_id", `"sub": "usr_grace"`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("the client's story lacks %s:\n%s", want, told)
		}
	}
	if registered := strings.Contains(told, "201 Created"); registered == cimd {
		t.Errorf("registered = %v", registered)
	}
	if scoped := strings.Contains(told, `"iss": "`+server.Environment+`/resources/res_local"`); scoped == bare {
		t.Errorf("iss is resource-scoped = %v", scoped)
	}
	if strings.Contains(told, accessToken(t, session)) {
		t.Error("the client's story shows the token")
	}
}

// Without settings the example runs an environment of its own, which offers the scopes that the example requires.
func TestLocalEnvironment(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, err := child.Start(context.WithoutCancel(t.Context()), program(t, framework), "PORT=0", "DEVENV_PORT=0", "REQUIRED_SCOPES=admin:all")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, server) })
		session := signIn(t, server, "usr_ada")
		if identity := mustWhoami(t, session); !slices.Contains(identity.Scopes, "admin:all") {
			t.Errorf("whoami = %+v", identity)
		}
		if got := call(t, session, "get_organization", ""); !strings.Contains(got, "Analytical Engines") {
			t.Errorf("get_organization = %q", got)
		}
	})
}

func TestOrganization(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, _ := start(t, framework, devenv.Config{})
		session := signIn(t, server, "usr_alan")
		_, err := session.Text(t.Context(), flow.Call{Tool: "get_organization"})
		if refused := (*flow.ToolError)(nil); !errors.As(err, &refused) || refused.Text != "no organization associated with this session" {
			t.Errorf("without an organization: %v", err)
		}

		// All callers share the SDK's client, at the same time.
		var wg sync.WaitGroup
		for user, want := range map[string]string{"usr_ada": "org_analytical", "usr_grace": "org_compilers"} {
			session := signIn(t, server, user)
			for range 8 {
				wg.Go(func() {
					got, err := session.Text(t.Context(), flow.Call{Tool: "get_organization"})
					if err != nil || !strings.Contains(got, want) {
						t.Errorf("%s: %q, %v", user, got, err)
					}
				})
			}
		}
		wg.Wait()
	})
}

// The SDK's error goes to the log and not to the caller.
func TestOrganizationServiceDown(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		env := mcpauthtest.NewEnvironment() // has no organization service
		t.Cleanup(env.Close)
		server := startAt(t, framework, env, "SCALEKIT_CLIENT_ID=skc_1", "SCALEKIT_CLIENT_SECRET=s3cret", "STATELESS=1")
		token := env.Token(map[string]any{"oid": "org_1"})
		got := request(t, http.MethodPost, server.URL, token, strings.ReplaceAll(callWhoami, "whoami", "get_organization"))
		if got.status != http.StatusOK || !strings.Contains(got.body, "the organization can't be looked up at the moment") || !strings.Contains(got.body, `"isError":true`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		eventually(t, "the log has the cause", func() bool {
			return strings.Contains(server.Log(), "asking Scalekit for an organization")
		})
		if log := server.Log(); strings.Contains(log, token) || strings.Contains(log, "s3cret") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestRequiredScopes(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		server := startAt(t, framework, env, "REQUIRED_SCOPES=profile:read greet:write", "STATELESS=1")
		got := request(t, http.MethodPost, server.URL, env.Token(map[string]any{"scope": "profile:read"}), callWhoami)
		if challenge := got.header.Get("WWW-Authenticate"); got.status != http.StatusForbidden ||
			!strings.Contains(challenge, `error="insufficient_scope"`) || !strings.Contains(challenge, `scope="profile:read greet:write"`) {
			t.Errorf("%d %s", got.status, challenge)
		}
		if got := request(t, http.MethodPost, server.URL, env.Token(map[string]any{"scope": "greet:write profile:read"}), callWhoami); got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// A tool needs a scope that the client did not ask for. The client gets 403, asks its user, and calls again. Scopes that
// were granted before are kept.
func TestR58StepUp(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			server, _ := start(t, framework, devenv.Config{}, variable, "REQUIRED_SCOPES=profile:read")
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				var story strings.Builder
				session := signIn(t, server, "usr_ada", func(o *flow.Options) { o.Out = &story })
				if scopes := mustWhoami(t, session).Scopes; slices.Contains(scopes, "announce:send") {
					t.Fatalf("scopes = %q before anything needs announce:send", scopes)
				}
				if got := call(t, session, "announce", `{"text":"it runs"}`); got != "usr_ada announces: it runs" {
					t.Errorf("announce = %q", got)
				}
				if scopes := mustWhoami(t, session).Scopes; !slices.Contains(scopes, "announce:send") || !slices.Contains(scopes, "profile:read") {
					t.Errorf("scopes = %q after it", scopes)
				}
				told := story.String()
				if challenge := `error="insufficient_scope", scope="profile:read announce:send", resource_metadata="`; strings.Count(told, challenge) != 1 {
					t.Errorf("the client's story does not show exactly one challenge %s:\n%s", challenge, told)
				}
				if n := strings.Count(told, "== Authorization: "); n != 2 {
					t.Errorf("a person had to agree %d times, want 2", n)
				}
			})
		}
	})
}

// A browser on the MCP Inspector's page may call the server; one on another site may not.
func TestInspectorOrigin(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, _ := start(t, framework, devenv.Config{}, "ALLOWED_ORIGINS=https://app.example.com")
		for origin, want := range map[string]int{
			"http://localhost:6274": http.StatusUnauthorized, "https://app.example.com": http.StatusUnauthorized, "https://evil.example": http.StatusForbidden,
		} {
			got := request(t, http.MethodPost, server.URL, "", initialize, "Origin", origin)
			allowed := got.header.Get("Access-Control-Allow-Origin") == origin
			if got.status != want || allowed != (want == http.StatusUnauthorized) {
				t.Errorf("%s: %d, %v", origin, got.status, got.header)
			}
		}
		preflight := request(t, http.MethodOptions, server.URL, "", "", "Origin", "http://localhost:6274",
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		if preflight.status != http.StatusNoContent || !strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("preflight: %d %v", preflight.status, preflight.header)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, env := start(t, framework, devenv.Config{})
		before := signIn(t, server, "ada")
		env.RotateKeys()
		after := signIn(t, server, "grace")
		if a, g := mustWhoami(t, before).UserID, mustWhoami(t, after).UserID; a != "usr_ada" || g != "usr_grace" {
			t.Errorf("signed in as %s and %s", a, g)
		}
	})
}
