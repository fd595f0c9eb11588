package apikeys_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/examples/apikeys"
)

// scalekit is an environment that answers about keys with what a test wants.
type scalekit struct {
	*httptest.Server
	tokens  atomic.Int32 // handed out
	answers func(w http.ResponseWriter)
}

func newScalekit(t *testing.T, answers func(w http.ResponseWriter)) *scalekit {
	t.Helper()
	s := &scalekit{answers: answers}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, s.tokens.Add(1))
	})
	mux.HandleFunc("POST /api/v1/tokens:validate", func(w http.ResponseWriter, _ *http.Request) { s.answers(w) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *scalekit) keys() *apikeys.Keys {
	return keysOf(s.URL + "/")
}

func keysOf(environmentURL string) *apikeys.Keys {
	return apikeys.New(mcpauth.Config{EnvironmentURL: environmentURL, ClientID: "skc_1", ClientSecret: mcpauth.NewSecret("s3cret")})
}

// TestInternalEnvironment has Scalekit at another address for this server than for clients, with a certificate from an authority
// of one's own.
func TestInternalEnvironment(t *testing.T) {
	t.Parallel()
	s := newScalekit(t, answer(200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1"}}`))
	internal := httptest.NewTLSServer(s.Config.Handler)
	t.Cleanup(internal.Close)
	config := mcpauth.Config{
		EnvironmentURL: "https://acme.scalekit.invalid", InternalEnvironmentURL: internal.URL + "/", HTTPClient: internal.Client(),
		ClientID: "skc_1", ClientSecret: mcpauth.NewSecret("s3cret"),
	}
	if claims, err := apikeys.New(config).Credential(t.Context(), "Bearer", "key1"); err != nil || claims == nil || claims.Subject != "apit_1" {
		t.Errorf("%v, %v", claims, err)
	}
}

func answer(status int, body string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestAnswers has each kind of answer. Only a key that Scalekit knows lets in, and only Scalekit's word that it knows none is a 401.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status  int
		body    string
		subject string
		fails   bool
	}{
		"a user's key":             {200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1","user_id":"usr_1"}}`, "usr_1", false},
		"an organization's key":    {200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1"}}`, "apit_1", false},
		"unknown":                  {404, `{"code":5}`, "", false},
		"not a key":                {400, `{"code":3}`, "", false},
		"no organization":          {200, `{"token_info":{"token_id":"apit_1","user_id":"usr_1"}}`, "", true},
		"no id":                    {200, `{"token_info":{"organization_id":"org_1","user_id":"usr_1"}}`, "", true},
		"an empty answer":          {200, `{}`, "", true},
		"no JSON":                  {200, `<html>`, "", true},
		"JSON that is cut off":     {200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1","user_id":"usr_1"`, "", true},
		"an answer without end":    {200, `{"token_info":{"token_id":"` + strings.Repeat("x", 1<<20) + `","organization_id":"org_1"}}`, "", true},
		"a value of another type":  {200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1","roles":"admin"}}`, "", true},
		"no access":                {403, ``, "", true},
		"a token that is not good": {401, ``, "", true},
		"too many requests":        {429, ``, "", true},
		"an outage":                {500, ``, "", true},
		"created":                  {201, `{"token_info":{"token_id":"apit_1","organization_id":"org_1"}}`, "", true},
	} {
		s := newScalekit(t, answer(tc.status, tc.body))
		claims, err := s.keys().Credential(t.Context(), "Bearer", "key1")
		if (err != nil) != tc.fails || (claims != nil) != (tc.subject != "") || claims != nil && claims.Subject != tc.subject {
			t.Errorf("%s: %+v, %v", name, claims, err)
		}
		if err != nil && strings.Contains(err.Error(), "key1") {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
}

// TestClaims has a key with everything that Scalekit says about one.
func TestClaims(t *testing.T) {
	t.Parallel()
	for _, end := range []time.Duration{0, time.Minute, time.Hour} { // from now; 0 for a key that does not expire
		expiry := ""
		want := time.Now().Add(5 * time.Minute)
		if end != 0 {
			at := time.Now().Add(end)
			expiry = fmt.Sprintf(`,"expiry":%q`, at.UTC().Format(time.RFC3339Nano))
			if at.Before(want) {
				want = at
			}
		}
		s := newScalekit(t, answer(200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1","organization_external_id":"tenant-1",
			"user_id":"usr_1","user_external_id":"user-1","custom_claims":{"scope":"a b","env":"prod"},"created_at":"2020-01-01T00:00:00Z","roles":["admin"]`+expiry+`}}`))
		claims, err := s.keys().Credential(t.Context(), "X-Api-Key", "key1")
		if err != nil || claims == nil {
			t.Fatalf("%v, %v", claims, err)
		}
		if claims.Subject != "usr_1" || claims.ClientID != "" || claims.TokenID != "apit_1" || claims.OrganizationID != "org_1" || claims.ExternalOrganizationID != "tenant-1" ||
			claims.ExternalUserID != "user-1" || !slices.Equal(claims.Scopes, []string{"a", "b"}) || !slices.Equal(claims.Roles, []string{"admin"}) {
			t.Errorf("claims %+v", claims)
		}
		if off := claims.ExpiresAt.Sub(want).Abs(); off > 10*time.Second {
			t.Errorf("a key that ends in %v: the session ends %v from what is right", end, off)
		}
	}
}

// TestTokenOfTheAPI is asked for once by many callers at once, and again when the API does not accept it any more.
func TestTokenOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newScalekit(t, answer(404, ""))
	keys := s.keys()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := keys.Credential(t.Context(), "Bearer", "key1"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.tokens.Load(); n != 1 {
		t.Errorf("%d tokens for 20 calls", n)
	}
	s.answers = answer(401, "")
	if _, err := keys.Credential(t.Context(), "Bearer", "key1"); err == nil {
		t.Error("a token that is not accepted is not an error")
	}
	s.answers = answer(404, "")
	if _, err := keys.Credential(t.Context(), "Bearer", "key1"); err != nil || s.tokens.Load() != 2 {
		t.Errorf("after it: %v, %d tokens", err, s.tokens.Load())
	}
}

// TestNothingIsSentElsewhere has the environment point to another server, which must not get the key or the secret.
func TestNothingIsSentElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("%s got %s", r.URL, body)
	}))
	t.Cleanup(elsewhere.Close)
	redirect := func(w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	s := newScalekit(t, redirect)
	if claims, err := s.keys().Credential(t.Context(), "Bearer", "key1"); err == nil || claims != nil {
		t.Errorf("the API redirects: %v, %v", claims, err)
	}
	all := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { redirect(w) }))
	t.Cleanup(all.Close)
	if claims, err := keysOf(all.URL).Credential(t.Context(), "Bearer", "key1"); err == nil || claims != nil {
		t.Errorf("the token endpoint redirects: %v, %v", claims, err)
	}
}

// TestIDsAreNotSent never asks Scalekit about what is not a key, above all not about the id of one.
func TestIDsAreNotSent(t *testing.T) {
	t.Parallel()
	s := newScalekit(t, func(w http.ResponseWriter) {
		t.Error("Scalekit was asked")
		answer(200, `{"token_info":{"token_id":"apit_1","organization_id":"org_1"}}`)(w)
	})
	for _, value := range []string{"apit_1", "apit_123456789012345", " apit_1", "APIT_1", "a.b", "usr_1", "key 1", "key\t1", `k"`, "ключ", "apit%5F1"} {
		if claims, err := s.keys().Credential(t.Context(), "Bearer", value); claims != nil || err != nil {
			t.Errorf("%q: %v, %v", value, claims, err)
		}
	}
}

// TestTokenEndpointHangs has a caller that waits for another's token give up with its own request.
func TestTokenEndpointHangs(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(hanging.Close)
	answer := sync.OnceFunc(func() { close(release) })
	t.Cleanup(answer) // before the server's end, which waits for its answers
	keys := keysOf(hanging.URL)
	first := make(chan error, 1)
	go func() {
		_, err := keys.Credential(t.Context(), "Bearer", "key1")
		first <- err
	}()
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		t.Fatal("the token endpoint is not asked")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if _, err := keys.Credential(ctx, "Bearer", "key1"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the caller that waits: %v", err)
	}
	answer()
	select {
	case err := <-first:
		if err == nil {
			t.Error("an empty answer of the token endpoint is not an error")
		}
	case <-time.After(30 * time.Second):
		t.Error("the caller still waits")
	}
}
