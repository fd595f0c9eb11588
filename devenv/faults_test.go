package devenv_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func TestDown(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	tokens := c.tokens("usr_ada", nil)
	live := eventsOf(t, env)
	if got := submit(t, env, "down", "true"); got.status != http.StatusSeeOther {
		t.Fatalf("the button: %d %s", got.status, got.body)
	}
	for _, path := range []string{
		"/keys", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/resources/res_local",
		"/resources/res_local/oauth/authorize", "/api/v1/organizations/org_1", "/unknown",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, err := browser.Do(request(t, method, env.URL()+path, nil))
			if err == nil {
				_ = resp.Body.Close()
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
		}
	}
	for !strings.Contains(live.until(t, "requests"), "closed") {
	}
	for _, path := range []string{"/", "/devenv/style.css", "/devenv/live.js", "/devenv/icon.svg"} {
		if got := get(t, env.URL()+path); got.status != http.StatusOK {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := submit(t, env, "end-session", env.Sessions()[0].ID); got.status != http.StatusSeeOther {
		t.Errorf("another button: %d", got.status)
	}
	if got := submit(t, env, "down", "false"); got.status != http.StatusSeeOther {
		t.Errorf("the button: %d %s", got.status, got.body)
	}
	c.refresh(tokens["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant") // it answers again
}

func TestDelay(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	const delay = 300 * time.Millisecond
	env.SetDelay(delay)
	began := time.Now()
	c.tokens("usr_ada", nil) // three requests, two of which have a body
	if took := time.Since(began); took < 3*delay {
		t.Errorf("signing in took %v", took)
	}
	env.SetDelay(time.Hour)
	began = time.Now()
	if got := get(t, env.URL()+"/"); got.status != http.StatusOK {
		t.Errorf("the page: %d", got.status)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("the page took %v", took)
	}
	waiting := make(chan error, 1)
	req := request(t, http.MethodGet, env.URL()+"/keys", nil)
	go func() {
		resp, err := browser.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		waiting <- err
	}()
	if err := env.Close(); err != nil { // is not held up by who waits
		t.Error(err)
	}
	if err := await(t, "the end of the request that waits", waiting); err == nil {
		t.Error("a request was answered without the delay")
	}
}

func TestNegativeDelayIsNone(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	env.SetDelay(-time.Second)
	if got := get(t, env.URL()+"/keys"); got.status != http.StatusOK {
		t.Errorf("status = %d", got.status)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	first := c.tokens("usr_ada", nil)
	if err := env.SetTokenLife(time.Minute); err != nil {
		t.Fatal(err)
	}
	second := c.refresh(first["refresh_token"]).json(t, http.StatusOK)
	own := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)
	for name, tc := range map[string]struct {
		tokens map[string]any
		want   int64
	}{"before": {first, 300}, "after": {second, 60}, "the environment's own": {own, 60}} {
		_, claims := verify(t, env, tc.tokens["access_token"])
		if life := number(t, claims["exp"]) - number(t, claims["iat"]); life != tc.want || tc.tokens["expires_in"] != float64(tc.want) {
			t.Errorf("%s: %d s, expires_in %v", name, life, tc.tokens["expires_in"])
		}
	}
	for _, life := range []time.Duration{0, -time.Second, time.Millisecond} {
		if err := env.SetTokenLife(life); err == nil {
			t.Errorf("a life of %v", life)
		}
	}
}

func TestWithdrawKey(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	first := env.Keys()[0]
	if err := env.WithdrawKey(first.ID); err == nil || !strings.Contains(err.Error(), "rotate") {
		t.Errorf("withdrawing the key that signs: %v", err)
	}
	env.RotateKeys()
	keys := env.Keys()
	if len(keys) != 2 || !keys[0].Signs || keys[1].Signs || keys[1].ID != first.ID || keys[0].Since.Before(keys[1].Since) {
		t.Fatalf("keys = %+v", keys)
	}
	if err := env.WithdrawKey(first.ID); err != nil {
		t.Fatal(err)
	}
	if published := get(t, env.URL()+"/keys").body; strings.Contains(published, first.ID) || !strings.Contains(published, keys[0].ID) {
		t.Errorf("published: %s", published)
	}
	for _, id := range []string{first.ID, "", "snk_x"} {
		if err := env.WithdrawKey(id); err == nil {
			t.Errorf("withdrew %q", id)
		}
	}
}
