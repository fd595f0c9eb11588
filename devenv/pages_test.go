package devenv_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func TestCORS(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/resources/res_local",
		"/resources/res_local/oauth/token",
		"/api/v1/resources/res_local/clients:register",
		"/keys",
	} {
		req := request(t, http.MethodOptions, env.URL()+path, nil)
		req.Header.Set("Origin", "http://localhost:6274")
		req.Header.Set("Access-Control-Request-Method", "POST")
		got := do(t, req)
		allowed := got.header.Get("Access-Control-Allow-Headers")
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != "*" ||
			!strings.Contains(allowed, "Authorization") || !strings.Contains(allowed, "Content-Type") ||
			!strings.Contains(allowed, "MCP-Protocol-Version") {
			t.Errorf("OPTIONS %s: %d %v", path, got.status, got.header)
		}
	}
	refused := post(t, env.URL()+"/resources/res_local/oauth/token", nil)
	if refused.status == http.StatusOK || refused.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a refusal is not readable: %d %v", refused.status, refused.header)
	}
	page := get(t, register(t, env).authorizeURL(nil))
	if page.status != http.StatusOK || page.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the sign-in page is readable by scripts: %d %v", page.status, page.header)
	}
}

// A web page may read metadata and keys and nothing more, with a preflight or without.
func TestPagesOfTheWeb(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	from := func(origin, method, path, contentType, body string) answer {
		req := request(t, method, env.URL()+path, strings.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		for line := range strings.SplitSeq(origin, "|") {
			req.Header.Add("Origin", line)
		}
		return do(t, req)
	}
	const (
		registration = "/api/v1/resources/res_local/clients:register"
		metadata     = `{"redirect_uris":["https://e.example/cb"]}`
	)
	for origin, want := range map[string]int{
		"http://localhost:6274":                 http.StatusCreated,
		"https://localhost":                     http.StatusCreated,
		"http://app.localhost:1":                http.StatusCreated,
		"http://127.0.0.1:6274":                 http.StatusCreated,
		"http://[::1]:6274":                     http.StatusCreated,
		"vscode-webview://abc":                  http.StatusCreated,
		"chrome-extension://abc":                http.StatusCreated,
		"https://evil.example":                  http.StatusForbidden,
		"HTTPS://evil.example":                  http.StatusForbidden,
		"http://192.168.0.2":                    http.StatusForbidden,
		"http://localhost.evil.ex":              http.StatusForbidden,
		"http://127.0.0.1.evil.ex":              http.StatusForbidden,
		"http://localhost@evil.ex":              http.StatusForbidden,
		"null":                                  http.StatusForbidden,
		"":                                      http.StatusForbidden,
		"file://":                               http.StatusForbidden,
		"http://localhost|https://evil.example": http.StatusForbidden,
	} {
		got := from(origin, http.MethodPost, registration, "application/json", metadata)
		if got.status != want || (got.header.Get("Access-Control-Allow-Origin") != "") != (want == http.StatusCreated) {
			t.Errorf("registration from %q: %d %v", origin, got.status, got.header)
		}
	}

	const evil = "https://evil.example"
	for _, path := range []string{registration, "/resources/res_local/oauth/token", "/resources/res_local/oauth/revoke"} {
		for _, contentType := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
			if got := from(evil, http.MethodPost, path, contentType, metadata); got.status != http.StatusForbidden {
				t.Errorf("POST %s as %s: %d", path, contentType, got.status)
			}
		}
	}
	for path, want := range map[string]int{
		"/keys": http.StatusOK, "/.well-known/openid-configuration": http.StatusOK,
		"/.well-known/oauth-authorization-server/resources/res_local": http.StatusOK,
		"/resources/res_local/.well-known/oauth-authorization-server": http.StatusOK,
		"/api/v1/organizations/org_analytical":                        http.StatusUnauthorized,
	} {
		got := from(evil, http.MethodGet, path, "", "")
		if got.status != want || (got.header.Get("Access-Control-Allow-Origin") == "*") != (want == http.StatusOK) {
			t.Errorf("GET %s: %d %v", path, got.status, got.header)
		}
	}
	for path, method := range map[string]string{
		registration: "POST", "/resources/res_local/oauth/token": "POST", "/oauth/token": "POST", "/api/v1/organizations/org_1": "GET",
		"/resources/res_local/oauth/authorize":                            "GET",
		"/resources/res_local/oauth/authorize/x":                          "POST",
		"/scalekit.v1.organizations.OrganizationService/ListOrganization": "POST",
	} {
		req := request(t, http.MethodOptions, env.URL()+path, nil)
		req.Header.Set("Origin", evil)
		req.Header.Set("Access-Control-Request-Method", method)
		if got := do(t, req); got.status < 400 || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("OPTIONS %s: %d %v", path, got.status, got.header)
		}
	}
	// Browsers remember which methods are allowed, so the answer for GET must not name POST.
	req := request(t, http.MethodOptions, env.URL()+registration, nil)
	req.Header.Set("Origin", evil)
	req.Header.Set("Access-Control-Request-Method", "GET")
	if got := do(t, req).header.Get("Access-Control-Allow-Methods"); strings.Contains(got, "POST") {
		t.Errorf("Access-Control-Allow-Methods: %s", got)
	}
}

// The environment's own endpoints are for servers: the Scalekit SDK sends no Origin.
func TestPagesNeverReachTheEnvironmentsOwnEndpoints(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	for _, origin := range []string{"https://evil.example", "http://localhost:6274", "null"} {
		for path, body := range map[string]string{
			"/oauth/token": credentials(env).Encode(),
			"/scalekit.v1.organizations.OrganizationService/ListOrganization": "{}",
			"/api/v1/tokens": "{}", "/api/v1/tokens:validate": "{}", "/api/v1/tokens:invalidate": "{}",
		} {
			req := request(t, http.MethodPost, env.URL()+path, strings.NewReader(body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", origin)
			if got := do(t, req); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("POST %s from %s: %d %v", path, origin, got.status, got.header)
			}
		}
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	authorize := strings.TrimPrefix(c.authorizeURL(nil), env.URL())
	for host, want := range map[string]int{
		"localhost:3002":     http.StatusOK,
		"app.localhost:3002": http.StatusOK,
		"[::1]:3002":         http.StatusOK,
		"127.0.0.1":          http.StatusOK,
		"evil.example":       http.StatusMisdirectedRequest,
		"127.0.0.1.evil":     http.StatusMisdirectedRequest,
		"localhost.evil":     http.StatusMisdirectedRequest,
		"evillocalhost":      http.StatusMisdirectedRequest,
		"0.0.0.0:3002":       http.StatusMisdirectedRequest,
		"192.168.0.1:3002":   http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/keys", authorize} {
			req := request(t, http.MethodGet, env.URL()+path, nil)
			req.Host = host
			if got := do(t, req).status; got != want {
				t.Errorf("Host %s, %s: %d, want %d", host, path, got, want)
			}
		}
		for _, path := range []string{"/oauth/token", "/resources/res_local/oauth/token", "/api/v1/resources/res_local/clients:register"} {
			req := request(t, http.MethodPost, env.URL()+path, nil)
			req.Host = host
			if got := do(t, req).status; (got == http.StatusMisdirectedRequest) != (want == http.StatusMisdirectedRequest) {
				t.Errorf("Host %s, %s: %d", host, path, got)
			}
		}
	}
}

// A redirect URI that was allowed at registration is checked again when it is used.
func TestRedirectSchemes(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	for _, redirect := range []string{"cursor://anysphere.cursor-mcp/oauth/callback", "vscode://x.y/cb", "com.example.app:/cb"} {
		id, _ := registerWith(t, env, `{"redirect_uris":["`+redirect+`"]}`).json(t, http.StatusCreated)["client_id"].(string)
		c := newClient(t, env, id)
		c.redirect = redirect
		if got := c.tokens("usr_ada", nil); got["access_token"] == nil {
			t.Errorf("%s: %v", redirect, got)
		}
		for _, other := range []string{"view-source:" + redirect, "javascript:alert(1)", redirect + "x", redirect + "#f", "blob:" + redirect} {
			got := get(t, c.authorizeURL(map[string]string{"redirect_uri": other}))
			if got.status != http.StatusBadRequest || got.header.Get("Location") != "" {
				t.Errorf("%s: %d to %q", other, got.status, got.header.Get("Location"))
			}
		}
		if got := get(t, c.authorizeURL(nil)+"&redirect_uri="+url.QueryEscape("javascript:alert(1)")); got.status != http.StatusBadRequest {
			t.Errorf("two redirect URIs: %d", got.status)
		}
	}
}
