package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/internal/child"
)

// TestTwoUsers has two people call at once over the same pool of connections. Neither may get the other's identity.
func TestTwoUsers(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, devenv.Config{}, variable)
				pool := &http.Transport{}
				t.Cleanup(pool.CloseIdleConnections)
				var wg sync.WaitGroup
				for _, user := range []string{"usr_ada", "usr_grace"} {
					session := signIn(t, server, user, func(o *flow.Options) { o.Transport = pool })
					for range 4 {
						wg.Go(func() {
							for range 50 {
								if identity, err := whoami(t.Context(), session); err != nil || identity.UserID != user {
									t.Errorf("%s gets the identity %+v, %v", user, identity, err)
									return
								}
							}
						})
					}
				}
				wg.Wait()
			})
		}
	})
}

// An accepted call gets its answer, even if its token ends while the tool works.
func TestR83CallGetsItsAnswer(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, devenv.Config{AccessTokenTTL: shortToken}, variable, "CLOCK_SKEW=1ms")
				session := signIn(t, server, "usr_ada")
				if got := call(t, session, "report", `{"seconds":5}`); got != "worked for 5 seconds" {
					t.Errorf("report answers %q", got)
				}
			})
		}
	})
}

// An MCP session answers only to the user who opened it, with any token of that user.
func TestForeignSession(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, _ := start(t, framework, devenv.Config{})
		ada, grace := signIn(t, server, "usr_ada"), signIn(t, server, "usr_grace")
		id := openSession(t, server, accessToken(t, ada))
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			message := ""
			if method == http.MethodPost {
				message = callWhoami
			}
			got := request(t, method, server.URL, accessToken(t, grace), message, "Mcp-Session-Id", id)
			if got.status != http.StatusForbidden || strings.Contains(got.body, "usr_") {
				t.Errorf("%s: %d %s", method, got.status, got.body)
			}
		}
		again := signIn(t, server, "usr_ada")
		for name, session := range map[string]*flow.Session{"the same token": ada, "another token": again} {
			got := request(t, http.MethodPost, server.URL, accessToken(t, session), callWhoami, "Mcp-Session-Id", id)
			if got.status != http.StatusOK || !strings.Contains(got.body, "usr_ada") {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	})
}

// openSession initializes an MCP session by hand and returns its id.
func openSession(t *testing.T, server *child.Process, token string) string {
	t.Helper()
	opened := request(t, http.MethodPost, server.URL, token, initialize)
	id := opened.header.Get("Mcp-Session-Id")
	if opened.status != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d %s", opened.status, opened.body)
	}
	got := request(t, http.MethodPost, server.URL, token, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "Mcp-Session-Id", id)
	if got.status != http.StatusAccepted {
		t.Fatalf("notifications/initialized: %d %s", got.status, got.body)
	}
	return id
}

// When a token ends, only the client notices, and gets another one.
func TestRefresh(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for mode, variable := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, devenv.Config{AccessTokenTTL: 2 * time.Second}, variable, "CLOCK_SKEW=1ms")
				var consents sync.Map
				session := signIn(t, server, "usr_ada", func(o *flow.Options) {
					o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
						if strings.HasSuffix(req.URL.Path, "/oauth/authorize") {
							consents.Store(req.URL.String(), true)
						}
						return http.DefaultTransport.RoundTrip(req)
					})
				})
				before := mustWhoami(t, session)
				if before.UserID != "usr_ada" {
					t.Fatalf("whoami = %+v", before)
				}
				old := accessToken(t, session)
				eventually(t, "the token's end", func() bool {
					got := request(t, http.MethodPost, server.URL, old, initialize)
					return got.status == http.StatusUnauthorized && strings.Contains(got.body, `"token_expired"`)
				})
				// Not the identity of the request that opened the MCP session. RFC 3339 times in UTC sort as text.
				if after := mustWhoami(t, session); after.UserID != "usr_ada" || after.ExpiresAt <= before.ExpiresAt {
					t.Errorf("whoami = %+v after the refresh, %+v before", after, before)
				}
				if accessToken(t, session) == old {
					t.Error("the token is still the old one")
				}
				asked := 0
				consents.Range(func(any, any) bool { asked++; return true })
				if asked != 1 {
					t.Errorf("a person was asked %d times", asked)
				}
			})
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// startAt runs an example, on a free port, against a fake environment that mints any token.
func startAt(t *testing.T, framework string, env *mcpauthtest.Environment, vars ...string) *child.Process {
	t.Helper()
	server, err := child.Start(context.WithoutCancel(t.Context()), program(t, framework), append([]string{
		"PORT=0",
		"SCALEKIT_ENVIRONMENT_URL=" + env.URL(),
		"SCALEKIT_RESOURCE_ID=" + env.ResourceID(),
	}, vars...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

// Scalekit is down when the server starts. The server still starts, does not call any token invalid, and recovers by itself.
func TestEnvironmentDown(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		env.Stop()
		server := startAt(t, framework, env, "STATELESS=1")
		token := env.Token(nil)

		got := request(t, http.MethodPost, server.URL, token, callWhoami)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("without the environment: %d %v %s", got.status, got.header, got.body)
		}
		if strings.Contains(got.body, env.URL()) {
			t.Errorf("the answer names the environment: %s", got.body)
		}
		if got := request(t, http.MethodPost, server.URL, "", callWhoami); got.status != http.StatusUnauthorized {
			t.Errorf("without a token: %d", got.status)
		}
		if got := request(t, http.MethodGet, strings.TrimSuffix(server.URL, "/mcp")+"/healthz", "", ""); got.status != http.StatusServiceUnavailable {
			t.Errorf("/healthz: %d", got.status)
		}

		env.Start()
		eventually(t, "the server works after the environment's return", func() bool {
			got = request(t, http.MethodPost, server.URL, token, callWhoami)
			if got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
				t.Fatalf("meanwhile: %d %s", got.status, got.body)
			}
			return got.status == http.StatusOK
		})
		if got := request(t, http.MethodGet, strings.TrimSuffix(server.URL, "/mcp")+"/healthz", "", ""); got.status != http.StatusOK {
			t.Errorf("/healthz: %d", got.status)
		}
	})
}

// When the program ends, its streams end.
func TestShutdownWithOpenStream(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		server := startAt(t, framework, env)
		token := env.Token(nil)
		id := openSession(t, server, token)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + token, "Accept": "text/event-stream", "Mcp-Session-Id": id} {
			req.Header.Set(name, value)
		}
		stream, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stream.Body.Close() }()
		if stream.StatusCode != http.StatusOK || !strings.HasPrefix(stream.Header.Get("Content-Type"), "text/event-stream") {
			t.Fatalf("GET: %d %v", stream.StatusCode, stream.Header)
		}
		begun := time.Now()
		stop(t, server)
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("the example took %v to end", took)
		}
	})
}

func TestPortTaken(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		env := mcpauthtest.NewEnvironment() // occupies a port
		t.Cleanup(env.Close)
		port := env.URL()[strings.LastIndex(env.URL(), ":")+1:]
		server, err := child.Start(t.Context(), program(t, framework), "PORT="+port)
		if err == nil {
			_ = server.Stop()
			t.Fatal("it started")
		}
		if want := fmt.Sprintf("port %s is taken by another program; stop it, or set PORT to another one", port); err.Error() != want {
			t.Errorf("it says %q, want %q", err, want)
		}
	})
}

func TestMistakes(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		server, err := child.Start(t.Context(), program(t, framework),
			"PORT=99999", "STATELESS=perhaps", "CLOCK_SKEW=1h", "BASE_URL=mcp.example.com", "ALLOWED_ORIGINS=example.com",
			"REQUIRED_SCOPES=offline_access", "SCALEKIT_ENVIRONMENT_URL=http://acme.scalekit.com", "SCALEKIT_RESOURCE_ID=conn_1")
		if err == nil {
			_ = server.Stop()
			t.Fatal("it started")
		}
		lines := strings.Split(err.Error(), "\n")
		for _, variable := range []string{
			"PORT", "STATELESS", "CLOCK_SKEW", "BASE_URL", "ALLOWED_ORIGINS", "REQUIRED_SCOPES", "SCALEKIT_ENVIRONMENT_URL", "SCALEKIT_RESOURCE_ID",
		} {
			found := 0
			for _, line := range lines {
				if strings.HasPrefix(line, variable+": ") {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%d lines about %s in:\n%v", found, variable, err)
			}
		}
	})
}
