package adaptertest

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A wireCase is one request and the golden file with its response. Names start with the requirement that they prove.
type wireCase struct {
	name   string
	golden string
	req    func(a *app) request
	runs   bool // whether the handler runs
}

// Run runs the suite against an adapter.
func Run(t *testing.T, f Framework) {
	done := make(map[string]bool)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *Framework)
	}{
		{"wire", runWire},
		{"R54 no key", runOutage},
		{"R57 scopes", runScopes},
		{"R64 operations", runOperations},
		{"challenges in tool results", runToolResults},
		{"R65 origin", runOrigins},
		{"R81 aliases", runAliases},
		{"R82 kept-alive connection", runKeepAlive},
		{"R86 framing", runFraming},
		{"R87 header lines", runHeaderLines},
		{"R88 length", runLength},
		{"R99 public operations", runPublic},
		{"R99 without one of the parts", runPublicParts},
		{"R99 slow bodies", runPublicSlow},
		{"R109 other credentials", runCredentials},
		{"middleware on the root", runRoot},
		{"middleware in a group", runGroup},
		{"middleware on a route", runRoute},
		{"mount leaves the rest open", runMount},
		{"mount at the root", runMountAtRoot},
		{"two resources", runTwoResources},
		{"outer middleware", runOuter},
		{"sessions under load", runLoad},
		{"large body", runLargeBody},
		{"hostile requests", runHostile},
		{"stream", runStream},
		{"R83 stream ends with its token", runTokenEnds},
		{"R83 a call gets its answer", runCall},
		{"R83 a client that does not read", runNoReader},
		{"R84 unread bodies", runUnreadBodies},
		{"R85 a session ends with its response", runSessionLife},
		{"R85 a session of another resource", runWhoseSession},
		{"R85 a session without the scopes", runRelated},
		{"R88 broken answers", runBroken},
		{"R89 redirects", runRedirects},
		{"R89 redirects of more slashes", runMoreSlashes},
		{"R89 redirects of a guarded root", runRedirectsOfRoot},
		{"R95 header values", runHeaderValues},
		{"R103 a revoked session", runRevoked},
		{"R16 a gateway that owns a prefix", runGateway},
		{"R16 metadata at an address of one's own", runMetadataElsewhere},
		{"a prefix that is not stripped", runUnstripped},
		{"a prefix that is not stripped, and a route there", runUnstrippedRoute},
		{"a prefix that is not stripped, with a guarded root", runUnstrippedRoot},
		{"authorization server metadata", runServerMetadata},
		{"R67 R97 headers of one's own", runOwnHeaders},
		{"R7 offline_access by setting", runOfflineAccess},
		{"R97 one CORS answer", runCORS},
		{"disconnect", runDisconnect},
		{"disconnect of a silent handler", runSilentDisconnect},
		{"mistakes panic at start", runMistakes},
		{"a route registered twice panics at start", runTwice},
		{"two root documents panic at start", runTwoRoots},
	} {
		done[c.name] = true
		if len(f.Only) > 0 && !slices.Contains(f.Only, c.name) || testing.Short() && slices.Contains(waits, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if why, deviates := f.Deviations[c.name]; deviates {
				t.Skipf("a deviation of this framework: %s", why)
			}
			c.run(t, &f)
		})
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(f.Deviations)), f.Only) {
		if !done[name] {
			t.Errorf("Only or Deviations names %q, which is not a case", name)
		}
	}
}

// waits lists the cases that take seconds. -short leaves them out: make test runs them in the workspace, and then each
// module alone without them.
var waits = []string{
	"R83 stream ends with its token", "R83 a call gets its answer", "R83 a client that does not read", "R84 unread bodies",
	"R99 slow bodies",
}

// check sends a case and compares its response, and how often the handler ran.
func (a *app) check(t *testing.T, c wireCase) {
	t.Helper()
	before := a.ran.Load()
	resp := a.send(t, c.req(a))
	golden(t, c.golden, a.text(resp))
	want := int64(0)
	if c.runs {
		want = 1
	}
	if ran := a.ran.Load() - before; ran != want {
		t.Errorf("the handler ran %d times, want %d", ran, want)
	}
}

func fixed(req request) func(*app) request { return func(*app) request { return req } }

func withHeader(name string, lines ...string) func(*app) request {
	return fixed(request{header: http.Header{name: lines}})
}

func authorized(format string) func(*app) request {
	return func(a *app) request {
		return request{header: http.Header{"Authorization": {fmt.Sprintf(format, a.env.Token(nil))}}, body: "hello"}
	}
}

func runWire(t *testing.T, f *Framework) {
	const (
		document = "metadata.txt"
		none     = "no_credentials.txt"
		bad      = "invalid_request.txt"
		invalid  = "invalid_token.txt"
		ok       = "allowed.txt"
	)
	a := f.start(t, func(cfg *mcpauth.Config) {
		cfg.Scopes = []string{"greet:read", "greet:write"}
		cfg.ResourceName = "Greeter & Co"
		cfg.DocsURL = "https://docs.example.com/?a=1&b=2"
		cfg.ExtraMetadata = map[string]any{"resource_policy_uri": "https://mcp.example.com/policy"}
	})
	const path = "/.well-known/oauth-protected-resource/mcp"
	const root = "/.well-known/oauth-protected-resource"
	cases := []wireCase{
		{name: "R1 R2 R5 R6 R7 R9 R13 metadata of the resource", golden: document, req: fixed(request{method: "GET", target: path})},
		{name: "R4 metadata of the root", golden: "metadata_root.txt", req: fixed(request{method: "GET", target: root})},
		{name: "R8 HEAD", golden: "metadata_head.txt", req: fixed(request{method: "HEAD", target: path})},
		{name: "R8 POST", golden: "metadata_405.txt", req: fixed(request{method: "POST", target: path})},
		{name: "R8 DELETE on the root", golden: "metadata_405.txt", req: fixed(request{method: "DELETE", target: root})},
		{name: "R10 OPTIONS", golden: "metadata_options.txt", req: fixed(request{method: "OPTIONS", target: path, header: http.Header{"Origin": {"https://any.example"}, "Access-Control-Request-Method": {"GET"}}})},
		{name: "R10 any origin reads it", golden: document, req: fixed(request{method: "GET", target: path, header: http.Header{"Origin": {"https://any.example"}}})},
		{name: "R11 Host and forwarding headers change nothing", golden: document, req: fixed(request{method: "GET", target: path, header: http.Header{
			"Host": {"evil.example"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Prefix": {"/evil"}, "Forwarded": {"host=evil.example"},
		}})},
		{name: "R11 in challenges neither", golden: none, req: fixed(request{header: http.Header{"Host": {"evil.example"}, "X-Forwarded-Host": {"evil.example"}}})},

		{name: "R14 R15 R16 R18 R21 R74 no credentials", golden: none, req: fixed(request{})},
		{name: "R19 R20 R21 R74 invalid token", golden: invalid, req: withHeader("Authorization", "Bearer nonsense")},
		{name: "R21 expired token", golden: "expired.txt", req: func(a *app) request {
			return request{header: bearer(a.env.Token(map[string]any{"exp": 1_700_000_000, "iat": 1_600_000_000}))}
		}},

		{name: "R24 the scheme's case does not count", golden: ok, runs: true, req: authorized("bEARER %s")},
		{name: "R24 several spaces", golden: ok, runs: true, req: authorized("Bearer    %s")},
		{name: "R25 a token in the query only", golden: none, req: func(a *app) request {
			return request{target: "/mcp?access_token=" + a.env.Token(nil)}
		}},
		{name: "R25 a token in the query and the header", golden: ok, runs: true, req: func(a *app) request {
			return request{target: "/mcp?access_token=x", header: bearer(a.env.Token(nil)), body: "hello"}
		}},
		{name: "R26 a token in a form", golden: none, req: func(a *app) request {
			return request{header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: "access_token=" + a.env.Token(nil)}
		}},
		{name: "R26 a token in a cookie", golden: none, req: func(a *app) request {
			return request{header: http.Header{"Cookie": {"access_token=" + a.env.Token(nil) + "; Authorization=Bearer " + a.env.Token(nil)}}}
		}},
		{name: "R27 two lines, the first good", golden: bad, req: func(a *app) request {
			return request{header: http.Header{"Authorization": {"Bearer " + a.env.Token(nil), "Bearer x"}}}
		}},
		{name: "R27 two lines, the last good", golden: bad, req: func(a *app) request {
			return request{header: http.Header{"Authorization": {"Basic dXNlcjpwYXNz", "Bearer " + a.env.Token(nil)}}}
		}},
		{name: "R27 two equal lines", golden: bad, req: func(a *app) request {
			line := "Bearer " + a.env.Token(nil)
			return request{header: http.Header{"Authorization": {line, line}}}
		}},
		{name: "R28 no token", golden: bad, req: withHeader("Authorization", "Bearer")},
		{name: "R28 two tokens", golden: bad, req: withHeader("Authorization", "Bearer a b")},
		{name: "R28 a list", golden: bad, req: withHeader("Authorization", "Bearer a, Bearer b")},
		{name: "R28 illegal characters", golden: bad, req: withHeader("Authorization", "Bearer a\"b")},
		{name: "R28 letters outside ASCII", golden: bad, req: withHeader("Authorization", "Bearer äöü")},
		{name: "R28 = in the middle", golden: bad, req: withHeader("Authorization", "Bearer a=b")},
		{name: "R28 a tab after the scheme", golden: bad, req: withHeader("Authorization", "Bearer\tabc")},
		{name: "R28 a malformed token in a well-formed header", golden: invalid, req: withHeader("Authorization", "Bearer a.b")},
		{name: "R29 Basic", golden: none, req: withHeader("Authorization", "Basic dXNlcjpwYXNz")},
		{name: "R29 DPoP", golden: none, req: withHeader("Authorization", "DPoP abc")},
		{name: "R29 a scheme that starts like Bearer", golden: none, req: withHeader("Authorization", "Bearerish abc")},
		{name: "R29 an empty header", golden: none, req: withHeader("Authorization", "")},

		{name: "R32 a body that is no JSON", golden: none, req: fixed(request{header: http.Header{"Content-Type": {"application/json"}}, body: "{{{"})},
		{name: "R32 a large body", golden: none, req: fixed(request{body: strings.Repeat("x", 200<<10)})},
		{name: "R49 a token of 16 KiB and one byte", golden: invalid, req: withHeader("Authorization", "Bearer "+strings.Repeat("a", 16<<10+1))},
		{name: "allowed, with its body untouched", golden: ok, runs: true, req: authorized("Bearer %s")},
		{name: "R68 an allowed origin", golden: "allowed_origin.txt", runs: true, req: func(a *app) request {
			h := bearer(a.env.Token(nil))
			h.Set("Origin", baseURL)
			return request{header: h, body: "hello"}
		}},
	}
	for _, method := range []string{"POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS"} {
		cases = append(cases, wireCase{name: "R31 " + method + " is authenticated", golden: none, req: fixed(request{method: method})})
	}
	cases = append(cases, wireCase{name: "R31 HEAD is authenticated", golden: "no_credentials_head.txt", req: fixed(request{method: "HEAD"})})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { a.check(t, c) })
	}

	t.Run("R16 the challenge leads to the metadata", func(t *testing.T) {
		for _, line := range [][]string{nil, {"Bearer"}, {"Bearer x"}} {
			resp := a.send(t, request{header: http.Header{"Authorization": line}})
			_, after, _ := strings.Cut(resp.header.Get("WWW-Authenticate"), `resource_metadata="`+baseURL)
			target, _, ok := strings.Cut(after, `"`)
			if !ok {
				t.Fatalf("no resource_metadata on the base URL in %q", resp.header.Get("WWW-Authenticate"))
			}
			golden(t, document, a.text(a.send(t, request{method: "GET", target: target})))
		}
	})
}

func runOutage(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	token := a.env.Token(nil)
	a.env.Stop()
	a.check(t, wireCase{golden: "unavailable.txt", req: fixed(request{header: bearer(token)})})
	a.check(t, wireCase{golden: "no_credentials.txt", req: fixed(request{})})
}

func runScopes(t *testing.T, f *Framework) {
	a := f.start(t, func(cfg *mcpauth.Config) {
		cfg.RequiredScopes = []string{"greet:read", "greet:write"}
		cfg.ImpliedScopes = map[string][]string{"admin": {"greet"}, "greet": {"greet:read", "greet:write"}}
	})
	token := func(scope string, more map[string]any) func(*app) request {
		return func(a *app) request {
			claims := map[string]any{"scope": scope}
			maps.Copy(claims, more)
			return request{header: bearer(a.env.Token(claims)), body: "hello"}
		}
	}
	for _, c := range []wireCase{
		{name: "R17 all scopes are named without credentials", golden: "scopes_no_credentials.txt", req: fixed(request{})},
		{name: "R57 R58 R74 one is missing", golden: "insufficient_scope.txt", req: token("greet:read", nil)},
		{name: "R57 no scope at all", golden: "insufficient_scope.txt", req: token("", nil)},
		{name: "R57 permissions are not scopes", golden: "insufficient_scope.txt", req: token("", map[string]any{"permissions": []string{"greet:read", "greet:write"}})},
		{name: "R61 expired and insufficient", golden: "scopes_expired.txt", req: token("greet:read", map[string]any{"exp": 1_700_000_000, "iat": 1_600_000_000})},
		{name: "R57 all are there", golden: "allowed.txt", runs: true, req: token("greet:write greet:read", nil)},
		{name: "R59 implied", golden: "allowed.txt", runs: true, req: token("admin", nil)},
	} {
		t.Run(c.name, func(t *testing.T) { a.check(t, c) })
	}
}

func runOrigins(t *testing.T, f *Framework) {
	listed := f.start(t, func(cfg *mcpauth.Config) { cfg.AllowedOrigins = []string{"https://app.example.com"} })
	local := f.start(t, func(cfg *mcpauth.Config) { cfg.BaseURL = "http://localhost:3001" })
	every := f.start(t, func(cfg *mcpauth.Config) { cfg.AllowedOrigins = []string{"*"} })

	preflight := func(origin string, more http.Header) func(*app) request {
		h := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}}
		maps.Copy(h, more)
		return fixed(request{method: "OPTIONS", header: h})
	}
	from := func(origins ...string) func(*app) request {
		return func(a *app) request {
			h := bearer(a.env.Token(nil))
			h["Origin"] = origins
			return request{header: h, body: "hello"}
		}
	}
	const refused = "origin_refused.txt"
	for _, c := range []struct {
		app *app
		wireCase
	}{
		{listed, wireCase{name: "R65 not allowed", golden: refused, req: from("https://evil.example")}},
		{listed, wireCase{name: "R65 null", golden: refused, req: from("null")}},
		{listed, wireCase{name: "R65 empty", golden: refused, req: from("")}},
		{listed, wireCase{name: "R65 two lines", golden: refused, req: from("https://app.example.com", "https://app.example.com")}},
		{listed, wireCase{name: "R65 another port", golden: refused, req: from("https://app.example.com:8443")}},
		{listed, wireCase{name: "R65 another scheme", golden: refused, req: from("http://app.example.com")}},
		{listed, wireCase{name: "R65 a longer host", golden: refused, req: from("https://app.example.com.evil.example")}},
		{listed, wireCase{name: "R65 loopback while the base URL is not", golden: refused, req: from("http://localhost:6274")}},
		{listed, wireCase{name: "R65 without credentials it is still about the origin", golden: refused, req: withHeader("Origin", "https://evil.example")}},
		{listed, wireCase{name: "R65 R67 a preflight that is not allowed", golden: refused, req: preflight("https://evil.example", nil)}},
		{listed, wireCase{name: "R65 listed", golden: "allowed_listed.txt", runs: true, req: from("https://app.example.com")}},
		{listed, wireCase{name: "R67 preflight", golden: "preflight.txt", req: preflight("https://app.example.com", nil)}},
		{listed, wireCase{name: "R67 preflight with parameters", golden: "preflight_params.txt", req: preflight("https://app.example.com", http.Header{
			"Access-Control-Request-Headers": {"authorization,mcp-param-city, x-other,mcp-param-,mcp-param-a b,mcp-param-zip"},
		})}},
		{listed, wireCase{name: "R67 OPTIONS that is no preflight", golden: "denied_listed.txt", req: fixed(request{method: "OPTIONS", header: http.Header{"Origin": {"https://app.example.com"}}})}},
		{listed, wireCase{name: "R68 a refusal shows its challenge to the page", golden: "denied_listed.txt", req: withHeader("Origin", "https://app.example.com")}},
		{local, wireCase{name: "R65 the Inspector, on loopback", golden: "allowed_inspector.txt", runs: true, req: from("http://localhost:6274")}},
		{local, wireCase{name: "R65 a loopback address", golden: "allowed_address.txt", runs: true, req: from("http://127.0.0.1:9")}},
		{local, wireCase{name: "R65 a name that starts with localhost", golden: refused, req: from("http://localhost.evil.example")}},
		{local, wireCase{name: "R65 a stray bracket", golden: refused, req: from("http://127.0.0.0]")}},
		{local, wireCase{name: "R65 user information", golden: refused, req: from("http://localhost@evil.example")}},
		{local, wireCase{name: "R65 more than an origin", golden: refused, req: from("http://localhost:6274/")}},
		{every, wireCase{name: "R65 any", golden: "allowed_any.txt", runs: true, req: from("https://whoever.example")}},
		{every, wireCase{name: "R65 any but null", golden: "origin_refused.txt", req: from("null")}},
		{every, wireCase{name: "R67 preflight from any", golden: "preflight_any.txt", req: preflight("https://whoever.example", nil)}},
	} {
		t.Run(c.name, func(t *testing.T) { c.app.check(t, c.wireCase) })
	}
}

// runAliases sends other spellings of the endpoint, and unusual methods. A router may treat them as it likes, but the
// handler must not run without a token.
func runAliases(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	for _, target := range []string{
		"/mcp", "/MCP", "/mCp", "//mcp", "/./mcp", "/x/../mcp", "/%6dcp", "/%6D%63%70", "/mcp/", "/mcp//", "/mcp;x", "/mcp;jsessionid=1",
		"/mcp%2f", "/mcp%00", "/mcp?x", "/mcp#x", "http://mcp.example.com/mcp", "http://mcp.example.com/MCP", "/mcpfoo", "/mcp.json", "\\mcp", "/mcp%20",
	} {
		for _, method := range []string{"POST", "GET", "DELETE", "PATCH", "MKCOL", "PURGE"} {
			for _, header := range []http.Header{nil, {"X-Http-Method-Override": {"OPTIONS"}}, {"X-Original-Url": {"/mcp"}, "X-Rewrite-Url": {"/mcp"}}} {
				a.send(t, request{method: method, target: target, header: header})
			}
		}
		if ran := a.ran.Swap(0); ran != 0 {
			t.Errorf("%s: the handler ran %d times without a token", target, ran)
		}
	}
	t.Run("a longer path is not the endpoint", func(t *testing.T) {
		for _, target := range []string{"/mcpfoo", "/mcp/foo", "/foo/mcp"} {
			resp := a.send(t, request{target: target, header: bearer(a.env.Token(nil))})
			if resp.status != http.StatusNotFound || a.ran.Swap(0) != 0 {
				t.Errorf("%s: status %d, want 404 from the router", target, resp.status)
			}
		}
	})
}

func runKeepAlive(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for _, step := range []struct {
		header http.Header
		want   string
	}{
		{bearer(a.env.Token(map[string]any{"sub": "usr_ada"})), "200\nContent-Type: text/plain\nVary: Origin\n\nusr_ada x\n"},
		{nil, ""},
		{bearer(a.env.Token(map[string]any{"sub": "usr_grace"})), "200\nContent-Type: text/plain\nVary: Origin\n\nusr_grace x\n"},
		{http.Header{"Authorization": {"Bearer x"}}, ""},
		{nil, ""},
	} {
		got := a.text(exchange(t, conn, from, request{header: step.header, body: "x"}))
		if step.want == "" {
			if !strings.HasPrefix(got, "401\n") {
				t.Errorf("a request without a token after one with: %s", got)
			}
		} else if got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}
