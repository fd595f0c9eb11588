package devenv_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{ResourceID: "res_1", Scopes: []string{"greet:write"}})
	inserted := get(t, env.URL()+"/.well-known/oauth-authorization-server/resources/res_1").json(t, http.StatusOK)
	appended := get(t, env.URL()+"/resources/res_1/.well-known/oauth-authorization-server").json(t, http.StatusOK)
	if !reflect.DeepEqual(inserted, appended) {
		t.Errorf("two documents:\n%v\n%v", inserted, appended)
	}
	for member, want := range map[string]any{
		"issuer":                                env.URL() + "/resources/res_1",
		"authorization_endpoint":                env.URL() + "/resources/res_1/oauth/authorize",
		"token_endpoint":                        env.URL() + "/resources/res_1/oauth/token",
		"revocation_endpoint":                   env.URL() + "/resources/res_1/oauth/revoke",
		"registration_endpoint":                 env.URL() + "/api/v1/resources/res_1/clients:register",
		"jwks_uri":                              env.URL() + "/keys",
		"scopes_supported":                      []any{"openid", "profile", "email", "offline_access", "greet:write"},
		"client_id_metadata_document_supported": true,
		"authorization_response_iss_parameter_supported": true,
		"code_challenge_methods_supported":               []any{"S256"},
	} {
		if !reflect.DeepEqual(inserted[member], want) {
			t.Errorf("%s = %v, want %v", member, inserted[member], want)
		}
	}

	openID := get(t, env.URL()+"/.well-known/openid-configuration").json(t, http.StatusOK)
	if openID["issuer"] != env.URL() || openID["registration_endpoint"] != nil {
		t.Errorf("OpenID configuration: %v", openID)
	}
	for _, path := range []string{
		"/resources/res_1/keys",
		"/resources/res_1/.well-known/openid-configuration",
		"/.well-known/openid-configuration/resources/res_1",
		"/.well-known/oauth-authorization-server",
		"/.well-known/oauth-authorization-server/resources/res_2",
		"/resources/res_1/jwks",
		"/resources/res_1/register",
		"/resources/res_1/userinfo",
	} {
		if got := get(t, env.URL()+path).status; got != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, got)
		}
	}
}

func TestMetadataSuitsTheOfficialClient(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{BareIssuer: true})
	issuer := env.URL() + "/resources/" + env.ResourceID()
	got, err := auth.GetAuthServerMetadata(t.Context(), issuer, browser)
	if err != nil || got == nil {
		t.Fatalf("metadata = %v, error = %v", got, err)
	}
	if got.Issuer != issuer || got.RegistrationEndpoint == "" {
		t.Errorf("metadata = %+v", got)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config devenv.Config
		want   string
	}{
		"every interface":       {devenv.Config{Addr: ":0"}, "loopback"},
		"every IPv4 interface":  {devenv.Config{Addr: "0.0.0.0:0"}, "loopback"},
		"a private network":     {devenv.Config{Addr: "192.168.1.2:3002"}, "loopback"},
		"a name":                {devenv.Config{Addr: "example.com:3002"}, "loopback"},
		"no port":               {devenv.Config{Addr: "127.0.0.1"}, "host:port"},
		"a connection's id":     {devenv.Config{ResourceID: "conn_1"}, "ResourceID"},
		"a path as an id":       {devenv.Config{ResourceID: "res_1/../x"}, "ResourceID"},
		"a relative server URL": {devenv.Config{ServerURL: "/mcp"}, "ServerURL"},
		"a lifetime of nothing": {devenv.Config{AccessTokenTTL: time.Millisecond}, "AccessTokenTTL"},
		"a scope with a space":  {devenv.Config{Scopes: []string{"a b"}}, "Scopes"},
		"a user twice":          {devenv.Config{Users: []devenv.User{{ID: "usr_1"}, {ID: "usr_1"}}}, "twice"},
		"a client without m2m_": {devenv.Config{Clients: []devenv.Client{{ID: "agent"}}}, "m2m_"},
		"a client twice":        {devenv.Config{Clients: []devenv.Client{{ID: "m2m_1"}, {ID: "m2m_1"}}}, "twice"},
		"a client's scope":      {devenv.Config{Clients: []devenv.Client{{ID: "m2m_1", Scopes: []string{"a b"}}}}, "Clients"},
		"a user without usr_":   {devenv.Config{Users: []devenv.User{{ID: "ada"}}}, "usr_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, err := devenv.Start(t.Context(), tc.config)
			if err == nil {
				_ = env.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one about %q", err, tc.want)
			}
		})
	}
	_, err := devenv.Start(t.Context(), devenv.Config{Addr: ":1", ResourceID: "x", ServerURL: "y"})
	for _, field := range []string{"Addr", "ResourceID", "ServerURL"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error = %v, want one about %s too", err, field)
		}
	}
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	first := start(t, devenv.Config{})
	addr := strings.TrimPrefix(first.URL(), "http://")
	_, err := devenv.Start(t.Context(), devenv.Config{Addr: addr})
	if err == nil || !strings.Contains(err.Error(), addr+" is taken") {
		t.Errorf("error = %v", err)
	}
}

// Not parallel: it needs the default port to be free, or taken by another program.
func TestTakenDefaultPortIsReplaced(t *testing.T) {
	var lc net.ListenConfig
	if l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:3002"); err == nil {
		defer func() { _ = l.Close() }()
	}
	var log bytes.Buffer
	env, err := devenv.Start(t.Context(), devenv.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Close(); err != nil {
		t.Error(err)
	}
	if strings.HasSuffix(env.URL(), ":3002") || !strings.Contains(log.String(), "port is taken") {
		t.Errorf("URL = %s, log: %s", env.URL(), log.String())
	}
}

func TestCloseAndContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	env, err := devenv.Start(ctx, devenv.Config{Addr: "localhost:0"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(env.URL(), "http://localhost:") {
		t.Errorf("URL = %s", env.URL())
	}
	if got := get(t, env.URL()+"/keys").status; got != http.StatusOK {
		t.Errorf("status = %d", got)
	}
	cancel()
	if err := env.Close(); err != nil { // waits until the stop that cancel began has ended
		t.Error(err)
	}
	if resp, err := browser.Do(request(t, http.MethodGet, env.URL()+"/keys", nil)); err == nil {
		_ = resp.Body.Close()
		t.Error("still serving")
	}

	done, cancel := context.WithCancel(t.Context())
	cancel()
	if env, err := devenv.Start(done, devenv.Config{Addr: "127.0.0.1:0"}); err == nil {
		_ = env.Close()
	}
}
