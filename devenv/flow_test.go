package devenv_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config   devenv.Config
		user     string
		resource string
		oid      any
	}{
		"resource-scoped issuer": {devenv.Config{}, "usr_ada", "http://localhost:3001/mcp", nil},
		"bare issuer":            {devenv.Config{BareIssuer: true, OrgClaims: true}, "usr_grace", "http://localhost:3001", "org_compilers"},
		"no organization":        {devenv.Config{OrgClaims: true}, "usr_alan", "http://localhost:3001/", nil},
		"no resource parameter":  {devenv.Config{AccessTokenTTL: 2 * time.Second, OrgClaims: true}, "usr_ada", "", "org_analytical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, tc.config)
			c := register(t, env)
			back := c.signIn(tc.user, "approve", map[string]string{"resource": tc.resource})
			if back.Get("state") != "the state" || back.Get("iss") != c.resource {
				t.Errorf("redirected with %v", back)
			}
			more := map[string]string{}
			if tc.resource != "" {
				more["resource"] = "http://localhost:3001/mcp"
			}
			got := c.redeem(back.Get("code"), more).json(t, http.StatusOK)
			if got["token_type"] != "Bearer" || got["refresh_token"] == nil || got["resources"] != nil {
				t.Errorf("token response: %v", got)
			}

			header, claims := verify(t, env, got["access_token"])
			if len(header) != 3 || header["alg"] != "RS256" || header["typ"] != "JWT" {
				t.Errorf("header: %v", header)
			}
			issuer := c.resource
			if tc.config.BareIssuer {
				issuer = env.URL()
			}
			for claim, want := range map[string]any{
				"iss":       issuer,
				"aud":       []any{"http://localhost:3001/mcp", "res_local"},
				"sub":       tc.user,
				"client_id": c.id,
				"scope":     "greet:write offline_access",
				"oid":       tc.oid,
				"grant_id":  nil,
				"jti":       nil,
				"nbf":       nil,
			} {
				if !reflect.DeepEqual(claims[claim], want) {
					t.Errorf("%s = %v, want %v", claim, claims[claim], want)
				}
			}
			for claim, prefix := range map[string]string{"sid": "ses_", "client_id": "m2m_"} {
				if s, _ := claims[claim].(string); !strings.HasPrefix(s, prefix) {
					t.Errorf("%s = %v, want %s...", claim, claims[claim], prefix)
				}
			}
			iat, exp := number(t, claims["iat"]), number(t, claims["exp"])
			ttl := 5 * time.Minute
			if tc.config.AccessTokenTTL != 0 {
				ttl = tc.config.AccessTokenTTL
			}
			if exp-iat != int64(ttl/time.Second) {
				t.Errorf("times: %v", claims)
			}
		})
	}
}

func number(t *testing.T, v any) int64 {
	t.Helper()
	n, err := v.(interface{ Int64() (int64, error) }).Int64()
	if err != nil {
		t.Errorf("%v is not an integer", v)
	}
	return n
}

func TestLoopbackRedirectOnAnyPort(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	c.redirect = "http://127.0.0.1:12345/callback"
	if got := c.tokens("usr_ada", nil); got["access_token"] == nil {
		t.Errorf("token response: %v", got)
	}
	for _, redirect := range []string{
		"http://127.0.0.1:12345/other",
		"http://127.0.0.1:12345/callback?x=1",
		"http://localhost:12345/callback", // the registered one says 127.0.0.1
		"http://127.0.0.1.evil.example:7777/callback",
		"https://127.0.0.1:7777/callback",
		"http://user@127.0.0.1:1/callback",
	} {
		got := get(t, c.authorizeURL(map[string]string{"redirect_uri": redirect}))
		if got.status != http.StatusBadRequest || got.header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", redirect, got.status, got.header.Get("Location"))
		}
	}
}

func TestSignInPage(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	got := registerWith(t, env, `{"client_name":"<script>alert(1)</script>","redirect_uris":["`+redirectURI+`"]}`).json(t, http.StatusCreated)
	c := newClient(t, env, got["client_id"].(string))
	page := get(t, c.authorizeURL(map[string]string{"login_hint": "grace@compilers.example"}))
	for _, want := range []string{
		"&lt;script&gt;alert(1)", "greet:write", "Ada Lovelace", "Compilers United", "no organization",
		`value="usr_grace" checked`, `name="decision" value="approve"`, `name="decision" value="deny"`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page.body, "<script") || page.header.Get("X-Frame-Options") != "DENY" ||
		!strings.Contains(page.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("unsafe page: %v\n%s", page.header, page.body)
	}

	action, fields := c.form(page)
	submit := func(changes map[string]string) answer {
		form := url.Values{"user": {"usr_ada"}, "decision": {"approve"}, "csrf": fields["csrf"]}
		for name, value := range changes {
			form.Set(name, value)
		}
		return post(t, action, form)
	}
	for name, tc := range map[string]struct {
		changes map[string]string
		want    int
	}{
		"a guessed csrf": {map[string]string{"csrf": "x"}, http.StatusForbidden},
		"unknown user":   {map[string]string{"user": "usr_eve"}, http.StatusBadRequest},
		"no decision":    {map[string]string{"decision": ""}, http.StatusBadRequest},
	} {
		if got := submit(tc.changes); got.status != tc.want || got.header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", name, got.status, got.header.Get("Location"))
		}
	}
	foreign := request(t, http.MethodPost, action, strings.NewReader(fields.Encode()+"&user=usr_ada&decision=approve"))
	foreign.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	foreign.Header.Set("Origin", "https://evil.example")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := do(t, foreign); got.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d", got.status)
	}
	if again := get(t, action); again.status != http.StatusOK || !strings.Contains(again.body, fields.Get("csrf")) {
		t.Errorf("reloading: %d", again.status)
	}

	if c.redirected(submit(nil)).Get("code") == "" {
		t.Error("the redirect has no code")
	}
	if got := submit(nil); got.status != http.StatusBadRequest || got.header.Get("Location") != "" {
		t.Errorf("answered twice: %d to %q", got.status, got.header.Get("Location"))
	}
	if got := get(t, c.resource+"/oauth/authorize/unknown"); got.status != http.StatusBadRequest {
		t.Errorf("unknown session: %d", got.status)
	}
}

func TestDenial(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	back := c.signIn("usr_ada", "deny", nil)
	if back.Get("error") != "access_denied" || back.Get("code") != "" || back.Get("state") != "the state" || back.Get("iss") != c.resource {
		t.Errorf("redirected with %v", back)
	}
}

func TestAuthorizationErrors(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	for name, tc := range map[string]struct {
		more map[string]string
		want string
	}{
		"no challenge":     {map[string]string{"code_challenge": "", "code_challenge_method": ""}, "invalid_request"},
		"plain challenge":  {map[string]string{"code_challenge_method": "plain"}, "invalid_request"},
		"another resource": {map[string]string{"resource": "http://localhost:3001/other"}, "invalid_target"},
		"unknown scope":    {map[string]string{"scope": "root"}, "invalid_scope"},
		"implicit":         {map[string]string{"response_type": "token"}, "invalid_request"},
		"no prompt":        {map[string]string{"prompt": "none"}, "login_required"},
	} {
		if back := c.redirected(get(t, c.authorizeURL(tc.more))); back.Get("error") != tc.want || back.Get("iss") != c.resource {
			t.Errorf("%s: redirected with %v", name, back)
		}
	}
}

func TestCodeIsRefused(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c, other := register(t, env), register(t, env)
	for name, more := range map[string]map[string]string{
		"wrong verifier":   {"code_verifier": strings.Repeat("x", 43)},
		"no verifier":      {"code_verifier": ""},
		"other redirect":   {"redirect_uri": "http://127.0.0.1:1/callback"},
		"other client":     {"client_id": other.id},
		"another resource": {"resource": "http://localhost:3001/other"},
	} {
		code := c.signIn("usr_ada", "approve", nil).Get("code")
		got := c.redeem(code, more)
		if got.status != http.StatusBadRequest || strings.Contains(got.body, "access_token") {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	code := c.signIn("usr_ada", "approve", nil).Get("code")
	first := c.redeem(code, nil).json(t, http.StatusOK)
	c.redeem(code, nil).wantError(t, http.StatusBadRequest, "invalid_grant")
	c.refresh(first["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	c.redeem(code, map[string]string{"client_id": "m2m_unknown"}).wantError(t, http.StatusUnauthorized, "invalid_client")
}

func TestIDToken(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{BareIssuer: true})
	c := register(t, env)
	got := c.tokens("usr_ada", map[string]string{"scope": "openid email", "nonce": "n"})
	_, claims := verify(t, env, got["id_token"])
	if claims["iss"] != c.resource || claims["aud"] != c.id || claims["sub"] != "usr_ada" || claims["nonce"] != "n" || claims["email"] != "ada@analytical.example" {
		t.Errorf("ID token: %v", claims)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	before := c.tokens("usr_ada", nil)
	env.RotateKeys()
	after := c.refresh(before["refresh_token"]).json(t, http.StatusOK)
	old, _ := verify(t, env, before["access_token"]) // still published
	fresh, _ := verify(t, env, after["access_token"])
	if old["kid"] == fresh["kid"] {
		t.Errorf("kid = %v before and after", old["kid"])
	}
}
