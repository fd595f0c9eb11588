package mcpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

func serveText(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
}

// inParallel calls do n times at once.
func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

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

// TestR52UnknownKids sends a thousand tokens with unknown kids at once. One of them is looked up right away, all others by
// the next fetch. Good tokens don't notice.
func TestR52UnknownKids(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := f.env.Token(nil)
	if got := f.send(t, good); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	before := f.env.Requests(mcpauthtest.KeysPath)
	stranger := mcpauthtest.NewKey("x")
	forged := make([]string, 1000)
	for i := range forged {
		forged[i] = f.env.Mint(mcpauthtest.Token{Key: stranger, Header: m{"kid": fmt.Sprint("snk_", i)}})
	}
	var denied atomic.Int64
	began := time.Now()
	inParallel(len(forged), func(i int) {
		started := time.Now()
		if d := authenticate(f.rs, good); d.Outcome != mcpauth.OutcomeAllowed || time.Since(started) > 3*time.Second {
			t.Errorf("a good token in the flood: %s after %v", d.Outcome, time.Since(started))
		}
		if authenticate(f.rs, forged[i]).Outcome == mcpauth.OutcomeInvalidToken {
			denied.Add(1)
		}
	})
	if denied.Load() != 1000 {
		t.Errorf("%d of 1000 were invalid_token", denied.Load())
	}
	most := 2 + int(time.Since(began)/(4*time.Second)) // a busy machine sends them for longer
	if n := f.env.Requests(mcpauthtest.KeysPath) - before; n < 1 || n > most {
		t.Errorf("%d extra requests for keys, want 1 to %d", n, most)
	}
	// A wrong signature under a known kid causes none at all.
	before = f.env.Requests(mcpauthtest.KeysPath)
	for range 20 {
		authenticate(f.rs, f.env.Mint(mcpauthtest.Token{Key: stranger, Header: m{"kid": f.env.Keys().Current().ID()}}))
	}
	if n := f.env.Requests(mcpauthtest.KeysPath) - before; n != 0 {
		t.Errorf("wrong signatures caused %d requests", n)
	}
	for _, cause := range []string{"no key of the environment has the token's kid", "the token's signature is wrong"} {
		if !strings.Contains(f.log.String(), `cause="`+cause+`"`) {
			t.Errorf("the log does not say that %s", cause)
		}
	}
}

func TestR52UnknownKidWhileTheEnvironmentIsDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := f.env.Token(nil)
	f.send(t, good)
	f.env.Stop()
	if got := f.send(t, f.env.Mint(mcpauthtest.Token{Header: m{"kid": "snk_unknown"}})); got.status != http.StatusServiceUnavailable {
		t.Errorf("an unknown kid: status %d, want 503", got.status)
	}
	if got := f.send(t, good); got.status != http.StatusOK {
		t.Errorf("a good token: status %d, want 200", got.status)
	}
}

func TestR53Rotation(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	claims := m{"exp": c.now().Add(time.Hour).Unix()}
	old := f.env.Keys().Current()
	oldToken := f.env.Token(claims)
	for i := range 2 { // the second time at once
		token := f.env.Token(claims)
		if got := f.send(t, token); got.status != http.StatusOK {
			t.Fatalf("after rotation %d: status %d", i, got.status)
		}
		f.env.Keys().Rotate()
	}
	if got := f.send(t, oldToken); got.status != http.StatusOK {
		t.Fatalf("an old key that is still published: status %d", got.status)
	}
	f.env.Keys().Withdraw(old)
	c.advance(11 * time.Minute)
	f.send(t, f.env.Token(claims))
	if got := f.send(t, oldToken); got.status != http.StatusUnauthorized {
		t.Errorf("a withdrawn key, after the maximum age: status %d, want 401", got.status)
	}
}

func TestR53WithdrawnKeyTakesItsCachedTokensAlong(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.MaxAge = 10 * time.Minute })
	old := f.env.Keys().Current()
	token := f.env.Token(nil)
	f.send(t, token)
	f.env.Keys().Rotate()
	f.env.Keys().Withdraw(old)
	f.send(t, f.env.Token(nil)) // its kid is unknown: a refetch
	if got := f.send(t, token); got.status != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", got.status)
	}
}

func TestR54DownAtStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	token := f.env.Token(nil)
	f.env.Stop()
	got := f.send(t, token)
	if got.status != http.StatusServiceUnavailable || got.body.Error != "temporarily_unavailable" || got.challenge != "" {
		t.Fatalf("status %d, challenge %q, body %s", got.status, got.challenge, got.text)
	}
	wait, err := strconv.Atoi(got.retryAfter)
	if err != nil || wait < 1 || wait > 30 {
		t.Fatalf("Retry-After %q", got.retryAfter)
	}
	if err := f.rs.Ready(context.Background()); err == nil {
		t.Error("ready without the environment")
	}
	f.env.Start()
	deadline := time.Now().Add(10 * time.Second)
	for f.send(t, token).status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("no recovery within 10 s of the environment's return")
		}
		time.Sleep(50 * time.Millisecond) // the backoff is real here; keyset_internal_test.go has it on a fake clock
	}
	if err := f.rs.Ready(context.Background()); err != nil {
		t.Errorf("not ready after the return: %v", err)
	}
}

func TestR54KeysSurviveAnOutage(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Now = c.now })
	token := f.env.Token(m{"exp": c.now().Add(48 * time.Hour).Unix()})
	f.send(t, token)
	f.env.Stop()
	for range 23 {
		c.advance(time.Hour)
		if got := f.send(t, token); got.status != http.StatusOK {
			t.Fatalf("in the outage: status %d", got.status)
		}
	}
	if !strings.Contains(f.log.String(), `level=WARN msg="JWKS resolution failed; the keys from before stay in use"`) {
		t.Errorf("no warning in the log:\n%s", f.log)
	}
	c.advance(2 * time.Hour)
	if got := f.send(t, token); got.status != http.StatusServiceUnavailable {
		t.Errorf("after a day: status %d, want 503", got.status)
	}
	f.env.Start()
	c.advance(time.Minute)
	if got := f.send(t, token); got.status != http.StatusOK {
		t.Errorf("after the return: status %d, want 200", got.status)
	}
}

func TestR55Documents(t *testing.T) {
	t.Parallel()
	other := func(change func(jwk m)) string {
		jwk := mcpauthtest.NewKey("snk_other").PublicJWK()
		change(jwk)
		return string(marshal(jwk))
	}
	for _, c := range []struct {
		name   string
		keys   func(good string) string
		status int
	}{
		{"garbage", func(string) string { return "\x00\x01" }, 503},
		{"HTML", func(string) string { return "<html>" }, 503},
		{"nothing", func(string) string { return "" }, 503},
		{"null", func(string) string { return "null" }, 503},
		{"an array", func(good string) string { return "[" + good + "]" }, 503},
		{"no keys", func(string) string { return `{"keys":[]}` }, 503},
		{"keys null", func(string) string { return `{"keys":null}` }, 503},
		{"no member keys", func(string) string { return `{}` }, 503},
		{"two members keys", func(good string) string { return `{"keys":[` + good + `],"keys":[]}` }, 503},
		{"too long", func(good string) string { return `{"keys":[` + good + strings.Repeat(" ", 1<<20) + `]}` }, 503},
		{"only a key for encryption", func(good string) string { return `{"keys":[` + strings.Replace(good, `"sig"`, `"enc"`, 1) + `]}` }, 503},
		{"only a key for another algorithm", func(good string) string { return `{"keys":[` + strings.Replace(good, `"RS256"`, `"PS256"`, 1) + `]}` }, 503},
		{"a key for encryption beside", func(good string) string {
			return `{"keys":[` + other(func(k m) { k["use"] = "enc" }) + "," + good + `]}`
		}, 200},
		{"an unknown type beside", func(good string) string { return `{"keys":[{"kty":"XYZ","kid":"a"},` + good + `]}` }, 200},
		{"an elliptic key beside", func(good string) string {
			return `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"},` + good + `]}`
		}, 200},
		{"a symmetric key beside", func(good string) string { return `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"},` + good + `]}` }, 200},
		{"a broken modulus beside", func(good string) string { return `{"keys":[{"kty":"RSA","kid":"a","n":"!","e":"AQAB"},` + good + `]}` }, 200},
		{"a number beside", func(good string) string { return `{"keys":[1,` + good + `]}` }, 200},
		{"a key without alg", func(good string) string { return `{"keys":[` + strings.Replace(good, `"alg":"RS256",`, "", 1) + `]}` }, 200},
		{"a key without use", func(good string) string { return `{"keys":[` + strings.Replace(good, `"use":"sig"`, `"x":1`, 1) + `]}` }, 200},
		{"a key without kid", func(good string) string { return `{"keys":[` + strings.Replace(good, `"kid"`, `"x"`, 1) + `]}` }, 503},
		{"a key that is too short", func(string) string {
			return `{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("x", 170) + `"}]}`
		}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.env.Handle(mcpauthtest.KeysPath, serveText(c.keys(string(marshal(f.env.Keys().Current().PublicJWK())))))
			if got := f.send(t, f.env.Token(nil)); got.status != c.status {
				t.Errorf("status %d, want %d\n%s", got.status, c.status, f.log)
			}
		})
	}
}

func TestR52ColdStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	tokens := make([]string, 500)
	for i := range tokens {
		tokens[i] = f.env.Token(m{"sub": fmt.Sprintf("usr_%d", i)})
	}
	inParallel(len(tokens), func(i int) {
		if d := authenticate(f.rs, tokens[i]); d.Session == nil || d.Session.UserID() != fmt.Sprintf("usr_%d", i) {
			t.Errorf("request %d: %s", i, d.Outcome)
		}
	})
	for _, path := range []string{mcpauthtest.MetadataPath, mcpauthtest.KeysPath} {
		if n := f.env.Requests(path); n != 1 {
			t.Errorf("%s was asked %d times, want 1", path, n)
		}
	}
}
