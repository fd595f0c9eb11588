package mcpauth_test

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const serverMetadataPath = "/.well-known/oauth-authorization-server"

func getServerMetadata(t *testing.T, rs *mcpauth.ResourceServer) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	rs.Serve(w, httptest.NewRequest(http.MethodGet, serverMetadataPath, nil), func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
	return w
}

// TestServerMetadata asks a hundred times at once: the environment is asked once, and its document arrives byte for byte,
// with members that this server does not know.
func TestServerMetadata(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ServeAuthorizationServerMetadata = true })
	document := `{"issuer":"` + f.env.Issuer() + `","registration_endpoint":"https://elsewhere.example/register" , "x": {"y": [1.0]}}` + "\n"
	f.env.Handle(mcpauthtest.MetadataPath, serveText(document))
	inParallel(100, func(int) {
		if w := getServerMetadata(t, f.rs); w.Code != http.StatusOK || w.Body.String() != document {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	if n := f.env.Requests(mcpauthtest.MetadataPath); n != 1 {
		t.Errorf("the environment was asked %d times", n)
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 0 {
		t.Errorf("keys were asked for %d times", n)
	}
}

// TestServerMetadataOfAnother has a document with another issuer: it is not handed on, and the log says why.
func TestServerMetadataOfAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ServeAuthorizationServerMetadata = true })
	evil := serveText(`{"issuer":"https://evil.example","authorization_endpoint":"https://evil.example/authorize"}`)
	f.env.Handle(mcpauthtest.MetadataPath, evil)
	f.env.Handle(mcpauthtest.AppendedMetadataPath, evil)
	w := getServerMetadata(t, f.rs)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "evil") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	f.log.waitFor(t, "https://evil.example", "clients that ask for it get 503")
}

// TestServerMetadataWithoutTheSetting leaves the path to the routers.
func TestServerMetadataWithoutTheSetting(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	d := f.rs.Authenticate(t.Context(), mcpauth.Request{Method: "GET", Path: serverMetadataPath, Header: http.Header{}.Values})
	if d.Outcome != mcpauth.OutcomeNoCredentials || len(f.rs.MetadataRoutes()) != 2 {
		t.Errorf("%s, %d routes", d.Outcome, len(f.rs.MetadataRoutes()))
	}
}

// TestServerMetadataOfTwoResources registers it twice on one router, which panics with the cure.
func TestServerMetadataOfTwoResources(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ServeAuthorizationServerMetadata = true })
	defer func() {
		if said, _ := recover().(string); !strings.Contains(said, "set Config.ServeAuthorizationServerMetadata in that one alone") {
			t.Errorf("%s", said)
		}
	}()
	f.rs.RegisterMetadata(func(path string, _ http.Handler) {
		if path == serverMetadataPath {
			panic("taken")
		}
	})
}

// inside returns a server of TLS that stands for an internal address of env, and a client that trusts its authority.
func inside(t *testing.T, env *mcpauthtest.Environment) (server *httptest.Server, client *http.Client) {
	t.Helper()
	target, err := url.Parse(env.URL())
	if err != nil {
		t.Fatal(err)
	}
	server = httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, server.Client()
}

// TestInternalEnvironment reaches the environment at another address than clients do. Documents and tokens name the public one.
func TestInternalEnvironment(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	server, client := inside(t, env)
	public := "https://acme.scalekit.com"
	const issuer = "https://acme.scalekit.com/resources/res_test"
	env.Handle(mcpauthtest.MetadataPath, serveText(`{"issuer":"`+issuer+`","jwks_uri":"`+public+`/keys","registration_endpoint":"`+public+`/register"}`))
	cfg := env.Config(baseURL)
	cfg.EnvironmentURL, cfg.InternalEnvironmentURL, cfg.HTTPClient, cfg.ServeAuthorizationServerMetadata = public, server.URL, client, true
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for iss, want := range map[string]mcpauth.Outcome{
		issuer: mcpauth.OutcomeAllowed, public: mcpauth.OutcomeAllowed, server.URL: mcpauth.OutcomeInvalidToken, env.Issuer(): mcpauth.OutcomeInvalidToken,
	} {
		if got := authenticate(rs, env.Token(m{"iss": iss})).Outcome; got != want {
			t.Errorf("a token of %s: %s", iss, got)
		}
	}
	if n := env.Requests(mcpauthtest.MetadataPath); n != 1 {
		t.Errorf("metadata was asked for %d times", n)
	}
	if w := getServerMetadata(t, rs); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), public+"/register") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := string(mcpauth.ReplyOf(rs.MetadataRoutes()[0], "GET").Body); !strings.Contains(got, `"authorization_servers":["`+issuer+`"]`) {
		t.Errorf("%s", got)
	}
}

// TestInternalEnvironmentNamesItself has documents at the internal address that name it as their issuer, which is not believed,
// and one that redirects to the public address, which is not followed.
func TestInternalEnvironmentNamesItself(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	cfg := env.Config(baseURL)
	log := logTo(&cfg)
	cfg.EnvironmentURL, cfg.InternalEnvironmentURL = "https://acme.scalekit.com", env.URL()
	env.Handle(mcpauthtest.AppendedMetadataPath, http.RedirectHandler("https://acme.scalekit.com/x", http.StatusFound))
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := authenticate(rs, env.Token(m{"iss": cfg.EnvironmentURL})).Outcome; got != mcpauth.OutcomeAllowed {
		t.Errorf("%s, although the keys are there", got)
	}
	mcpauth.Settle(rs)
	log.waitFor(t, "is not accepted", "redirect to another origin refused")
}

// TestKeyFetchCures has addresses that can't work, and the cure that the log has for each.
func TestKeyFetchCures(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	server, trusting := inside(t, env)
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for name, c := range map[string]struct {
		address string
		client  *http.Client
		cure    string
	}{
		"https to a server of plain http":   {"https://" + strings.TrimPrefix(env.URL(), "http://"), nil, "the address speaks http, and its URL begins with https://"},
		"http to a server of TLS":           {"http://" + strings.TrimPrefix(server.URL, "https://"), nil, "write the address with https://"},
		"an authority that is not trusted":  {server.URL, nil, "if the certificate comes from an authority of your own, set Config.HTTPClient"},
		"a name that is not in certificate": {"https://localhost" + port, trusting, "the certificate is for another name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := env.Config(baseURL)
			log := logTo(&cfg)
			cfg.EnvironmentURL, cfg.InternalEnvironmentURL, cfg.HTTPClient = "https://acme.scalekit.com", c.address, c.client
			rs, err := mcpauth.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			// On a busy machine, the time for a fetch may be over before a handshake.
			for end := time.Now().Add(patience); !strings.Contains(log.String(), `cure="`+c.cure); time.Sleep(5 * time.Millisecond) {
				if err := rs.Ready(t.Context()); err == nil || time.Now().After(end) {
					t.Fatalf("%v; the cure is not in the log: %s", err, log)
				}
			}
		})
	}
}

// TestPrivateAuthority trusts one certificate authority, as an operator's client does.
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	server, client := inside(t, env)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if _, err := server.Certificate().Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		t.Fatal(err)
	}
	cfg := env.Config(baseURL)
	cfg.InternalEnvironmentURL, cfg.HTTPClient = server.URL, client
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rs.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestServerMetadataFaults has an environment that answers with something else for ten minutes, in which clients ask all the
// time: each gets 503 and when to come back, and the environment is asked as seldom as for keys. Then it recovers.
func TestServerMetadataFaults(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(serveText(`{"issuer":"https://acme.example"}`))
	t.Cleanup(elsewhere.Close)
	for name, fault := range map[string]http.Handler{
		"503":                        http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }),
		"nothing":                    serveText(""),
		"2 MiB":                      serveText(`{"x":"` + strings.Repeat("x", 2<<20) + `"}`),
		"a page":                     serveText("<!DOCTYPE html><title>Sign in</title>"),
		"an issuer too many":         serveText(`{"issuer":"https://acme.example","issuer":"https://acme.example"}`),
		"an issuer that is a list":   serveText(`{"issuer":["https://acme.example"]}`),
		"more than one document":     serveText(`{"issuer":"https://acme.example"}{}`),
		"a redirect to another host": http.RedirectHandler(elsewhere.URL, http.StatusFound),
		"a redirect to itself":       http.RedirectHandler("?again", http.StatusFound),
		"a broken connection":        http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			f := newFixture(t, func(cfg *mcpauth.Config) {
				cfg.ServeAuthorizationServerMetadata, cfg.Now, cfg.Issuers = true, clock.now, []string{"https://acme.example"}
			})
			f.env.Handle(mcpauthtest.MetadataPath, fault)
			f.env.Handle(mcpauthtest.AppendedMetadataPath, fault)
			for range 10 * 60 {
				w := getServerMetadata(t, f.rs)
				if after, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusServiceUnavailable || err != nil || after < 1 || after > 30 {
					t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				clock.advance(time.Second)
			}
			most := 24 // 2, 4, 8 and 16 s apart, then 30
			if name == "a redirect to itself" {
				most *= 4
			}
			if n := f.env.Requests(mcpauthtest.MetadataPath); n > most {
				t.Errorf("the environment was asked %d times in ten minutes", n)
			}
			f.env.Handle(mcpauthtest.MetadataPath, serveText(`{"issuer":"https://acme.example"}`))
			clock.advance(31 * time.Second)
			if w := getServerMetadata(t, f.rs); w.Code != http.StatusOK {
				t.Errorf("afterwards: %d %s", w.Code, w.Body)
			}
			f.env.Handle(mcpauthtest.MetadataPath, fault)
			clock.advance(23 * time.Hour)
			if w := getServerMetadata(t, f.rs); w.Code != http.StatusOK {
				t.Errorf("with a document from before: %d %s", w.Code, w.Body)
			}
			clock.advance(2 * time.Hour)
			if w := getServerMetadata(t, f.rs); w.Code != http.StatusServiceUnavailable {
				t.Errorf("with a document that is older than a day: %d %s", w.Code, w.Body)
			}
		})
	}
}
