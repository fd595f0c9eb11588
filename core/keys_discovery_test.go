package mcpauth_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

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

func TestR55MoreKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change m
		status int
	}{
		"key_ops for verifying":      {m{"key_ops": []string{"verify"}}, 200},
		"key_ops for something else": {m{"key_ops": []string{"encrypt"}}, 503},
		"a private key":              {m{"d": "AQAB"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			jwk := f.env.Keys().Current().PublicJWK()
			maps.Copy(jwk, c.change)
			delete(jwk, "use")
			f.env.Handle(mcpauthtest.KeysPath, serveText(`{"keys":[`+string(marshal(jwk))+`]}`))
			if got := f.send(t, f.env.Token(nil)); got.status != c.status {
				t.Errorf("status %d, want %d", got.status, c.status)
			}
		})
	}
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

// TestErrorsAbridgeDocuments has a document with what may be a password: errors, which go to the log, don't repeat it.
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

// TestR55EachSourceHasItsOwnTimeout has a source of metadata that hangs.
func TestR55EachSourceHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env.Handle(mcpauthtest.MetadataPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	started := time.Now()
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK || time.Since(started) > 3*time.Second {
		t.Errorf("status %d after %v", got.status, time.Since(started))
	}
}

func TestR55KeyWithARepeatedMemberIsSkipped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := string(marshal(f.env.Keys().Current().PublicJWK()))
	f.env.Handle(mcpauthtest.KeysPath, serveText(`{"keys":[{"kty":"RSA","kid":"a","kid":"b"},`+good+`]}`))
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}

// TestPanicOfTheTransport happens on a goroutine of ours, where it would end the program.
func TestPanicOfTheTransport(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.HTTPClient = &http.Client{Transport: panicking{}} })
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("a bug of the user's") }

// TestR55KeysAreReadExactly has keys that jwx reads as something else than they say.
func TestR55KeysAreReadExactly(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(jwk m){
		"kty in another case":      func(jwk m) { jwk["ktY"] = jwk["kty"]; delete(jwk, "kty") },
		"an exponent of 65 bits":   func(jwk m) { jwk["e"] = "AQAAAAAAAQAB" },
		"a type in another case":   func(jwk m) { jwk["kty"] = "rsa" },
		"a type of another length": func(jwk m) { jwk["kty"] = "RSA " },
	} {
		f := newFixture(t, nil)
		jwk := f.env.Keys().Current().PublicJWK()
		change(jwk)
		f.env.Handle(mcpauthtest.KeysPath, serveText(string(marshal(m{"keys": []any{jwk}}))))
		if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
}
