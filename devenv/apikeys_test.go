package devenv_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

const keysPath = "/api/v1/tokens"

// api calls the environment's REST API with a token of its credentials.
func api(t *testing.T, env *devenv.Environment, path, body string) answer {
	t.Helper()
	token, _ := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)["access_token"].(string)
	return apiAs(t, env, token, path, body)
}

func apiAs(t *testing.T, env *devenv.Environment, token, path, body string) answer {
	t.Helper()
	req := request(t, http.MethodPost, env.URL()+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, req)
}

// createKey returns a new key's value and id.
func createKey(t *testing.T, env *devenv.Environment, body string) (value, id string) {
	t.Helper()
	created := api(t, env, keysPath, body).json(t, http.StatusCreated)
	value, _ = created["token"].(string)
	id, _ = created["token_id"].(string)
	info, _ := created["token_info"].(map[string]any)
	if value == "" || strings.ContainsAny(value, "._- ") || !strings.HasPrefix(id, "apit_") || info["token_id"] != id || !strings.HasSuffix(value, fmt.Sprint(info["token_suffix"])) {
		t.Fatalf("created: %v", created)
	}
	return value, id
}

func tokenJSON(token string) string { return fmt.Sprintf(`{"token":%q}`, token) }

// TestAPIKeys has a key of a user and one of an organization, from their beginning to their end.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	user, userID := createKey(t, env, `{"organization_id":"org_analytical","user_id":"usr_ada","custom_claims":{"scope":"greet:write"},"description":"CI"}`)
	organization, organizationID := createKey(t, env, `{"organization_id":"org_compilers"}`)
	for value, want := range map[string]map[string]any{
		user:           {"token_id": userID, "organization_id": "org_analytical", "organization_external_id": "tenant-1", "user_id": "usr_ada", "email": "ada@analytical.example"},
		userID:         {"token_id": userID, "user_id": "usr_ada"}, // an id names the key, too
		organization:   {"token_id": organizationID, "organization_id": "org_compilers", "user_id": nil, "email": nil, "expiry": nil},
		organizationID: {"token_id": organizationID},
	} {
		info, _ := api(t, env, keysPath+":validate", tokenJSON(value)).json(t, http.StatusOK)["token_info"].(map[string]any)
		for name, w := range want {
			if info[name] != w {
				t.Errorf("%.6s...: %s = %v, want %v", value, name, info[name], w)
			}
		}
	}
	info, _ := api(t, env, keysPath+":validate", tokenJSON(user)).json(t, http.StatusOK)["token_info"].(map[string]any)
	if claims, _ := info["custom_claims"].(map[string]any); claims["scope"] != "greet:write" || info["description"] != "CI" || info["created_at"] == nil {
		t.Errorf("token_info: %v", info)
	}
	if roles, _ := info["roles"].([]any); len(roles) != 1 || roles[0] != "admin" {
		t.Errorf("roles: %v", info["roles"])
	}

	for range 2 { // it can be repeated
		api(t, env, keysPath+":invalidate", tokenJSON(userID)).json(t, http.StatusOK)
		for _, gone := range []string{user, userID} {
			if got := api(t, env, keysPath+":validate", tokenJSON(gone)); got.status != http.StatusNotFound || strings.Contains(got.body, "usr_ada") {
				t.Errorf("after the key was invalidated: %d %s", got.status, got.body)
			}
		}
	}
	api(t, env, keysPath+":invalidate", tokenJSON(organization)).json(t, http.StatusOK)
	if got := api(t, env, keysPath+":validate", tokenJSON(organization)); got.status != http.StatusNotFound {
		t.Errorf("after a key was invalidated by its value: %d", got.status)
	}
}

// TestAPIKeyEndsWithItsOwner has a key of a user who is not in the organization any more, and one of an organization that was
// deleted.
func TestAPIKeyEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*devenv.Environment) error{
		"removed":     func(e *devenv.Environment) error { return e.RemoveMember("usr_ada", "org_analytical") },
		"deactivated": func(e *devenv.Environment) error { return e.DeactivateUser("usr_ada") },
		"deleted":     func(e *devenv.Environment) error { return e.DeleteOrganization("org_analytical") },
	} {
		env := start(t, devenv.Config{})
		user, _ := createKey(t, env, `{"organization_id":"org_analytical","user_id":"usr_ada"}`)
		organization, _ := createKey(t, env, `{"organization_id":"org_analytical"}`)
		another, _ := createKey(t, env, `{"organization_id":"org_compilers"}`)
		if err := end(env); err != nil {
			t.Fatal(err)
		}
		left := http.StatusOK
		if name == "deleted" {
			left = http.StatusNotFound
		}
		for value, want := range map[string]int{user: http.StatusNotFound, organization: left, another: http.StatusOK} {
			if got := api(t, env, keysPath+":validate", tokenJSON(value)); got.status != want {
				t.Errorf("%s: %d %s, want %d", name, got.status, got.body, want)
			}
		}
	}
}

func TestAPIKeyExpires(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	end := time.Now().Add(2 * time.Second) // time enough to make a key, also on a busy machine
	value, _ := createKey(t, env, fmt.Sprintf(`{"organization_id":"org_compilers","expiry":%q}`, end.Format(time.RFC3339Nano)))
	for {
		got := api(t, env, keysPath+":validate", tokenJSON(value))
		if time.Now().Before(end) && got.status != http.StatusOK {
			t.Fatalf("before its expiry: %d", got.status)
		}
		if got.status == http.StatusNotFound {
			return
		}
		if time.Since(end) > patience {
			t.Fatalf("after its expiry: %d", got.status)
		}
	}
}

func TestAPIKeysAreRefused(t *testing.T) {
	t.Parallel()
	env, other := start(t, devenv.Config{}), start(t, devenv.Config{})
	foreign, _ := createKey(t, other, `{"organization_id":"org_analytical"}`)
	many := strings.Repeat(`"%d":"x",`, 21)
	numbers := make([]any, 21)
	for i := range numbers {
		numbers[i] = i
	}
	for name, tc := range map[string]struct {
		path, body string
		status     int
	}{
		"a key of another environment":       {keysPath + ":validate", tokenJSON(foreign), http.StatusNotFound},
		"an unknown key":                     {keysPath + ":validate", tokenJSON("x"), http.StatusNotFound},
		"to end an unknown key":              {keysPath + ":invalidate", tokenJSON("x"), http.StatusNotFound},
		"no key":                             {keysPath + ":validate", `{}`, http.StatusBadRequest},
		"an empty key":                       {keysPath + ":validate", tokenJSON(" "), http.StatusBadRequest},
		"text":                               {keysPath + ":validate", `key`, http.StatusBadRequest},
		"a key that is too long":             {keysPath + ":validate", tokenJSON(strings.Repeat("x", 64<<10)), http.StatusBadRequest},
		"no organization":                    {keysPath, `{}`, http.StatusNotFound},
		"an unknown organization":            {keysPath, `{"organization_id":"org_x"}`, http.StatusNotFound},
		"a user of another organization":     {keysPath, `{"organization_id":"org_analytical","user_id":"usr_grace"}`, http.StatusNotFound},
		"a user without organization":        {keysPath, `{"organization_id":"","user_id":"usr_alan"}`, http.StatusNotFound},
		"an expiry that is past":             {keysPath, `{"organization_id":"org_analytical","expiry":"2020-01-01T00:00:00Z"}`, http.StatusBadRequest},
		"an expiry that is not a time":       {keysPath, `{"organization_id":"org_analytical","expiry":"soon"}`, http.StatusBadRequest},
		"a claim that is not text":           {keysPath, `{"organization_id":"org_analytical","custom_claims":{"a":1}}`, http.StatusBadRequest},
		"a claim without a value":            {keysPath, `{"organization_id":"org_analytical","custom_claims":{"a":""}}`, http.StatusBadRequest},
		"more claims than Scalekit takes":    {keysPath, `{"organization_id":"org_analytical","custom_claims":{` + strings.TrimSuffix(fmt.Sprintf(many, numbers...), ",") + `}}`, http.StatusBadRequest},
		"a description that is far too long": {keysPath, `{"organization_id":"org_analytical","description":"` + strings.Repeat("x", 256) + `"}`, http.StatusBadRequest},
	} {
		if got := api(t, env, tc.path, tc.body); got.status != tc.status || !strings.Contains(got.body, `"code":`) {
			t.Errorf("%s: %d %.100s, want %d", name, got.status, got.body, tc.status)
		}
	}

	agent, _ := post(t, env.URL()+"/oauth/token", agentForm(env.CreateClient("greet:write"))).json(t, http.StatusOK)["access_token"].(string)
	user, _ := register(t, env).tokens("usr_ada", nil)["access_token"].(string)
	for name, token := range map[string]string{"no token": "", "an API key": foreign, "an agent's token": agent, "a user's token": user} {
		for _, path := range []string{keysPath, keysPath + ":validate", keysPath + ":invalidate"} {
			if got := apiAs(t, env, token, path, `{"organization_id":"org_analytical"}`); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s at %s: %d", name, path, got.status)
			}
		}
	}
}
