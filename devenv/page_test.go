package devenv_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func csrfOf(t *testing.T, env *devenv.Environment) string {
	t.Helper()
	for _, field := range hiddenField.FindAllStringSubmatch(get(t, env.URL()+"/").body, -1) {
		if field[1] == "csrf" {
			return html.UnescapeString(field[2])
		}
	}
	t.Fatal("the page has no form")
	return ""
}

func TestPageShowsTheFlow(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{ClientSecret: "a secret of the environment", WebhookURLs: []string{"http://user:pw@127.0.0.1:1/hook?key=k"}, WebhookWaits: []time.Duration{}})
	c := register(t, env)
	code := c.signIn("usr_ada", "approve", nil).Get("code")
	tokens := c.redeem(code, nil).json(t, http.StatusOK)
	tokens2 := c.refresh(tokens["refresh_token"]).json(t, http.StatusOK)
	c.refresh("rt_that_is_wrong").wantError(t, http.StatusBadRequest, "invalid_grant")
	post(t, env.URL()+"/oauth/token", credentials(env))
	page := get(t, env.URL()+"/")
	_, claims := verify(t, env, tokens2["access_token"])
	if page.status != http.StatusOK {
		t.Fatalf("the page: %d", page.status)
	}
	for _, want := range []string{
		"Ada Lovelace", "A &lt;client&gt;", c.id, claims["sid"].(string), env.Keys()[0].ID, "Compilers United", redirectURI,
		"Registration", "Authorization", "Consent", "Token by authorization_code", "Token by refresh_token", "Token by client_credentials", "invalid_grant",
		" left", "http://127.0.0.1:1/hook", "env_local", "/resources/res_local/oauth/authorize/...",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	secrets := map[string]string{
		"code": code, "access token": tokens["access_token"].(string), "refresh token": tokens["refresh_token"].(string),
		"newer token": tokens2["access_token"].(string), "newer refresh token": tokens2["refresh_token"].(string), "wrong refresh token": "rt_that_is_wrong",
		"client secret": env.ClientSecret(), "webhook secret": env.WebhookSecret(), "verifier": c.verifier, "password": "pw@", "key of a webhook URL": "key=k",
		"signature of a token": strings.Split(tokens2["access_token"].(string), ".")[2],
	}
	live := eventsOf(t, env)
	var sent strings.Builder
	for _, section := range []string{"sessions", "people", "keys", "clients", "requests", "webhooks", "faults"} {
		sent.WriteString(live.until(t, section))
	}
	for name, secret := range secrets {
		if strings.Contains(page.body, secret) || strings.Contains(page.body, url.QueryEscape(secret)) || strings.Contains(sent.String(), secret) {
			t.Errorf("the page shows the %s", name)
		}
	}
}

// A client may call itself anything.
func TestPageEscapesWhatClientsSay(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	evil := `</td><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover=alert(3) x=\"`
	id, _ := registerWith(t, env, `{"client_name":"`+evil+`","redirect_uris":["`+redirectURI+`?a='onclick=alert(4)'"]}`).json(t, http.StatusCreated)["client_id"].(string)
	c := newClient(t, env, id)
	live := eventsOf(t, env)
	action, fields := c.form(get(t, c.authorizeURL(map[string]string{"redirect_uri": redirectURI + "?a='onclick=alert(4)'"})))
	fields.Set("user", "usr_ada")
	fields.Set("decision", "approve")
	back, err := url.Parse(post(t, action, fields).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	c.redirect = redirectURI + "?a='onclick=alert(4)'"
	c.redeem(back.Query().Get("code"), nil).json(t, http.StatusOK)
	get(t, env.URL()+"/%3Cscript%3Ealert(5)%3C/script%3E/%22onclick=alert(6)")
	get(t, c.resource+"/oauth/authorize?client_id="+url.QueryEscape("<script>alert(7)</script>"))
	page := get(t, env.URL()+"/").body
	var sent strings.Builder
	for !strings.Contains(sent.String(), "Token by") || !strings.Contains(sent.String(), "&lt;script&gt;alert(7)") {
		sent.WriteString(live.next(t).HTML)
	}
	for name, text := range map[string]string{"page": page, "events": sent.String()} {
		text = strings.ReplaceAll(text, `<script src="/devenv/live.js" defer></script>`, "")
		for _, tag := range []string{"<script", "<img", "<td onclick", `" onmouseover`, `"onclick`} {
			if strings.Contains(text, tag) {
				t.Errorf("the %s has %s:\n%s", name, tag, text)
			}
		}
	}
}

func TestButtons(t *testing.T) {
	t.Parallel()
	target, events := receiveWebhooks(t)
	env := start(t, devenv.Config{WebhookURLs: []string{target}})
	c := register(t, env)
	tokens := c.tokens("usr_ada", nil)
	for _, tc := range []struct {
		action, target string
		event          string // "" for none
	}{
		{"end-session", env.Sessions()[0].ID, "user.logout"},
		{"remove-member", "usr_ada", "user.organization_membership_deleted"},
		{"deactivate-user", "usr_grace", "organization.directory.user_updated"},
		{"delete-organization", "org_compilers", "organization.deleted"},
		{"rotate-keys", "", ""},
		{"withdraw-key", env.Keys()[0].ID, ""}, // the one that signed before
		{"delay", "1ms", ""},
		{"token-life", "7s", ""},
	} {
		got := submit(t, env, tc.action, tc.target)
		if got.status != http.StatusSeeOther || got.header.Get("Location") != "/?done="+tc.action {
			t.Errorf("%s: %d to %q: %s", tc.action, got.status, got.header.Get("Location"), got.body)
			continue
		}
		if !strings.Contains(get(t, env.URL()+got.header.Get("Location")).body, `class="done"`) {
			t.Errorf("%s: the page does not say what was done", tc.action)
		}
		if tc.event != "" {
			if e := next(t, events); e.Type != tc.event {
				t.Errorf("%s sends %s", tc.action, e.Type)
			}
		}
		if again := submit(t, env, tc.action, tc.target); tc.event != "" && again.status != http.StatusConflict {
			t.Errorf("%s again: %d", tc.action, again.status)
		}
	}
	c.refresh(tokens["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	if strings.Contains(get(t, env.URL()+"/keys").body, env.Sessions()[0].Tokens[0].KeyID) {
		t.Error("the withdrawn key is published")
	}
	if _, claims := verify(t, env, c.tokens("usr_ada", nil)["access_token"]); number(t, claims["exp"])-number(t, claims["iat"]) != 7 {
		t.Errorf("times: %v", claims)
	}
	for action, target := range map[string]string{
		"end-session": "ses_x", "remove-member": "", "deactivate-user": "", "delete-organization": "", "withdraw-key": env.Keys()[0].ID,
		"delay": "long", "down": "perhaps", "token-life": "0s",
	} {
		if got := submit(t, env, action, target); got.status != http.StatusConflict || got.header.Get("Location") != "" {
			t.Errorf("%s of %q: %d to %q", action, target, got.status, got.header.Get("Location"))
		}
	}
	if got := submit(t, env, "format-disk", ""); got.status != http.StatusNotFound {
		t.Errorf("an unknown button: %d", got.status)
	}
}

// Other web pages can neither read the page, nor press its buttons, nor show it in a frame.
func TestPageIsSafeFromOtherPages(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	c.tokens("usr_ada", nil)
	csrf, session := csrfOf(t, env), env.Sessions()[0].ID
	own, host := env.URL(), strings.TrimPrefix(env.URL(), "http://")
	for _, tc := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"typed into the address bar", "GET", "/", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Dest", "document"}, 200},
		{"a link on another page", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "document"}, 200},
		{"a frame", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "iframe"}, 403},
		{"a fetch", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "empty", "Origin", "https://evil.example"}, 403},
		{"an image", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Dest", "image"}, 403},
		{"a prefetch", "GET", "/", []string{"Sec-Purpose", "prefetch"}, 403},
		{"the live part", "GET", "/devenv/style.css", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"events of another page", "GET", "/devenv/events", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"events as an image", "GET", "/devenv/events", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"events of another port", "GET", "/devenv/events", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:6274"}, 403},
		{"events without Fetch Metadata", "GET", "/devenv/events", []string{"Origin", "http://localhost:6274"}, 403},
		{"a script of another page", "GET", "/devenv/live.js", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a preflight", "OPTIONS", "/devenv/end-session", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 403},
		{"a form of another page", "POST", "/devenv/end-session", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"a form of another port", "POST", "/devenv/end-session", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, 403},
		{"a form without Fetch Metadata", "POST", "/devenv/end-session", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"a form of a sandbox", "POST", "/devenv/end-session", []string{"Origin", "null"}, 403},
		{"two origins", "POST", "/devenv/end-session", []string{"Origin", own, "Origin", "https://evil.example"}, 403},
		{"two sites", "POST", "/devenv/end-session", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, 403},
		{"the origin with https", "POST", "/devenv/end-session", []string{"Origin", "https://" + host}, 403},
		{"a name that resolves here", "POST", "/devenv/end-session", []string{"Host", "evil.example", "Origin", "http://evil.example"}, 421},
		{"the page under such a name", "GET", "/", []string{"Host", "evil.example"}, 421},
		{"the wrong method", "GET", "/devenv/end-session", nil, 405},
		{"a guessed token", "POST", "/devenv/end-session?csrf=" + csrf, []string{"csrf", "guessed"}, 403},
		{"no token", "POST", "/devenv/end-session?csrf=" + csrf, []string{"csrf", ""}, 403},
		{"its own form", "POST", "/devenv/end-session", []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 303},
	} {
		form := url.Values{"csrf": {csrf}, "target": {session}}
		req := request(t, tc.method, env.URL()+tc.path, nil)
		for i := 0; i < len(tc.header); i += 2 {
			switch name, value := tc.header[i], tc.header[i+1]; name {
			case "Host":
				req.Host = value
			case "csrf":
				form.Set("csrf", value)
			default:
				req.Header.Add(name, value)
			}
		}
		if tc.method == "POST" {
			with := request(t, tc.method, env.URL()+tc.path, strings.NewReader(form.Encode()))
			with.Header, with.Host = req.Header, req.Host
			with.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req = with
		}
		got := do(t, req)
		if got.status != tc.want || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d, want %d; %v", tc.name, got.status, tc.want, got.header)
		}
		if ended := !env.Sessions()[0].Ended.IsZero(); ended != (tc.want == 303) {
			t.Fatalf("%s: the session has ended = %v", tc.name, ended)
		}
	}
	for _, path := range []string{"/", "/devenv/style.css", "/devenv/nothing"} {
		h := get(t, env.URL()+path).header
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'", "script-src 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s: %s", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cache-Control") != "no-store" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// The page is not among the requests that it shows, and remembers a hundred.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	for i := range 130 {
		get(t, fmt.Sprintf("%s/path/%d/%s", env.URL(), i, strings.Repeat("x", 300)))
	}
	page := get(t, env.URL()+"/").body
	if n := strings.Count(page, "<code>/path/"); n != 100 || !strings.Contains(page, "/path/129/") || strings.Contains(page, "/path/29/") {
		t.Errorf("%d requests are shown", n)
	}
	if strings.Contains(page, strings.Repeat("x", 200)) || strings.Contains(page, "<code>/devenv/") {
		t.Error("a long path, or one of the page itself, is shown")
	}
}

// TestOpenSignInsAreNotShown has the id of an open sign-in page left out of the requests, however its path is written.
func TestOpenSignInsAreNotShown(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	authorize := env.URL() + "/resources/" + env.ResourceID() + "/oauth/"
	for _, path := range []string{"authorize/hidden-id", "%61uthorize/hidden-id", "authorize%2Fhidden-id", "authorize/%68idden-id?x=hidden-id"} {
		get(t, authorize+path)
	}
	page := get(t, env.URL()+"/").body
	if n := strings.Count(page, "/oauth/authorize/..."); n != 4 || strings.Contains(page, "idden-id") {
		t.Errorf("%d sign-ins are shown without their id:\n%s", n, page)
	}
}
