package devenv_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func TestRefresh(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{OrgClaims: true})
	c := register(t, env)
	first := c.tokens("usr_ada", nil)
	second := c.refresh(first["refresh_token"]).json(t, http.StatusOK)
	if second["refresh_token"] == first["refresh_token"] || second["refresh_token"] == nil {
		t.Errorf("the refresh token was not rotated: %v", second)
	}
	_, a := verify(t, env, first["access_token"])
	header, b := verify(t, env, second["access_token"])
	if a["sid"] != b["sid"] || b["oid"] != "org_analytical" || b["scope"] != a["scope"] || header["typ"] != "JWT" {
		t.Errorf("refreshed %v to %v", a, b)
	}
	narrow := post(t, c.resource+"/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {second["refresh_token"].(string)}, "client_id": {c.id}, "scope": {"greet:write"},
	}).json(t, http.StatusOK)
	if _, claims := verify(t, env, narrow["access_token"]); claims["scope"] != "greet:write" {
		t.Errorf("scope = %v", claims["scope"])
	}

	register(t, env).refresh(narrow["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	c.refresh(first["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	c.refresh(narrow["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant") // its session has ended

	if got := c.tokens("usr_ada", map[string]string{"scope": "greet:write"}); got["refresh_token"] != nil {
		t.Errorf("a refresh token without offline_access: %v", got)
	}
	if got := c.tokens("usr_ada", map[string]string{"scope": ""}); got["refresh_token"] != nil {
		t.Errorf("a refresh token without scope: %v", got)
	}
}

func TestRefreshCountsOnce(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	token := c.tokens("usr_ada", nil)["refresh_token"]
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		wg.Go(func() { statuses[i] = c.refresh(token).status })
	}
	wg.Wait()
	won := 0
	for _, status := range statuses {
		if status == http.StatusOK {
			won++
		}
	}
	if won != 1 {
		t.Errorf("statuses %v, want 200 once", statuses)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"access_token", "refresh_token"} {
		for _, bare := range []bool{false, true} {
			env := start(t, devenv.Config{BareIssuer: bare})
			c, other := register(t, env), register(t, env)
			got := c.tokens("usr_ada", nil)
			revoke := func(by *client, token any) answer {
				return post(t, by.resource+"/oauth/revoke", url.Values{"client_id": {by.id}, "token": {token.(string)}})
			}
			if a := revoke(other, got[kind]); a.status == http.StatusOK {
				t.Errorf("%s: another client revoked it", kind)
			}
			next := c.refresh(got["refresh_token"]).json(t, http.StatusOK)
			if a := revoke(c, next[kind]); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", kind, a.status, a.body)
			}
			c.refresh(next["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
			if a := revoke(c, "unknown"); a.status != http.StatusOK {
				t.Errorf("an unknown token: %d, want 200 (RFC 7009 §2.2)", a.status)
			}
		}
	}
}
