package adaptertest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A keyring is a hook for keys of the form key-<user>. It keeps the values that it was asked about, and not copies of them.
type keyring struct {
	mu   sync.Mutex
	seen []string // scheme and value in turns
}

func (k *keyring) identify(_ context.Context, scheme, value string) (*mcpauth.Claims, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = append(k.seen, scheme, value)
	user, ok := strings.CutPrefix(value, "key-")
	if !ok {
		return nil, nil //nolint:nilnil // the key is not known
	}
	return &mcpauth.Claims{Subject: user, Scopes: []string{"base"}, ExpiresAt: time.Now().Add(time.Hour)}, nil
}

// asked returns the values that the hook kept, as they are now.
func (k *keyring) asked() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.seen, " ")
}

// runCredentials sends keys in a header of their own and as Bearer values, alone, repeated, empty, and together with a token.
func runCredentials(t *testing.T, f *Framework) {
	public := withRules(t, publicRules())
	start := func(header string) (*app, *keyring) {
		keys := new(keyring)
		a := f.prepare(t, func(cfg *mcpauth.Config) {
			public(cfg)
			cfg.RequiredScopes = []string{"base"}
			cfg.CredentialHeader, cfg.Credential = header, keys.identify
			cfg.AllowedOrigins = []string{baseURL}
		})
		a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a}))
		a.serve(t)
		return a, keys
	}
	a, keys := start("x-api-KEY")
	bearers, bearerKeys := start("")
	token := "Bearer " + a.env.Token(map[string]any{"scope": "base"})
	for _, c := range []struct {
		name   string
		header http.Header
		status int
		user   string // "public" without one
	}{
		{"none", nil, 200, "public"},
		{"a key", http.Header{"X-Api-Key": {"key-ada"}}, 200, "ada"},
		{"the name in other case", http.Header{"x-aPI-key": {"key-bob"}}, 200, "bob"},
		{"white space around it", http.Header{"X-Api-Key": {" \t key-eve \t"}}, 200, "eve"},
		{"an unknown key", http.Header{"X-Api-Key": {"other"}}, 401, ""},
		{"an empty line", http.Header{"X-Api-Key": {""}}, 400, ""},
		{"white space alone", http.Header{"X-Api-Key": {" "}}, 400, ""},
		{"two lines", http.Header{"X-Api-Key": {"key-ada", "key-ada"}}, 400, ""},
		{"an empty line and a key", http.Header{"X-Api-Key": {"", "key-ada"}}, 400, ""},
		{"two spellings of the name", http.Header{"X-Api-Key": {"key-ada"}, "x-api-key": {"key-bob"}}, 400, ""},
		{"more than ASCII", http.Header{"X-Api-Key": {"key-\xc3\xa9"}}, 400, ""},
		{"long", http.Header{"X-Api-Key": {"key-" + strings.Repeat("x", 3<<10)}}, 200, strings.Repeat("x", 3<<10)},
		{"a token in its place", http.Header{"X-Api-Key": {strings.TrimPrefix(token, "Bearer ")}}, 401, ""},
		{"a token", http.Header{"Authorization": {token}}, 200, "usr_1"},
		{"both", http.Header{"X-Api-Key": {"key-ada"}, "Authorization": {token}}, 400, ""},
		{"a key and a malformed header", http.Header{"X-Api-Key": {"key-ada"}, "Authorization": {"Bearer"}}, 400, ""},
		{"an empty key and a token", http.Header{"X-Api-Key": {""}, "Authorization": {token}}, 400, ""},
		{"a key as a Bearer value", http.Header{"Authorization": {"Bearer key-ada"}}, 401, ""},
	} {
		resp := a.send(t, request{header: c.header, body: call("weather")})
		if want := c.user + " " + call("weather"); resp.status != c.status || c.status == 200 && resp.body != want {
			t.Errorf("%s: status %d, %.100q, want %d", c.name, resp.status, resp.body, c.status)
		}
		if c.status != 200 && resp.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", c.name)
		}
		if c.status == 400 && !strings.Contains(resp.body, "the credentials are malformed, repeated, or of two kinds at once") {
			t.Errorf("%s: the client is told %s", c.name, resp.body)
		}
	}
	want := "x-api-KEY key-ada x-api-KEY key-bob x-api-KEY key-eve x-api-KEY other x-api-KEY key-" + strings.Repeat("x", 3<<10)
	if got := keys.asked(); got != want {
		t.Errorf("the hook was asked about %q", got)
	}
	resp := a.send(t, request{method: http.MethodOptions, header: http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-api-key"}}})
	if !strings.Contains(strings.ToLower(resp.header.Get("Access-Control-Allow-Headers")), "x-api-key") {
		t.Errorf("preflight: %d %v", resp.status, resp.header)
	}

	for _, c := range []struct {
		name, line string
		status     int
		user       string
	}{
		{"a key", "Bearer key-ada", 200, "ada"},
		{"bearer", "bEARER   key-bob ", 200, "bob"},
		{"an unknown key", "Bearer other", 401, ""},
		{"Basic", "Basic a2V5LWFkYQ==", 401, ""},
		{"what looks like a token", "Bearer key-ada.b.c", 401, ""},
	} {
		resp := bearers.send(t, request{header: http.Header{"Authorization": {c.line}}, body: call("whoami")})
		if want := c.user + " " + call("whoami"); resp.status != c.status || c.status == 200 && resp.body != want {
			t.Errorf("%s: status %d, %.100q, want %d", c.name, resp.status, resp.body, c.status)
		}
	}
	if got := bearerKeys.asked(); got != "Bearer key-ada Bearer key-bob Bearer other" {
		t.Errorf("the hook was asked about %q", got)
	}

	// Many keys at once, on kept-alive connections: no request is another's, and no value that the hook keeps changes.
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 10 {
				user := fmt.Sprintf("user%d-%d", n, i)
				if resp := a.send(t, request{header: http.Header{"X-Api-Key": {"key-" + user}}, body: call("whoami")}); resp.status != 200 || !strings.HasPrefix(resp.body, user+" ") {
					t.Errorf("%s: status %d, %q", user, resp.status, resp.body)
				}
			}
		})
	}
	wg.Wait()
	for n := range 8 {
		for i := range 10 {
			if user := fmt.Sprintf("x-api-KEY key-user%d-%d", n, i); !strings.Contains(keys.asked()+" ", user+" ") {
				t.Errorf("%s is not among what the hook kept", user)
			}
		}
	}
}
