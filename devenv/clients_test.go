package devenv_test

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func agentForm(client devenv.Client, more ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ID}, "client_secret": {client.Secret}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// TestClientOfTheMCPServer has a client's token at both endpoints: it is for the MCP server, whatever the client sends, and
// names no user, no session and no organization.
func TestClientOfTheMCPServer(t *testing.T) {
	t.Parallel()
	configured := devenv.Client{ID: "m2m_agent", Secret: "s3cret", Scopes: []string{"greet:write", "orders:read", "greet:write"}}
	env := start(t, devenv.Config{ResourceID: "res_1", Clients: []devenv.Client{configured}})
	created := env.CreateClient("greet:write", "announce:send")
	if !strings.HasPrefix(created.ID, "m2m_") || created.Secret == "" || len(env.Clients()) != 2 {
		t.Fatalf("clients: %v", env.Clients())
	}
	for _, endpoint := range []string{"/oauth/token", "/resources/res_1/oauth/token"} {
		for _, tc := range []struct {
			client devenv.Client
			more   []string
			scopes string
		}{
			{configured, nil, "greet:write"}, // the MCP server has no orders:read
			{created, nil, "greet:write announce:send"},
			{created, []string{"scope", "announce:send"}, "announce:send"},
			{created, []string{"scope", "profile:read announce:send openid"}, "announce:send"}, // the client has no profile:read
			{created, []string{"scope", "profile:read"}, ""},
			{created, []string{"resource", "https://another.example/mcp"}, "greet:write announce:send"},
		} {
			got := post(t, env.URL()+endpoint, agentForm(tc.client, tc.more...)).json(t, http.StatusOK)
			if got["token_type"] != "Bearer" || got["expires_in"] != float64(300) || got["scope"] != tc.scopes || got["refresh_token"] != nil {
				t.Errorf("%s %v: %v", endpoint, tc.more, got)
			}
			_, claims := verify(t, env, got["access_token"])
			scopes := []any{}
			for scope := range strings.FieldsSeq(tc.scopes) {
				scopes = append(scopes, scope)
			}
			if claims["sub"] != tc.client.ID || claims["client_id"] != tc.client.ID || !reflect.DeepEqual(claims["scopes"], scopes) ||
				claims["iss"] != env.URL()+"/resources/res_1" || !reflect.DeepEqual(claims["aud"], []any{"http://localhost:3001/mcp", "res_1"}) {
				t.Errorf("%s %v: %v", endpoint, tc.more, claims)
			}
			for _, name := range []string{"sid", "oid", "roles", "permissions"} {
				if claims[name] != nil {
					t.Errorf("%s %v: the claim %s is %v", endpoint, tc.more, name, claims[name])
				}
			}
		}
		basic := request(t, http.MethodPost, env.URL()+endpoint, strings.NewReader("grant_type=client_credentials"))
		basic.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		basic.SetBasicAuth(created.ID, created.Secret)
		do(t, basic).json(t, http.StatusOK)
	}
}

// TestCredentialsInTheHeader has ids and secrets with characters that mean something in Basic or in a form, sent as they are
// and encoded as in a form (RFC 6749 §2.3.1). Another secret is refused, and so is one that was encoded twice.
func TestCredentialsInTheHeader(t *testing.T) {
	t.Parallel()
	ids := []string{"_x", "_a+b", "_a%b", "_a b", "_a%41", "_a:b", "_ä"}
	secrets := []string{"secret", "a+b", "50%", "a b", "a:b", "%41", "a%2Bb", "ä/=?&", ":", "+", "%"}
	for i, id := range ids {
		config := devenv.Config{ClientID: "skc" + id, ClientSecret: secrets[i]}
		for j, secret := range secrets {
			config.Clients = append(config.Clients, devenv.Client{ID: fmt.Sprint("m2m", id, j), Secret: secret})
		}
		env := start(t, config)
		headerIsRead(t, env, "/oauth/token", config.ClientID, config.ClientSecret)
		for _, c := range config.Clients {
			headerIsRead(t, env, "/resources/res_local/oauth/token", c.ID, c.Secret)
		}
		headerIsRead(t, env, "/oauth/token", config.Clients[0].ID, config.Clients[0].Secret)
	}
}

// headerIsRead sends the credentials of a client in each of the ways in which clients write them into a header.
func headerIsRead(t *testing.T, env *devenv.Environment, endpoint, id, secret string) {
	t.Helper()
	encoded := func(s string) string { return "%" + strings.ReplaceAll(fmt.Sprintf("% x", s), " ", "%") } // each byte, in lower case
	for _, c := range []struct {
		way, id, secret string
		want            int
	}{
		{"plain", id, secret, http.StatusOK},
		{"encoded", url.QueryEscape(id), url.QueryEscape(secret), http.StatusOK},
		{"encoded everywhere", encoded(id), encoded(secret), http.StatusOK},
		{"another id", encoded(id + "x"), encoded(secret), http.StatusUnauthorized},
		{"another secret", encoded(id), encoded(secret + "x"), http.StatusUnauthorized},
		{"encoded twice", encoded(encoded(id)), encoded(encoded(secret)), http.StatusUnauthorized},
	} {
		if c.way == "plain" && strings.Contains(id, ":") {
			c.want = http.StatusUnauthorized // the header can't say where the id ends
		}
		req := request(t, http.MethodPost, env.URL()+endpoint, strings.NewReader("grant_type=client_credentials"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(c.id, c.secret)
		if got := do(t, req); got.status != c.want {
			t.Errorf("%s: %q with the secret %q, %s: %d, want %d", endpoint, id, secret, c.way, got.status, c.want)
		}
	}
}

func TestClientOfTheMCPServerIsRefused(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	client := env.CreateClient("greet:write")
	public := register(t, env)
	for name, form := range map[string]url.Values{
		"a wrong secret":                       agentForm(client, "client_secret", "wrong"),
		"no secret":                            agentForm(client, "client_secret", ""),
		"an unknown client":                    agentForm(client, "client_id", "m2m_x"),
		"a client that registered itself":      agentForm(client, "client_id", public.id),
		"no id and no secret":                  agentForm(devenv.Client{}),
		"the environment's id with its secret": agentForm(client, "client_id", env.ClientID()),
	} {
		for _, endpoint := range []string{"/oauth/token", "/resources/res_local/oauth/token"} {
			if got := post(t, env.URL()+endpoint, form); got.status != http.StatusUnauthorized || !strings.Contains(got.body, `"invalid_client"`) {
				t.Errorf("%s at %s: %d %s", name, endpoint, got.status, got.body)
			}
		}
	}
	post(t, env.URL()+"/resources/res_local/oauth/token", credentials(env)).wantError(t, http.StatusUnauthorized, "invalid_client")
	post(t, env.URL()+"/oauth/token", agentForm(client, "grant_type", "authorization_code")).wantError(t, http.StatusBadRequest, "unsupported_grant_type")
	large := agentForm(client, "scope", strings.Repeat("x", 64<<10))
	post(t, env.URL()+"/resources/res_local/oauth/token", large).wantError(t, http.StatusBadRequest, "invalid_request")

	// The token is for the MCP server, and the environment's API takes no such token.
	token, _ := post(t, env.URL()+"/oauth/token", agentForm(client)).json(t, http.StatusOK)["access_token"].(string)
	req := request(t, http.MethodGet, env.URL()+"/api/v1/organizations/org_analytical", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if got := do(t, req).status; got != http.StatusUnauthorized {
		t.Errorf("a client of the MCP server reads organizations: %d", got)
	}
}

// TestR43ClientIsAMachine has mcpauth accept a client's token, as that of a machine.
func TestR43ClientIsAMachine(t *testing.T) {
	t.Parallel()
	for name, bare := range map[string]bool{"resource-scoped issuer": false, "bare issuer": true} {
		env := start(t, devenv.Config{BareIssuer: bare})
		rs, err := mcpauth.New(mcpauth.Config{
			EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: "http://localhost:3001", Path: "/mcp",
		})
		if err != nil {
			t.Fatal(err)
		}
		session := func(token any) *mcpauth.Session {
			s, _ := token.(string)
			return rs.Authenticate(t.Context(), mcpauth.Request{
				Method: http.MethodPost, Path: "/mcp",
				Header: func(name string) []string { return http.Header{"Authorization": {"Bearer " + s}}.Values(name) },
			}).Session
		}
		client := env.CreateClient("greet:write")
		s := session(post(t, env.URL()+"/oauth/token", agentForm(client)).json(t, http.StatusOK)["access_token"])
		if s == nil || !s.IsMachine() || s.UserID() != client.ID || s.SessionID() != "" || !s.HasScopes("greet:write") || s.HasScopes("announce:send") {
			t.Errorf("%s: session %v", name, s)
		}
		if user := session(register(t, env).tokens("usr_ada", nil)["access_token"]); user == nil || user.IsMachine() {
			t.Errorf("%s: a user's session %v", name, user)
		}
	}
}
