package devenv_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// A documentHost serves client metadata documents, and counts every request.
type documentHost struct {
	*httptest.Server
	requests atomic.Int32
}

func hostDocuments(t *testing.T) *documentHost {
	t.Helper()
	host := &documentHost{}
	host.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.requests.Add(1)
		id, redirect, more := host.URL+r.URL.Path, redirectURI, ""
		switch r.URL.Path {
		case "/client.json", "/second.json":
		case "/other.json": // its client_id is another URL
			id = host.URL + "/client.json"
		case "/moved.json":
			http.Redirect(w, r, "/client.json", http.StatusFound)
			return
		case "/scheme.json":
			redirect = "view-source:" + redirectURI
		case "/large.json":
			more = `,"x":"` + strings.Repeat("x", 1<<20) + `"`
		case "/twice.json":
			more = `,"client_id":"x"`
		case "/secret.json":
			more = `,"token_endpoint_auth_method":"client_secret_post"`
		default:
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"client_id":%q,"client_name":"A document","redirect_uris":[%q]%s}`, id, redirect, more)
	}))
	t.Cleanup(host.Close)
	return host
}

func TestClientMetadataDocument(t *testing.T) {
	t.Parallel()
	host, env := hostDocuments(t), start(t, devenv.Config{})
	c := newClient(t, env, host.URL+"/client.json")
	if page := get(t, c.authorizeURL(nil)); !strings.Contains(page.body, "A document") {
		t.Errorf("the page: %d %s", page.status, page.body)
	}
	got := c.tokens("usr_ada", nil)
	if _, claims := verify(t, env, got["access_token"]); claims["client_id"] != c.id {
		t.Errorf("client_id = %v", claims["client_id"])
	}
	if got := c.refresh(got["refresh_token"]); got.status != http.StatusOK {
		t.Errorf("refresh: %d %s", got.status, got.body)
	}
	if n := host.requests.Load(); n != 1 {
		t.Errorf("fetched %d times, want 1", n)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	host, env := hostDocuments(t), start(t, devenv.Config{})
	refused := func(id string) {
		t.Helper()
		got := get(t, newClient(t, env, id).authorizeURL(nil))
		if got.status != http.StatusBadRequest || got.header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", id, got.status, got.header.Get("Location"))
		}
	}
	for _, path := range []string{"/other.json", "/missing.json", "/moved.json", "/scheme.json", "/large.json", "/twice.json", "/secret.json"} {
		before := host.requests.Load()
		refused(host.URL + path)
		if n := host.requests.Load() - before; n != 1 {
			t.Errorf("%s: %d requests, want 1", path, n)
		}
	}
	before := host.requests.Load()
	for _, id := range []string{
		host.URL,
		host.URL + "/",
		host.URL + "/a/../client.json",
		host.URL + "/%2e%2e/client.json",
		host.URL + "/client.json#f",
		strings.Replace(host.URL, "://", "://user@", 1) + "/client.json",
		strings.Replace(host.URL, "://", ":///", 1) + "/client.json",
		strings.Replace(host.URL, "http", "ftp", 1) + "/client.json",
		env.URL() + "/keys",
		"http://192.0.2.1/client.json", // neither https nor loopback
		"https://10.0.0.1/client.json",
		"https://169.254.169.254/latest/meta-data",
		"https://[::ffff:10.0.0.1]/client.json",
		"https://0.0.0.0/client.json",
		"m2m_unknown",
	} {
		refused(id)
	}
	if n := host.requests.Load() - before; n != 0 {
		t.Errorf("%d requests for invalid client ids", n)
	}
}

// A website can make a browser send each of these requests without the person's consent.
func TestNothingIsFetchedForARequestThatIsNoAuthorization(t *testing.T) {
	t.Parallel()
	host, env := hostDocuments(t), start(t, devenv.Config{})
	id := host.URL + "/client.json"
	c := newClient(t, env, id)

	post(t, c.resource+"/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {redirectURI}, "client_id": {id}, "code_verifier": {c.verifier},
	}).wantError(t, http.StatusUnauthorized, "invalid_client")
	c.refresh("x").wantError(t, http.StatusUnauthorized, "invalid_client")
	for _, grant := range []string{"client_credentials", "password", ""} {
		post(t, c.resource+"/oauth/token", url.Values{"grant_type": {grant}, "client_id": {id}})
	}
	basic := request(t, http.MethodPost, c.resource+"/oauth/token", strings.NewReader("grant_type=authorization_code&code=x"))
	basic.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	basic.SetBasicAuth(id, "")
	do(t, basic)
	plain := request(t, http.MethodPost, c.resource+"/oauth/token?client_id="+url.QueryEscape(id), strings.NewReader("client_id="+id))
	plain.Header.Set("Content-Type", "text/plain")
	do(t, plain)
	post(t, c.resource+"/oauth/revoke", url.Values{"client_id": {id}, "token": {"x"}})
	registerWith(t, env, `{"client_id":"`+id+`","client_uri":"`+id+`","logo_uri":"`+id+`","jwks_uri":"`+id+`","redirect_uris":["https://e.example/cb"]}`)

	for name, req := range map[string]*http.Request{
		"HEAD":              request(t, http.MethodHead, c.authorizeURL(nil), nil),
		"PUT":               request(t, http.MethodPut, c.authorizeURL(nil), nil),
		"a query with POST": request(t, http.MethodPost, c.authorizeURL(nil), nil),
	} {
		if got := do(t, req); got.status == http.StatusOK {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	for name, headers := range map[string][2]string{
		"an image": {"Sec-Fetch-Dest", "image"}, "a script": {"Sec-Fetch-Dest", "empty"}, "a frame": {"Sec-Fetch-Dest", "iframe"}, "a prefetch": {"Sec-Purpose", "prefetch"},
	} {
		req := request(t, http.MethodGet, c.authorizeURL(nil), nil)
		req.Header.Set(headers[0], headers[1])
		if got := do(t, req); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	for name, more := range map[string]map[string]string{
		"no challenge": {"code_challenge": ""}, "plain challenge": {"code_challenge_method": "plain"}, "implicit": {"response_type": "token"},
		"no redirect": {"redirect_uri": ""}, "a script to return to": {"redirect_uri": "javascript:alert(1)"},
	} {
		if got := get(t, c.authorizeURL(more)); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if got := get(t, c.authorizeURL(nil)+"&client_id=x"); got.status != http.StatusBadRequest {
		t.Errorf("two client ids: %d", got.status)
	}
	if n := host.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	navigation := request(t, http.MethodGet, c.authorizeURL(nil), nil)
	navigation.Header.Set("Sec-Fetch-Dest", "document")
	navigation.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := do(t, navigation); got.status != http.StatusOK || host.requests.Load() != 1 {
		t.Errorf("a navigation: %d after %d requests", got.status, host.requests.Load())
	}
}

// Authorization requests for two clients run in parallel, with requests to the token endpoint that name a third client.
func TestConcurrentAuthorizationsShareAFetch(t *testing.T) {
	t.Parallel()
	host, env := hostDocuments(t), start(t, devenv.Config{})
	var wg sync.WaitGroup
	for range 8 {
		for _, path := range []string{"/client.json", "/second.json"} {
			wg.Go(func() {
				if got := get(t, newClient(t, env, host.URL+path).authorizeURL(nil)); got.status != http.StatusOK {
					t.Errorf("%s: %d %s", path, got.status, got.body)
				}
			})
		}
		wg.Go(func() { newClient(t, env, host.URL+"/third.json").refresh("x") })
	}
	wg.Wait()
	if n := host.requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
