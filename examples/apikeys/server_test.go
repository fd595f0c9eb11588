package apikeys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/devenv"
	"github.com/scalekit-mcp/mcpauth/examples/apikeys"
	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
	"github.com/scalekit-mcp/mcpauth/examples/tools"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// A world is a local environment and an MCP server that takes its tokens and API keys, both at real sockets.
type world struct {
	env  *devenv.Environment
	url  string       // the MCP endpoint
	late atomic.Int64 // by how many nanoseconds the server's clock is ahead
}

// newWorld starts both. change may change the server's configuration.
func newWorld(t *testing.T, change func(*mcpauth.Config)) *world {
	t.Helper()
	w := &world{}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL + "/mcp"
	quiet := slog.New(slog.DiscardHandler)
	env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", ServerURL: w.url, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() }) // a test may have closed it
	w.env = env

	config := mcpauth.Config{
		EnvironmentURL: env.URL(), ResourceID: env.ResourceID(), BaseURL: server.URL, Logger: quiet,
		ClientID: env.ClientID(), ClientSecret: mcpauth.NewSecret(env.ClientSecret()),
		Now: func() time.Time { return time.Now().Add(time.Duration(w.late.Load())) },
	}
	config.Credential = apikeys.New(config).Credential
	if change != nil {
		change(&config)
	}
	rs, err := mcpauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := mcpauth.NewPolicy(tools.Rules)
	if err != nil {
		t.Fatal(err)
	}
	mcpServer := tools.New(rs, quiet)
	streamable := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return mcpServer }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	mcpauthhttp.Mount(mux, rs, rs.RequireOperations(policy)(mcpauthgosdk.Handler(rs, streamable)))
	return w
}

// api calls the environment's API, as an application does that manages keys.
func (w *world) api(t *testing.T, path, body string) map[string]any {
	t.Helper()
	send := func(path, contentType, authorization, body string) map[string]any {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.env.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", authorization)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s: %s %v %v", path, resp.Status, answer, err)
		}
		return answer
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.env.ClientID()}, "client_secret": {w.env.ClientSecret()}}
	token := send("/oauth/token", "application/x-www-form-urlencoded", "", form.Encode())["access_token"]
	return send(path, "application/json", fmt.Sprint("Bearer ", token), body)
}

func (w *world) key(t *testing.T, body string) (value, id string) {
	t.Helper()
	created := w.api(t, "/api/v1/tokens", body)
	return created["token"].(string), created["token_id"].(string)
}

const (
	adasKey         = `{"organization_id":"org_analytical","user_id":"usr_ada"}`
	organizationKey = `{"organization_id":"org_compilers","custom_claims":{"scope":"greet:write announce:send"}}`
)

// userToken signs a user in and returns the access token.
func (w *world) userToken(t *testing.T, user string) string {
	t.Helper()
	session, err := flow.Connect(t.Context(), flow.Options{URL: w.url, Auto: true, User: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	token, err := session.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

type reply struct {
	status int
	header http.Header
	text   string // of the tool's answer, or the body
}

// call calls a tool with these header lines, name and value in turn.
func (w *world) call(t *testing.T, tool string, lines ...string) reply {
	t.Helper()
	message := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"text":"it runs"}}}`, tool)
	if tool != "announce" {
		message = strings.ReplaceAll(message, `"text":"it runs"`, "")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(lines); i += 2 {
		req.Header.Add(lines[i], lines[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{resp.StatusCode, resp.Header, string(body)}
	var answer struct {
		Result struct{ Content []struct{ Text string } }
	}
	if json.Unmarshal(body, &answer) == nil && len(answer.Result.Content) > 0 {
		got.text = answer.Result.Content[0].Text
	}
	return got
}

func (w *world) whoami(t *testing.T, lines ...string) (tools.Identity, int) {
	t.Helper()
	got := w.call(t, "whoami", lines...)
	var identity tools.Identity
	if got.status == http.StatusOK {
		if err := json.Unmarshal([]byte(got.text), &identity); err != nil {
			t.Fatalf("%v in %s", err, got.text)
		}
	}
	return identity, got.status
}

// ways are the two in which a key can be sent.
var ways = map[string]struct {
	header string // Config.CredentialHeader
	lines  func(key string) []string
}{
	"a header of its own": {"X-Api-Key", func(key string) []string { return []string{"X-Api-Key", key} }},
	"Bearer":              {"", func(key string) []string { return []string{"Authorization", "Bearer " + key} }},
}

// TestKeysAndTokens has keys of a user and of an organization, and an access token, at one endpoint.
func TestKeysAndTokens(t *testing.T) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *mcpauth.Config) { c.CredentialHeader = way.header })
			ofAda, _ := w.key(t, adasKey)
			ofOrganization, id := w.key(t, organizationKey)
			token := w.userToken(t, "usr_grace")
			for range 2 { // the second time from the cache
				if got, status := w.whoami(t, way.lines(ofAda)...); status != 200 || got.UserID != "usr_ada" || got.OrganizationID != "org_analytical" || got.Machine || len(got.Scopes) != 0 {
					t.Errorf("Ada's key: %d %+v", status, got)
				}
				if got, status := w.whoami(t, way.lines(ofOrganization)...); status != 200 || got.UserID != id || got.OrganizationID != "org_compilers" || !got.Machine || len(got.Scopes) != 2 {
					t.Errorf("an organization's key: %d %+v", status, got)
				}
				if got, status := w.whoami(t, "Authorization", "Bearer "+token); status != 200 || got.UserID != "usr_grace" || got.Machine {
					t.Errorf("an access token: %d %+v", status, got)
				}
			}
			if got := w.call(t, "announce", way.lines(ofOrganization)...); got.status != 200 || !strings.Contains(got.text, "announces: it runs") {
				t.Errorf("a key with the scope announce:send: %d %s", got.status, got.text)
			}
			if got := w.call(t, "announce", way.lines(ofAda)...); got.status != 403 || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_scope", scope="announce:send"`) {
				t.Errorf("a key without scopes: %d %v", got.status, got.header)
			}
		})
	}
}

// TestKeysThatAreRefused has what never lets a caller in. An id names a key at Scalekit, too, and is not a secret.
func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	other := newWorld(t, nil)
	foreign, _ := other.key(t, adasKey)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *mcpauth.Config) { c.CredentialHeader = way.header })
			key, id := w.key(t, adasKey)
			token := w.userToken(t, "usr_ada")
			for what, value := range map[string]string{
				"a key of another environment": foreign, "an unknown key": "x", "the id of a key": id, "a part of a key": key[1:],
				"a key and more": key + "x", "an access token of another server": other.userToken(t, "usr_ada"),
			} {
				if got := w.call(t, "whoami", way.lines(value)...); got.status != 401 || strings.Contains(got.text, "usr_ada") {
					t.Errorf("%s: %d %s", what, got.status, got.text)
				}
			}
			if way.header == "" {
				return
			}
			if got := w.call(t, "whoami", append(way.lines(key), "Authorization", "Bearer "+token)...); got.status != 400 {
				t.Errorf("a key and a token at once: %d", got.status)
			}
			if got := w.call(t, "whoami", way.lines(token)...); got.status != 401 {
				t.Errorf("a token in the key's header: %d", got.status)
			}
			if got := w.call(t, "whoami", "Authorization", "Bearer "+key); got.status != 401 {
				t.Errorf("a key as a token: %d", got.status)
			}
		})
	}
}

// TestInvalidatedKeyEnds has Scalekit end a key: its next validation fails, and that comes within Cache.MaxAge.
func TestInvalidatedKeyEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *mcpauth.Config) { c.CredentialHeader = "X-Api-Key" })
	key, id := w.key(t, adasKey)
	if _, status := w.whoami(t, "X-Api-Key", key); status != 200 {
		t.Fatalf("before: %d", status)
	}
	w.api(t, "/api/v1/tokens:invalidate", fmt.Sprintf(`{"token":%q}`, id))
	if _, status := w.whoami(t, "X-Api-Key", key); status != 200 {
		t.Errorf("at once, from the cache: %d", status)
	}
	w.late.Store(int64(time.Minute))
	if _, status := w.whoami(t, "X-Api-Key", key); status != 401 {
		t.Errorf("a minute later: %d", status)
	}
}

// TestRevokedKeyEndsAtOnce has the application revoke the key's id, in addition to invalidating it at Scalekit.
func TestRevokedKeyEndsAtOnce(t *testing.T) {
	t.Parallel()
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = list.Run(ctx) }) // the error is that ctx has ended
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	w := newWorld(t, func(c *mcpauth.Config) { c.CredentialHeader, c.Revocation = "X-Api-Key", list })
	if err := list.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, id := w.key(t, adasKey)
	another, _ := w.key(t, adasKey)
	if _, status := w.whoami(t, "X-Api-Key", key); status != 200 {
		t.Fatalf("before: %d", status)
	}
	if err := list.Revoke(t.Context(), mcpauthrevocation.Token(id)); err != nil {
		t.Fatal(err)
	}
	if _, status := w.whoami(t, "X-Api-Key", key); status != 401 {
		t.Errorf("after: %d", status)
	}
	if _, status := w.whoami(t, "X-Api-Key", another); status != 200 {
		t.Errorf("another key of the same user: %d", status)
	}
	if err := list.Revoke(t.Context(), mcpauthrevocation.User("usr_ada")); err != nil {
		t.Fatal(err)
	}
	if _, status := w.whoami(t, "X-Api-Key", another); status != 401 {
		t.Errorf("after all of the user's sessions: %d", status)
	}
}

// A safeBuffer takes in a log while a test may read it.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestScalekitIsAway refuses with 503 what Scalekit would have to be asked about. Access tokens go on.
func TestScalekitIsAway(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	w := newWorld(t, func(c *mcpauth.Config) {
		c.CredentialHeader, c.Logger = "X-Api-Key", slog.New(slog.NewTextHandler(&log, nil))
	})
	known, _ := w.key(t, adasKey)
	unknown, _ := w.key(t, adasKey)
	token := w.userToken(t, "usr_grace")
	if _, status := w.whoami(t, "X-Api-Key", known); status != 200 {
		t.Fatalf("before: %d", status)
	}
	if err := w.env.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, "whoami", "X-Api-Key", unknown); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a key that was not asked about before: %d %v", got.status, got.header)
	}
	if _, status := w.whoami(t, "X-Api-Key", known); status != 200 {
		t.Errorf("a key in the cache: %d", status)
	}
	if _, status := w.whoami(t, "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("an access token: %d", status)
	}
	w.late.Store(int64(time.Minute))
	if _, status := w.whoami(t, "X-Api-Key", known); status != 503 {
		t.Errorf("a key a minute later: %d", status)
	}
	if text := log.String(); !strings.Contains(text, "the credential hook failed") || strings.Contains(text, known) || strings.Contains(text, unknown) || strings.Contains(text, w.env.ClientSecret()) {
		t.Errorf("log: %s", text)
	}
}

// TestWithoutExpiry refuses a key whose end is not said.
func TestWithoutExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *mcpauth.Config) {
		asked := c.Credential
		c.CredentialHeader = "X-Api-Key"
		c.Credential = func(ctx context.Context, scheme, value string) (*mcpauth.Claims, error) {
			claims, err := asked(ctx, scheme, value)
			if claims != nil {
				claims.ExpiresAt = time.Time{}
			}
			return claims, err
		}
	})
	key, _ := w.key(t, adasKey)
	if _, status := w.whoami(t, "X-Api-Key", key); status != 503 {
		t.Errorf("status %d", status)
	}
}
