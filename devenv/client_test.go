package devenv_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

const redirectURI = "http://127.0.0.1:7777/callback"

func start(t *testing.T, config devenv.Config) *devenv.Environment {
	t.Helper()
	if config.Addr == "" {
		config.Addr = "127.0.0.1:0"
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	env, err := devenv.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return env
}

// patience is how long a test waits for what has to come. Only a failing test waits that long.
const patience = 30 * time.Second

// browser follows no redirects: the tests check where the environment sends it.
var browser = &http.Client{
	Transport: network, Timeout: patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// await waits for a value from another goroutine.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
	}
	return value
}

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func get(t *testing.T, target string) answer {
	t.Helper()
	return do(t, request(t, http.MethodGet, target, nil))
}

func post(t *testing.T, target string, form url.Values) answer {
	t.Helper()
	req := request(t, http.MethodPost, target, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, req)
}

func request(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func (a answer) json(t *testing.T, status int) map[string]any {
	t.Helper()
	if a.status != status {
		t.Fatalf("status = %d, want %d: %s", a.status, status, a.body)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

func (a answer) wantError(t *testing.T, status int, code string) {
	t.Helper()
	if got := a.json(t, status)["error"]; got != code {
		t.Errorf("error = %v, want %s: %s", got, code, a.body)
	}
}

// A client does what an MCP client does.
type client struct {
	t        *testing.T
	id       string
	resource string // the authorization server's issuer, the base of its endpoints
	verifier string
	redirect string
}

func register(t *testing.T, env *devenv.Environment) *client {
	t.Helper()
	got := registerWith(t, env, `{"client_name":"A <client>","redirect_uris":["`+redirectURI+`"]}`).json(t, http.StatusCreated)
	id, _ := got["client_id"].(string)
	return newClient(t, env, id)
}

func registerWith(t *testing.T, env *devenv.Environment, body string) answer {
	t.Helper()
	req := request(t, http.MethodPost, registrationURL(env), strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	return do(t, req)
}

func newClient(t *testing.T, env *devenv.Environment, id string) *client {
	return &client{
		t: t, id: id, resource: env.URL() + "/resources/" + env.ResourceID(),
		verifier: rand.Text() + rand.Text(), redirect: redirectURI,
	}
}

// authorizeURL sets the required parameters, then those in more. An empty value removes one.
func (c *client) authorizeURL(more map[string]string) string {
	challenge := sha256.Sum256([]byte(c.verifier))
	query := url.Values{
		"response_type":         {"code"},
		"client_id":             {c.id},
		"redirect_uri":          {c.redirect},
		"scope":                 {"greet:write offline_access"},
		"state":                 {"the state"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	for name, value := range more {
		query.Set(name, value)
		if value == "" {
			query.Del(name)
		}
	}
	return c.resource + "/oauth/authorize?" + query.Encode()
}

var (
	formAction  = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// form reads the sign-in page as a program would that relies only on the package's documentation.
func (c *client) form(page answer) (action string, fields url.Values) {
	c.t.Helper()
	match := formAction.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || match == nil {
		c.t.Fatalf("status %d instead of the sign-in page: %s", page.status, page.body)
	}
	fields = url.Values{}
	for _, hidden := range hiddenField.FindAllStringSubmatch(page.body, -1) {
		fields.Set(hidden[1], html.UnescapeString(hidden[2]))
	}
	return html.UnescapeString(match[1]), fields
}

// signIn submits the form and returns the query of the redirect to the client.
func (c *client) signIn(user, decision string, more map[string]string) url.Values {
	c.t.Helper()
	action, fields := c.form(get(c.t, c.authorizeURL(more)))
	fields.Set("user", user)
	fields.Set("decision", decision)
	return c.redirected(post(c.t, action, fields))
}

func (c *client) redirected(a answer) url.Values {
	c.t.Helper()
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), c.redirect) {
		c.t.Fatalf("status %d to %q instead of a redirect to the client: %s", a.status, a.header.Get("Location"), a.body)
	}
	if location.Fragment == "" {
		return location.Query()
	}
	query, err := url.ParseQuery(location.Fragment)
	if err != nil {
		c.t.Fatal(err)
	}
	return query
}

func (c *client) redeem(code string, more map[string]string) answer {
	c.t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.redirect},
		"client_id": {c.id}, "code_verifier": {c.verifier},
	}
	for name, value := range more {
		form.Set(name, value)
	}
	return post(c.t, c.resource+"/oauth/token", form)
}

// tokens runs the whole flow, and returns the token response.
func (c *client) tokens(user string, more map[string]string) map[string]any {
	c.t.Helper()
	code := c.signIn(user, "approve", more).Get("code")
	if code == "" {
		c.t.Fatal("the redirect has no code")
	}
	return c.redeem(code, nil).json(c.t, http.StatusOK)
}

func (c *client) refresh(token any) answer {
	c.t.Helper()
	s, _ := token.(string)
	return post(c.t, c.resource+"/oauth/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {s}, "client_id": {c.id},
	})
}

// verify checks a token's signature with nothing but the published keys, and returns its header and claims.
func verify(t *testing.T, env *devenv.Environment, token any) (header, claims map[string]any) {
	t.Helper()
	s, _ := token.(string)
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWT", s)
	}
	decode := func(part string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, dst := range []*map[string]any{&header, &claims} {
		d := json.NewDecoder(bytes.NewReader(decode(parts[i])))
		d.UseNumber()
		if err := d.Decode(dst); err != nil {
			t.Fatal(err)
		}
	}
	var set struct {
		Keys []struct{ Kid, Kty, Use, Alg, N, E string }
	}
	if err := json.Unmarshal([]byte(get(t, env.URL()+"/keys").body), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k.Kid != header["kid"] {
			continue
		}
		if k.Kty != "RSA" || k.Use != "sig" || k.Alg != "RS256" || !strings.HasPrefix(k.Kid, "snk_") {
			t.Errorf("key = %+v", k)
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(decode(k.N)), E: int(new(big.Int).SetBytes(decode(k.E)).Int64())}
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], decode(parts[2])); err != nil {
			t.Fatalf("signature: %v", err)
		}
		return header, claims
	}
	t.Fatalf("kid %v is not published", header["kid"])
	return nil, nil
}
