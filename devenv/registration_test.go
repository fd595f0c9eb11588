package devenv_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func registrationURL(env *devenv.Environment) string {
	return env.URL() + "/api/v1/resources/" + env.ResourceID() + "/clients:register"
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	got := registerWith(t, env, `{"client_name":"N","redirect_uris":["http://localhost:1/cb","cursor://x/cb","com.example:/cb","https://e.example/cb"],
		"token_endpoint_auth_method":"client_secret_post","unknown":1}`).json(t, http.StatusCreated)
	id, _ := got["client_id"].(string)
	if !strings.HasPrefix(id, "m2m_") || got["token_endpoint_auth_method"] != "none" || got["client_secret"] != nil ||
		got["scope"] != "openid profile email offline_access announce:send greet:write profile:read" || got["client_name"] != "N" ||
		got["client_id_issued_at"] == nil || len(got["redirect_uris"].([]any)) != 4 {
		t.Errorf("registered: %v", got)
	}
}

func TestRegistrationRefuses(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	const ok = `"redirect_uris":["https://e.example/cb"]`
	for body, code := range map[string]string{
		``:                              "invalid_client_metadata",
		`{`:                             "invalid_client_metadata",
		`[]`:                            "invalid_client_metadata",
		`null`:                          "invalid_client_metadata",
		`"` + ok:                        "invalid_client_metadata",
		`{` + ok + `}{}`:                "invalid_client_metadata",
		`{` + ok + `} x`:                "invalid_client_metadata",
		`{` + ok + `,}`:                 "invalid_client_metadata",
		`{` + ok + `,` + ok + `}`:       "invalid_client_metadata", // twice
		`{` + ok + `,"x":1,"x":2}`:      "invalid_client_metadata",
		`{` + ok + `,"x":"` + "\xff\"}": "invalid_client_metadata",
		`{` + ok + `,"client_name":7}`:  "invalid_client_metadata",
		`{"redirect_uris":"https://e.example/cb"}`:                        "invalid_client_metadata",
		`{"redirect_uris":[["https://e.example/cb"]]}`:                    "invalid_client_metadata",
		`{"redirect_uris":{"0":"https://e.example"}}`:                     "invalid_client_metadata",
		`{"redirect_uris":[1e999999]}`:                                    "invalid_client_metadata",
		`{}`:                                                              "invalid_redirect_uri",
		`{"redirect_uris":[]}`:                                            "invalid_redirect_uri",
		`{"redirect_uris":null}`:                                          "invalid_redirect_uri",
		`{"redirect_uris":[null]}`:                                        "invalid_redirect_uri",
		`{"redirect_uris":[""]}`:                                          "invalid_redirect_uri",
		`{"REDIRECT_URIS":["https://e.example/cb"]}`:                      "invalid_redirect_uri", // names are case-sensitive
		`{"redirect_uris":["http://evil.example/cb"]}`:                    "invalid_redirect_uri",
		`{"redirect_uris":["javascript:alert(1)"]}`:                       "invalid_redirect_uri",
		`{"redirect_uris":["view-source:https://e.example/cb"]}`:          "invalid_redirect_uri",
		`{"redirect_uris":["https://e.example/cb","file:///etc/passwd"]}`: "invalid_redirect_uri", // only one of them is bad
		`{"redirect_uris":["\u006aavascript:alert(1)"]}`:                  "invalid_redirect_uri",
		`{"redirect_uris":["https://e.example/#f"]}`:                      "invalid_redirect_uri",
		`{"redirect_uris":["/cb"]}`:                                       "invalid_redirect_uri",
		`{"redirect_uris":[` + strings.Repeat(`"https://e.example",`, 40) + `"https://e.example"]}`: "invalid_redirect_uri",
		`{"redirect_uris":["https://e.example"],"grant_types":["client_credentials"]}`:              "invalid_client_metadata",
		`{"redirect_uris":["https://e.example"],"response_types":["token"]}`:                        "invalid_client_metadata",
	} {
		got := registerWith(t, env, body)
		if got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.status, got.body)
			continue
		}
		got.wantError(t, http.StatusBadRequest, code)
	}
	large := registerWith(t, env, `{`+ok+`,"client_name":"`+strings.Repeat("x", 1<<20)+`"}`)
	large.wantError(t, http.StatusRequestEntityTooLarge, "invalid_client_metadata")
}

// Browsers send text/plain and the types of forms to other origins without a preflight.
func TestRegistrationIsJSONOnly(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	send := func(contentTypes ...string) answer {
		req := request(t, http.MethodPost, registrationURL(env), strings.NewReader(`{"redirect_uris":["https://e.example/cb"]}`))
		req.Header["Content-Type"] = contentTypes
		return do(t, req)
	}
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8", "Application/JSON;Charset=UTF-8", " application/json ", `application/json; charset="utf-8"`,
	} {
		if got := send(contentType); got.status != http.StatusCreated {
			t.Errorf("%q: %d %s", contentType, got.status, got.body)
		}
	}
	for _, contentTypes := range [][]string{
		nil,
		{""},
		{"text/plain"},
		{"TEXT/PLAIN"},
		{"text/plain; application/json"},
		{"text/plain; charset=application/json"},
		{"text/plain, application/json"},
		{"application/json, text/plain"},
		{"text/plain;x=\"application/json\""},
		{"application/x-www-form-urlencoded"},
		{"multipart/form-data; boundary=application/json"},
		{"application/json; charset=utf-16"},
		{"application/jsonp"},
		{"application/problem+json"},
		{"text/json"},
		{"application/json", "text/plain"},
		{"text/plain", "application/json"},
	} {
		got := send(contentTypes...)
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", contentTypes, got.status, got.body)
		}
	}
}

// A flood of parallel registrations costs a bounded amount of memory. A client that a person signed in with stays.
func TestRegistrationsAreCapped(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	signedIn, idle := register(t, env), register(t, env)
	tokens := signedIn.tokens("usr_ada", nil)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 260 {
				body := fmt.Sprintf(`{"client_name":"%d-%d","redirect_uris":["https://e.example/cb"]}`, worker, i)
				if got := registerWith(t, env, body); got.status != http.StatusCreated {
					t.Errorf("registration %d: %d %s", i, got.status, got.body)
				}
			}
		})
	}
	wg.Wait()
	if got := signedIn.refresh(tokens["refresh_token"]); got.status != http.StatusOK {
		t.Errorf("refreshing after the flood: %d %s", got.status, got.body)
	}
	if got := get(t, idle.authorizeURL(nil)); got.status != http.StatusBadRequest {
		t.Errorf("the oldest client that was never used: %d", got.status)
	}
	register(t, env).tokens("usr_ada", nil)
}
