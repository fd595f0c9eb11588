package mcpauth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR12R65LocalhostNames has names below localhost, which are loopback (RFC 6761 §6.3), and names that only look like it.
func TestR12R65LocalhostNames(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.EnvironmentURL, cfg.BaseURL = "http://acme.localhost:8080", "http://app.localhost:3000"
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for origin, allowed := range map[string]bool{
		"http://app.localhost:3000": true, "http://localhost:5173": true, "http://a.b-c.x_y.localhost": true, "https://other.localhost": true, "http://127.0.0.1:1": true, "http://[::1]:1": true,
		"http://localhost.evil.com": false, "http://app.localhost.evil.com": false, "http://evillocalhost": false, "http://evil-localhost": false, "http://app.localhost.": false, "http://localhost.": false,
		"http://.localhost": false, "http://a..localhost": false, "http://App.localhost": false, "http://LOCALHOST": false, "http://app.localhost/": false, "http://app.localhost:": false, "http://x@app.localhost": false,
		"http://evil.com#.localhost": false, "http://evil.com/.localhost": false, "http://evil.com%2f.localhost": false, `http://evil.com\.localhost`: false, "http://evil.com%00.localhost": false, "http://ä.localhost": false,
		"http://evil.com;.localhost": false, "http://*.localhost": false, "app://app.localhost": false, "http://app.localhost:3000:1": false,
	} {
		d := rs.Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: "/mcp", Header: http.Header{"Origin": {origin}}.Values})
		if got := d.Outcome != mcpauth.OutcomeOriginRefused; got != allowed {
			t.Errorf("%s: allowed=%v, want %v", origin, got, allowed)
		}
	}
	if rs, err = mcpauth.New(goodConfig()); err != nil {
		t.Fatal(err)
	}
	d := rs.Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: "/mcp", Header: http.Header{"Origin": {"http://app.localhost"}}.Values})
	if d.Outcome != mcpauth.OutcomeOriginRefused {
		t.Errorf("off loopback, a page on loopback: %s", d.Outcome)
	}
}

// TestR67PreflightNeedsAnOrigin has an OPTIONS request with Access-Control-Request-Method and without Origin: it is not a
// preflight, and needs a token.
func TestR67PreflightNeedsAnOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	h := http.Header{"Access-Control-Request-Method": {"POST"}}
	if d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: h.Values}); d.Outcome != mcpauth.OutcomeNoCredentials {
		t.Errorf("%s", d.Outcome)
	}
}

// TestR67RequestedHeadersAreBounded asks for 70,000 headers in a preflight: the reply allows no more than 8 KiB of them.
func TestR67RequestedHeadersAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	h := http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}}
	for range 100 {
		h.Add("Access-Control-Request-Headers", strings.Repeat("mcp-param-x,", 400))
		h.Add("Access-Control-Request-Headers", strings.Repeat("mcp-param-x,", 300))
	}
	d := f.rs.Authenticate(context.Background(), mcpauth.Request{Method: "OPTIONS", Path: "/mcp", Header: h.Values})
	if n := len(d.Reply.Header.Get("Access-Control-Allow-Headers")); n > 8<<10 {
		t.Errorf("%d bytes are sent back", n)
	}
}

// TestR67AllowedHeaders has headers that MCP knows, too, in another spelling, and one of credentials: each is allowed once.
func TestR67AllowedHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) {
		cfg.AllowedHeaders = []string{"traceparent", "ACCEPT", "x-api-key", "Traceparent"}
		cfg.Credential, cfg.CredentialHeader = knownKey, "X-Api-Key"
	})
	const want = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID, traceparent, x-api-key"
	h := http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}}
	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource"} {
		d := f.rs.Authenticate(t.Context(), mcpauth.Request{Method: "OPTIONS", Path: path, Header: h.Values})
		if got := d.Reply.Header["Access-Control-Allow-Headers"]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestR65NullOrigin has pages without an origin of their own, with the setting and without.
func TestR65NullOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		null    bool
		allowed []string
		origins []string // of the request
		want    string   // Access-Control-Allow-Origin, or "" for a refusal
	}{
		{false, nil, []string{"null"}, ""},
		{false, []string{"*"}, []string{"null"}, ""},
		{true, nil, []string{"null"}, "null"},
		{true, []string{"*"}, []string{"null"}, "*"},
		{true, nil, []string{"https://evil.example"}, ""},
		{true, nil, []string{"NULL"}, ""},
		{true, nil, []string{"null", "null"}, ""},
		{true, nil, []string{""}, ""},
		{true, nil, []string{baseURL}, baseURL},
	} {
		f := newFixture(t, func(cfg *mcpauth.Config) { cfg.DangerouslyAllowNullOrigin, cfg.AllowedOrigins = c.null, c.allowed })
		d := f.rs.Authenticate(t.Context(), mcpauth.Request{Method: "POST", Path: "/mcp", Header: http.Header{"Origin": c.origins}.Values})
		h := make(http.Header)
		d.SetHeader(h)
		if got := h.Get("Access-Control-Allow-Origin"); got != c.want || (d.Outcome == mcpauth.OutcomeOriginRefused) != (c.want == "") {
			t.Errorf("%+v: %s, %q", c, d.Outcome, got)
		}
	}
}
