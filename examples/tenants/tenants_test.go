package tenants_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	"github.com/scalekit-mcp/mcpauth/examples/tenants"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// TestTenants has the client of each tenant served by the tenant's server, with one key fetch for all.
func TestTenants(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tenant := range []string{"acme", "globex"} {
		if got := f.whoami(t, tenant); got != "usr_1 at "+tenant {
			t.Errorf("%s: %q", tenant, got)
		}
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 1 {
		t.Errorf("%d key fetches, want 1", n)
	}
}

// TestTenantsApart has a token for one tenant refused by another, which leads the client to its own metadata.
func TestTenantsApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got := f.do(t, http.MethodPost, "/globex/mcp", f.token("acme"))
	metadata := "/.well-known/oauth-protected-resource/globex/mcp"
	if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), f.url+metadata) {
		t.Errorf("%d %s", got.status, got.header.Get("WWW-Authenticate"))
	}
	got = f.do(t, http.MethodGet, metadata, "")
	if got.status != http.StatusOK || !strings.Contains(got.body, `"resource":"`+f.url+`/globex/mcp"`) ||
		!strings.Contains(got.body, "/resources/res_globex") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestTenantsThatDoNotExist has 404 for every path that names no tenant, with a line that says what to do.
func TestTenantsThatDoNotExist(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct{ path, logged string }{
		{"/unknown/mcp", "unknown tenant"},
		{"/acme%2Fglobex/mcp", "the path names no tenant"},
		{"/acme%2F..%2Fglobex/mcp", "the path names no tenant"},
		{"/ACME/mcp", "the path names no tenant"},
		{"/%61cme%20/mcp", "the path names no tenant"},
		{"/.well-known/oauth-protected-resource/unknown/mcp", "unknown tenant"},
		{"/.well-known/oauth-protected-resource/acme%2Fglobex/mcp", "the path names no tenant"},
	} {
		before := len(f.log.String())
		if got := f.do(t, http.MethodPost, c.path, f.token("acme")); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", c.path, got.status)
		}
		if logged := f.log.String()[before:]; !strings.Contains(logged, c.logged) || !strings.Contains(logged, "cure=") {
			t.Errorf("%s: the log says %q", c.path, logged)
		}
	}
}

// TestTenantsLookedUpAgain has 503 while the database is away, and a tenant that was forgotten looked up again.
func TestTenantsLookedUpAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got := f.do(t, http.MethodPost, "/broken/mcp", f.token("acme"))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "database") {
		t.Errorf("%d %s", got.status, got.body)
	}
	f.whoami(t, "acme")
	f.tenants.Forget("acme")
	f.whoami(t, "acme")
}

// TestTenantsBehindAPrefix has a proxy in front that strips a prefix. The metadata is at the origin's root, before the prefix.
func TestTenantsBehindAPrefix(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	all, err := tenants.New(tenants.Config{Base: env.Config("https://mcp.example.com/team/"), Lookup: lookup, Handler: mcpServer})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	all.Register(mux)
	refusal, document := httptest.NewRecorder(), httptest.NewRecorder()
	mux.ServeHTTP(refusal, httptest.NewRequest(http.MethodPost, "/acme/mcp", nil))
	const path = "/.well-known/oauth-protected-resource/team/acme/mcp"
	if got := refusal.Header().Get("WWW-Authenticate"); !strings.Contains(got, `"https://mcp.example.com`+path+`"`) {
		t.Errorf("%d %s", refusal.Code, got)
	}
	mux.ServeHTTP(document, httptest.NewRequest(http.MethodGet, path, nil))
	if got := document.Body.String(); !strings.Contains(got, `"resource":"https://mcp.example.com/team/acme/mcp"`) {
		t.Errorf("%d %s", document.Code, got)
	}
}

// TestTenantsBehindAPrefixThatIsNotStripped has 404 for all tenants, and one line with the cure.
func TestTenantsBehindAPrefixThatIsNotStripped(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	logged := new(log)
	base := env.Config("https://mcp.example.com/team")
	base.Logger = slog.New(slog.NewTextHandler(logged, nil))
	all, err := tenants.New(tenants.Config{Base: base, Lookup: lookup, Handler: mcpServer})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	all.Register(mux)
	for _, tenant := range []string{"acme", "globex", "unknown"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/team/"+tenant+"/mcp", http.NoBody))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", tenant, w.Code)
		}
	}
	if got := logged.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "have the proxy in front strip /team") {
		t.Errorf("the log says %q", got)
	}
}

// TestTenantsNextToCatchAlls has routes of the application on the same mux.
func TestTenantsNextToCatchAlls(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"/", "GET /", "GET /{rest...}", "POST /", "GET /app/static/", "GET /healthz"} {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		all, err := tenants.New(tenants.Config{Base: env.Config("https://mcp.example.com"), Lookup: lookup, Handler: mcpServer})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
		all.Register(mux)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/acme/mcp", http.NoBody))
			if w.Code != http.StatusUnauthorized {
				t.Errorf("%s: %s /acme/mcp: %d", pattern, method, w.Code)
			}
		}
	}
}

// TestTenantIsForgottenWhileItIsLookedUp deletes a tenant while its first request looks it up. The request is answered as one
// that came before, and the next one finds that the tenant is gone.
func TestTenantIsForgottenWhileItIsLookedUp(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	var all *tenants.Tenants
	calls := 0
	all, err := tenants.New(tenants.Config{
		Base: env.Config("https://mcp.example.com"), Handler: mcpServer,
		Lookup: func(context.Context, string) (string, error) {
			if calls++; calls > 1 {
				return "", tenants.ErrUnknown
			}
			all.Forget("acme")
			return "res_acme", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	all.Register(mux)
	for i, want := range []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusNotFound} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/acme/mcp", http.NoBody))
		if w.Code != want {
			t.Errorf("request %d: %d, want %d", i+1, w.Code, want)
		}
	}
}

// TestStrangersTextIsShort has names that fill a request's header: a line of the log has little of them.
func TestStrangersTextIsShort(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long := strings.Repeat("a", 200_000)
	f.do(t, http.MethodPost, "/"+long+"/mcp", "")
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Host = long
	(&tenants.Hosts{Logger: slog.New(slog.NewTextHandler(f.log, nil))}).ServeHTTP(httptest.NewRecorder(), r)
	if got := f.log.String(); strings.Count(got, "cure=") != 2 || len(got) > 1000 {
		t.Errorf("%d bytes: %.300s", len(got), got)
	}
}

// TestNewReportsMistakes has mistakes reported when the server starts, before any tenant is asked for.
func TestNewReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := tenants.New(tenants.Config{Base: mcpauth.Config{BaseURL: "mcp.example.com", ServeAuthorizationServerMetadata: true}})
	for _, want := range []string{"EnvironmentURL", "BaseURL", "Lookup", "ServeAuthorizationServerMetadata"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// TestNewRefusesAudiencesOfAll has an audience with which a token for one resource would be let in at all tenants.
func TestNewRefusesAudiencesOfAll(t *testing.T) {
	t.Parallel()
	base := mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com"}
	for _, audiences := range [][]string{nil, {"https://mcp.example.com/acme/mcp"}} {
		base.Audiences = audiences
		if _, err := tenants.New(tenants.Config{Base: base, Lookup: lookup, Handler: mcpServer}); (err == nil) != (audiences == nil) {
			t.Errorf("%v: %v", audiences, err)
		}
	}
}

// TestHosts has two resource servers on two hosts of one listener, and 404 for any other host.
func TestHosts(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	shared := new(mcpauth.SharedKeys)
	logged := new(log)
	hosts := &tenants.Hosts{Handlers: make(map[string]http.Handler), Logger: slog.New(slog.NewTextHandler(logged, nil))}
	for _, name := range []string{"orders", "billing"} {
		cfg := env.Config("https://" + name + ".example.com")
		cfg.SharedKeys, cfg.ResourceID = shared, "res_"+name
		rs, err := mcpauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mcpauthhttp.Mount(mux, rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		hosts.Handlers[name+".example.com"] = mux
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		hosts.Handlers[address] = hosts.Handlers["orders.example.com"]
	}
	token := env.Token(map[string]any{"aud": "res_orders", "iss": env.URL()})
	for _, c := range []struct {
		host   string
		status int
	}{
		{"orders.example.com", http.StatusOK},
		{"Orders.Example.com:443", http.StatusOK},
		{"orders.example.com.", http.StatusOK},
		{"billing.example.com", http.StatusUnauthorized},
		{"127.0.0.1:3001", http.StatusOK},
		{"[::1]:3001", http.StatusOK},
		{"[::1]", http.StatusOK},
		{"evil.example.com", http.StatusNotFound},
		{"orders.example.com.evil.example", http.StatusNotFound},
		{"", http.StatusNotFound},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", http.NoBody)
		r.Host = c.host
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		before := len(logged.String())
		hosts.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%q: %d, want %d", c.host, w.Code, c.status)
		}
		line := logged.String()[before:]
		if told := strings.Contains(line, "unknown host") && strings.Contains(line, "cure="); told != (c.status == http.StatusNotFound) {
			t.Errorf("%q: the log says %q", c.host, line)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); strings.Contains(challenge, "evil") {
			t.Errorf("%q: the challenge has the Host header in it: %s", c.host, challenge)
		}
	}
}
