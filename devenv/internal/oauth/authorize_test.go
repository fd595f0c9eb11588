package oauth

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// While the sign-in page is open, the client's document is fetched again, and the redirect URI is no longer in it.
func TestRedirectURIIsCheckedAgainWhenTheFormIsAnswered(t *testing.T) {
	t.Parallel()
	const issuer, redirect = "http://127.0.0.1:3002/resources/res_local", "https://app.example/cb"
	s, err := New(Config{
		Issuer: issuer, TokenIssuer: issuer, PathPrefix: "/resources/res_local", Audience: []string{"http://localhost:3001/mcp"},
		Resources: []string{"http://localhost:3001/mcp"}, Scopes: []string{"greet:write"}, TTL: time.Minute,
		Users: []User{{ID: "usr_ada"}}, Keys: mcpauthtest.NewKeySet(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	know := func(redirects ...string) {
		s.store.clients.put(clientMetadata{RedirectURIs: redirects}.client("m2m_1", s.config.Scopes))
	}
	authorize := func(method, path string, form url.Values) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), method, issuer+"/oauth/authorize"+path, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer := httptest.NewRecorder()
		s.Authorize(answer, req)
		return answer
	}
	know(redirect)
	query := url.Values{
		"response_type": {"code"}, "client_id": {"m2m_1"}, "redirect_uri": {redirect}, "scope": {"greet:write"},
		"code_challenge": {strings.Repeat("x", 43)}, "code_challenge_method": {"S256"},
	}
	if page := authorize(http.MethodGet, "?"+query.Encode(), nil); page.Code != http.StatusOK {
		t.Fatalf("%d %s", page.Code, page.Body)
	}
	var open *goidc.AuthnSession
	for _, session := range s.store.sessions {
		open = session
	}
	form := url.Values{"csrf": {open.Store[storedCSRF].(string)}, "user": {"usr_ada"}, "decision": {"approve"}}
	know("https://app.example/moved")
	for _, decision := range []string{"approve", "deny"} {
		form.Set("decision", decision)
		if got := authorize(http.MethodPost, "/"+open.ID, form); got.Code != http.StatusBadRequest || got.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %q", decision, got.Code, got.Header().Get("Location"))
		}
	}
	know(redirect)
	if got := authorize(http.MethodPost, "/"+open.ID, form); got.Code != http.StatusSeeOther {
		t.Errorf("the address is back: %d %s", got.Code, got.Body)
	}
}
