package mcpauth_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR51Sources takes sources of metadata away, and makes others say what must not be believed: which places are asked.
func TestR51Sources(t *testing.T) {
	t.Parallel()
	none := http.NotFoundHandler()
	foreign := serveText(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}`)
	for _, c := range []struct {
		name     string
		handlers func(env *mcpauthtest.Environment) map[string]http.Handler
		want     map[string]int // requests
	}{
		{"inserted", nil, map[string]int{mcpauthtest.MetadataPath: 1, mcpauthtest.AppendedMetadataPath: 0, mcpauthtest.OpenIDPath: 0, mcpauthtest.KeysPath: 1}},
		{"appended", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: none}
		}, map[string]int{mcpauthtest.AppendedMetadataPath: 1, mcpauthtest.OpenIDPath: 0, mcpauthtest.KeysPath: 1}},
		{"OpenID Connect's", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: none, mcpauthtest.AppendedMetadataPath: none}
		}, map[string]int{mcpauthtest.OpenIDPath: 1, mcpauthtest.KeysPath: 1}},
		{"none", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: none, mcpauthtest.AppendedMetadataPath: none, mcpauthtest.OpenIDPath: none}
		}, map[string]int{mcpauthtest.KeysPath: 1}},
		{"a foreign issuer is not believed", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: foreign}
		}, map[string]int{mcpauthtest.AppendedMetadataPath: 1, mcpauthtest.KeysPath: 1}},
		{"keys elsewhere are not believed", func(env *mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: serveText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://evil.example/keys"}`, env.Issuer()))}
		}, map[string]int{mcpauthtest.AppendedMetadataPath: 1, mcpauthtest.KeysPath: 1}},
		{"a failing server", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })}
		}, map[string]int{mcpauthtest.AppendedMetadataPath: 1, mcpauthtest.KeysPath: 1}},
		{"a redirect elsewhere", func(*mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{mcpauthtest.MetadataPath: http.RedirectHandler("http://localhost:1/x", http.StatusFound)}
		}, map[string]int{mcpauthtest.AppendedMetadataPath: 1, mcpauthtest.KeysPath: 1}},
		{"keys in another place of the environment", func(env *mcpauthtest.Environment) map[string]http.Handler {
			return map[string]http.Handler{
				mcpauthtest.MetadataPath: serveText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/elsewhere"}`, env.URL(), env.URL())),
				"/elsewhere":             serveText(string(env.Keys().JWKS())),
				mcpauthtest.KeysPath:     none,
			}
		}, map[string]int{"/elsewhere": 1, mcpauthtest.KeysPath: 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			if c.handlers != nil {
				for path, h := range c.handlers(f.env) {
					f.env.Handle(path, h)
				}
			}
			if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK {
				t.Errorf("status %d: %s", got.status, got.text)
			}
			for path, n := range c.want {
				if got := f.env.Requests(path); got != n {
					t.Errorf("%s was asked %d times, want %d", path, got, n)
				}
			}
		})
	}
}

// TestR51FallbackIsNotPinned has an environment without metadata at first. The next fetch finds the metadata, and the keys
// where it says.
func TestR51FallbackIsNotPinned(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now; cfg.Cache.Disabled = true })
	for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, mcpauthtest.OpenIDPath} {
		f.env.Handle(path, http.NotFoundHandler())
	}
	if got := f.send(t, f.env.Token(m{"exp": 9e9})); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	f.env.Handle(mcpauthtest.MetadataPath, serveText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/moved"}`, f.env.Issuer(), f.env.URL())))
	f.env.Handle("/moved", serveText(string(f.env.Keys().JWKS())))
	c.advance(15 * time.Minute) // old enough for the request to wait for the refresh
	if got := f.send(t, f.env.Token(m{"exp": 9e9})); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	if n := f.env.Requests("/moved"); n != 1 {
		t.Errorf("the place that the metadata names was asked %d times, want 1", n)
	}
}

// TestR51PinIsGivenUp has metadata that names the place of the keys. It is asked for again after an hour, or as soon as
// that place fails.
func TestR51PinIsGivenUp(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now; cfg.Cache.Disabled = true })
	token := f.env.Token(m{"exp": 9e9})
	ask := func(after time.Duration, metadata int) {
		t.Helper()
		c.advance(after)
		if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeAllowed {
			t.Errorf("%s", d.Outcome)
		}
		if n := f.env.Requests(mcpauthtest.MetadataPath); n != metadata {
			t.Errorf("metadata was asked for %d times, want %d", n, metadata)
		}
	}
	ask(0, 1)
	ask(15*time.Minute, 1) // keys from the pinned place
	ask(61*time.Minute, 2) // an hour later it is looked for again
	f.env.Handle(mcpauthtest.MetadataPath, serveText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%s/moved"}`, f.env.Issuer(), f.env.URL())))
	f.env.Handle("/moved", serveText(string(f.env.Keys().JWKS())))
	f.env.Handle(mcpauthtest.KeysPath, http.NotFoundHandler())
	ask(15*time.Minute, 3) // the pinned place fails: at once looked for again
}

func TestR51UserInformationInJWKSURI(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.MetadataPath, serveText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, f.env.Issuer(), strings.Replace(f.env.URL(), "://", "://u:p@", 1)+"/elsewhere")))
	f.send(t, f.env.Token(nil))
	if n := f.env.Requests("/elsewhere"); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestErrorsAbridgeDocuments has metadata with a password in a URL. Errors go to the log, and don't repeat it.
func TestErrorsAbridgeDocuments(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.KeysPath, http.NotFoundHandler())
	for field, document := range map[string]string{
		"issuer":   `{"issuer":"https://u:hunter2@env.example"}`,
		"jwks_uri": fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://u:hunter2@env.example"}`, f.env.Issuer()),
	} {
		rs, err := mcpauth.New(f.env.Config(baseURL))
		if err != nil {
			t.Fatal(err)
		}
		f.env.Handle(mcpauthtest.MetadataPath, serveText(document))
		err = rs.Ready(t.Context())
		if text := fmt.Sprint(err); !strings.Contains(text, field+` "[redacted]" is not`) || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", field, text)
		}
	}
}

func TestR55Redirects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.KeysPath, http.RedirectHandler(mcpauthtest.KeysPath, http.StatusFound))
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n > 4 {
		t.Errorf("a loop of redirects was followed %d times", n)
	}
}

// TestHTTPClientKeepsItsRedirectPolicy has a Config.HTTPClient that follows no redirects: none is followed.
func TestHTTPClientKeepsItsRedirectPolicy(t *testing.T) {
	t.Parallel()
	asked := false
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.HTTPClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { asked = true; return http.ErrUseLastResponse }}
	})
	f.env.Handle(mcpauthtest.KeysPath, http.RedirectHandler("/elsewhere", http.StatusFound))
	f.env.Handle("/elsewhere", serveText(string(f.env.Keys().JWKS())))
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable || !asked {
		t.Errorf("status %d, asked %v", got.status, asked)
	}
}

func TestR51RedirectElsewhereIsNotFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	evil := mcpauthtest.NewEnvironment()
	defer evil.Close()
	for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, mcpauthtest.OpenIDPath, mcpauthtest.KeysPath} {
		f.env.Handle(path, http.RedirectHandler(evil.URL()+mcpauthtest.KeysPath, http.StatusFound))
	}
	if got := f.send(t, f.env.Mint(mcpauthtest.Token{Key: evil.Keys().Current()})); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
	if n := evil.Requests(mcpauthtest.KeysPath); n != 0 {
		t.Errorf("the other origin was asked %d times", n)
	}
}

func TestR51ForeignIssuerOnOurOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.MetadataPath, serveText(fmt.Sprintf(`{"issuer":"https://evil.example","jwks_uri":"%s/elsewhere"}`, f.env.URL())))
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
	if n := f.env.Requests("/elsewhere"); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestR91SlowEnvironment has documents over sockets that take long each: the first request gets in, within the time that it
// waits, and the next fetch asks for one document. The longest take 3.5 s of the 5 s that a request waits.
func TestR91SlowEnvironment(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("its times are real")
	}
	for _, delay := range []time.Duration{1700 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			c := newClock()
			f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
			f.env.SetDelay(delay)
			token := f.env.Token(m{"exp": c.now().Add(time.Hour).Unix()})
			if got := f.insist(t, token); got.status != http.StatusOK {
				t.Fatalf("status %d\n%s", got.status, f.log)
			}
			if metadata, keys := f.env.Requests(mcpauthtest.MetadataPath), f.env.Requests(mcpauthtest.KeysPath); metadata != 1 || keys != 1 {
				t.Errorf("metadata was asked for %d times, keys %d times", metadata, keys)
			}
			c.advance(15 * time.Minute) // old enough for the request to wait for the refresh
			fresh := f.env.Keys().Rotate()
			if got := f.insist(t, f.env.Mint(mcpauthtest.Token{Key: fresh, Claims: m{"exp": c.now().Add(time.Hour).Unix()}})); got.status != http.StatusOK {
				t.Errorf("a new key: status %d\n%s", got.status, f.log)
			}
			if n := f.env.Requests(mcpauthtest.MetadataPath); n != 1 {
				t.Errorf("metadata was asked for %d times", n)
			}
			if n := f.env.Requests(mcpauthtest.KeysPath); n != 2 {
				t.Errorf("keys were asked for %d times", n)
			}
		})
	}
}

// TestR51KeysOfAnIssuerWithAnotherName has documents of an environment that also has another name, by which an accepted issuer knows it.
// The keys are fetched where the documents say, at the address of the environment. Another document's issuer counts for nothing.
func TestR51KeysOfAnIssuerWithAnotherName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		issuer, jwksURI string
		want            int // requests for the address that the document names
	}{
		{"https://acme.example", "https://acme.example/jwks", 1},
		{"https://acme.example/resources/res_test", "https://acme.example/jwks", 1},
		{"https://acme.example", "https://other.example/jwks", 0},
		{"https://acme.example", "http://acme.example/jwks", 0},
		{"", "https://acme.example/jwks", 0}, // of the environment itself
	} {
		f := newFixture(t, func(cfg *mcpauth.Config) {
			cfg.Issuers = []string{"https://acme.example", "https://acme.example/resources/res_test", "https://other.example"}
		})
		issuer := cmp.Or(c.issuer, f.env.Issuer())
		document := serveText(`{"issuer":"` + issuer + `","jwks_uri":"` + c.jwksURI + `"}`)
		for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.AppendedMetadataPath, "/.well-known/openid-configuration"} {
			f.env.Handle(path, document)
		}
		f.env.Handle("/jwks", serveText(string(marshal(m{"keys": []any{f.env.Keys().Current().PublicJWK()}}))))
		if d := authenticate(f.rs, f.env.Token(m{"iss": "https://acme.example"})); d.Outcome != mcpauth.OutcomeAllowed {
			t.Errorf("%s: %s", issuer, d.Outcome)
		}
		if n := f.env.Requests("/jwks"); n != c.want || f.env.Requests(mcpauthtest.KeysPath) != 1-c.want {
			t.Errorf("%s with %s: %d requests there, %d for the default", issuer, c.jwksURI, n, f.env.Requests(mcpauthtest.KeysPath))
		}
	}
}
