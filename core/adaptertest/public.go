package adaptertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// A publicServer is an MCP server of an SDK. It answers with the user's id, or "public", and the body.
type publicServer struct{ *app }

func (s publicServer) ServeSession(w http.ResponseWriter, r *http.Request) { s.handle(w, r) }

func (publicServer) IsPublic(r *http.Request) bool {
	return r.Header.Get("Mcp-Session-Id") != "ses_of_a_user"
}

func (s publicServer) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) bool {
	if r.Header.Get("Mcp-Session-Id") == "ses_taken_meanwhile" {
		return false
	}
	s.ran.Add(1)
	body, err := io.ReadAll(r.Body)
	_, none := mcpauth.SessionFromContext(r.Context())
	if err != nil || !errors.Is(none, mcpauth.ErrNoSession) {
		http.Error(w, fmt.Sprint(err, none), http.StatusTeapot)
		return true
	}
	w.Header().Set("Content-Type", "text/plain")
	if opens {
		w.Header().Set("X-Opens", "1")
	}
	_, _ = fmt.Fprintf(w, "public %s", body)
	return true
}

// publicRules has a tool of each kind.
func publicRules() mcpauth.Rules {
	return mcpauth.Rules{
		Tools:     map[string]mcpauth.Rule{"weather": {Public: true}, "orders": {Scopes: []string{"orders:read"}}, "whoami": {}},
		Prompts:   map[string]mcpauth.Rule{"hello": {Public: true}},
		Resources: map[string]mcpauth.Rule{"docs://*": {Public: true}, "docs://{id}/draft": {Scopes: []string{"drafts"}}},
	}
}

func withRules(t *testing.T, rules mcpauth.Rules) func(*mcpauth.Config) {
	t.Helper()
	policy, err := mcpauth.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *mcpauth.Config) { cfg.Policy = policy }
}

// message returns a JSON-RPC request.
func message(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
}

func runPublic(t *testing.T, f *Framework) {
	set := withRules(t, publicRules())
	a := f.prepare(t, func(cfg *mcpauth.Config) {
		set(cfg)
		cfg.RequiredScopes = []string{"base"}
		cfg.ImpliedScopes = map[string][]string{"all": {"base", "orders:read"}}
	})
	a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a}))
	a.serve(t)

	a.runPublicBodies(t)
	a.runProtectedBodies(t)
	a.runPublicWithCredentials(t)
	a.check(t, wireCase{name: "R99 a protected operation", golden: "public_protected.txt", req: fixed(request{body: call("orders")})})
	a.check(t, wireCase{name: "R99 GET", golden: "public_405.txt", req: fixed(request{method: "GET"})})
	a.preflight(t, "/mcp")
	a.expectMetadata(t, metadataPath, rootMetadata)
	a.runOneConnection(t)
	a.runChunked(t)
}

// runPublicBodies sends what is run without credentials.
func (a *app) runPublicBodies(t *testing.T) {
	t.Helper()
	weather := call("weather")
	for name, body := range map[string]string{
		"a tool": weather, "white space is kept": " \r\n" + weather + "\t", "a batch": "[" + weather + "," + message("ping", "{}") + "]",
		"64 KiB":          weather + strings.Repeat(" ", 64<<10-len(weather)),
		"a prompt":        message("prompts/get", `{"name":"hello"}`),
		"a resource":      message("resources/read", `{"uri":"docs://intro"}`),
		"a completion":    message("completion/complete", `{"ref":{"type":"ref/prompt","name":"hello"},"argument":{"name":"a","value":"b"}}`),
		"ping":            message("ping", "{}"),
		"discover":        message("server/discover", "{}"),
		"the log's level": message("logging/setLevel", `{"level":"info"}`),
		"tools/list":      message("tools/list", "{}"), "prompts/list": message("prompts/list", "{}"),
		"resources/list": message("resources/list", "{}"), "templates": message("resources/templates/list", "{}"),
		"a notification": `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		"initialize":     message("initialize", "{}"),
	} {
		resp := a.send(t, request{body: body})
		if resp.status != http.StatusOK || resp.body != "public "+body || (resp.header.Get("X-Opens") != "") != (name == "initialize") {
			t.Errorf("%s: status %d, %.100q, %v", name, resp.status, resp.body, resp.header)
		}
	}
}

// runProtectedBodies sends what gets 401 without credentials, with the scopes that it needs.
func (a *app) runProtectedBodies(t *testing.T) {
	t.Helper()
	weather := call("weather")
	for _, c := range []struct{ name, body, scope string }{
		{"a tool that needs scopes", call("orders"), "base orders:read"},
		{"a tool that needs nothing", call("whoami"), "base"},
		{"a tool that is not listed", call("other"), "base"},
		{"a public and a protected message", "[" + weather + "," + call("orders") + "]", "base orders:read"},
		{"a protected and a public message", "[" + call("orders") + "," + weather + "]", "base orders:read"},
		{"one of two patterns is public", message("resources/read", `{"uri":"docs://intro/draft"}`), "base drafts"},
		{"dot segments", message("resources/read", `{"uri":"docs://a/../b"}`), "base drafts"},
		{"another resource", message("resources/read", `{"uri":"file:///etc/passwd"}`), "base"},
		{"a listener", message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["docs://intro"]}}`), "base"},
		{"a task", message("tasks/get", `{"taskId":"1"}`), "base"},
		{"another method", message("other/method", `{}`), "base"},
		{"a notification that MCP does not have", `{"jsonrpc":"2.0","method":"notifications/other"}`, "base"},
		{"an answer", `{"jsonrpc":"2.0","id":1,"result":{}}`, "base"},
		{"a repeated member", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather","name":"weather"}}`, "base"},
		{"NAME", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"weather","NAME":"orders"}}`, "base"},
		{"Method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"orders"}}`, "base"},
		{"two messages", weather + call("orders"), "base"},
		{"two equal messages", weather + weather, "base"},
		{"an empty batch", "[]", "base"},
		{"a name that is not a string", message("tools/call", `{"name":["weather"]}`), "base"},
		{"case", call("Weather"), "base"},
		{"not JSON", "weather", "base"},
		{"no body", "", "base"},
		{"64 KiB and a byte", weather + strings.Repeat(" ", 64<<10-len(weather)+1), "base"},
	} {
		before := a.ran.Load()
		resp := a.send(t, request{body: c.body})
		challenge := resp.header.Get("WWW-Authenticate")
		if resp.status != http.StatusUnauthorized || !strings.HasPrefix(challenge, `Bearer scope="`+c.scope+`", resource_metadata="`) || a.ran.Load() != before {
			t.Errorf("%s: status %d, %s, want the scope %s", c.name, resp.status, challenge, c.scope)
		}
	}
}

// tokenWith returns the Authorization header with a token of a scope.
func (a *app) tokenWith(scope string) string {
	return "Bearer " + a.env.Token(map[string]any{"scope": scope})
}

// runPublicWithCredentials sends public operations with credentials, good and bad, and in other requests than a plain POST.
func (a *app) runPublicWithCredentials(t *testing.T) {
	t.Helper()
	weather := call("weather")
	for _, c := range []struct {
		name   string
		req    request
		status int
	}{
		{"with a token", request{header: http.Header{"Authorization": {a.tokenWith("base")}}, body: weather}, 200},
		{"with a token that lacks a required scope", request{header: http.Header{"Authorization": {a.tokenWith("x")}}, body: weather}, 403},
		{"the policy holds with a token", request{header: http.Header{"Authorization": {a.tokenWith("base")}}, body: call("orders")}, 403},
		{"with the scopes", request{header: http.Header{"Authorization": {a.tokenWith("all")}}, body: call("orders")}, 200},
		{"a bad token", request{header: bearer("nonsense"), body: weather}, 401},
		{"an expired token", request{header: bearer(a.env.Token(map[string]any{"scope": "base", "exp": 1_700_000_000, "iat": 1_600_000_000})), body: weather}, 401},
		{"Basic", request{header: http.Header{"Authorization": {"Basic dXNlcjpwYXNz"}}, body: weather}, 401},
		{"an empty header", request{header: http.Header{"Authorization": {""}}, body: weather}, 401},
		{"no token", request{header: http.Header{"Authorization": {"Bearer"}}, body: weather}, 400},
		{"two lines", request{header: http.Header{"Authorization": {"", a.tokenWith("base")}}, body: weather}, 400},
		{"lower case", request{header: http.Header{"authorization": {"bearer x"}}, body: weather}, 401},
		{"HEAD", request{method: "HEAD", body: weather}, 401},
		{"PUT", request{method: "PUT", body: weather}, 401},
		{"PATCH", request{method: "PATCH", body: weather}, 401},
		{"OPTIONS", request{method: "OPTIONS", body: weather}, 401},
		{"DELETE", request{method: "DELETE"}, 401},
		{"GET", request{method: "GET"}, 405},
		{"GET with a public body", request{method: "GET", body: weather}, 405},
		{"GET on a user's MCP session", request{method: "GET", header: http.Header{"Mcp-Session-Id": {"ses_of_a_user"}}}, 401},
		{"DELETE on a user's MCP session", request{method: "DELETE", header: http.Header{"Mcp-Session-Id": {"ses_of_a_user"}}}, 401},
		{"DELETE on a public MCP session", request{method: "DELETE", header: http.Header{"Mcp-Session-Id": {"ses_1"}}}, 405},
		{"a user's MCP session", request{header: http.Header{"Mcp-Session-Id": {"ses_of_a_user"}}, body: weather}, 401},
		{"an MCP session that a user has taken meanwhile", request{header: http.Header{"Mcp-Session-Id": {"ses_taken_meanwhile"}}, body: weather}, 401},
		{"an encoded body", request{header: http.Header{"Content-Encoding": {"identity"}}, body: weather}, 401},
		{"another origin", request{header: http.Header{"Origin": {"https://evil.example"}}, body: weather}, 403},
		{"the origin null", request{header: http.Header{"Origin": {"null"}}, body: weather}, 403},
		{"GET from another origin", request{method: "GET", header: http.Header{"Origin": {"https://evil.example"}}}, 403},
		{"an allowed origin", request{header: http.Header{"Origin": {baseURL}}, body: weather}, 200},
		{"another path", request{target: "/mcp/", body: weather}, 404},
	} {
		before := a.ran.Load()
		resp := a.send(t, c.req)
		if ran := a.ran.Load() != before; resp.status != c.status && (c.status != 404 || resp.status/100 != 3) || ran != (c.status == 200) {
			t.Errorf("%s: status %d, want %d; the handler ran: %t", c.name, resp.status, c.status, ran)
		}
		if origin := resp.header.Get("Access-Control-Allow-Origin"); (origin == baseURL) != (c.name == "an allowed origin") {
			t.Errorf("%s: Access-Control-Allow-Origin %q", c.name, origin)
		}
	}
}

// runOneConnection sends several requests on one connection: none of them inherits what another was.
func (a *app) runOneConnection(t *testing.T) {
	t.Helper()
	weather := call("weather")
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for range 2 {
		for _, c := range []struct {
			header http.Header
			body   string
			want   string
		}{
			{nil, weather, "public " + weather},
			{http.Header{"Authorization": {a.tokenWith("all")}}, call("orders"), "usr_1 " + call("orders")},
			{nil, call("orders"), "an access token is required"},
		} {
			if resp := exchange(t, conn, from, request{header: c.header, body: c.body}); !strings.Contains(resp.body, c.want) {
				t.Errorf("on one connection: status %d, %q, want %q", resp.status, resp.body, c.want)
			}
		}
	}
}

// runChunked sends bodies whose length is not announced.
func (a *app) runChunked(t *testing.T) {
	t.Helper()
	weather := call("weather")
	chunked := fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(weather), weather)
	if resp := raw(t, a, chunked); resp.status != http.StatusOK || resp.body != "public "+weather {
		t.Errorf("chunked: %+v", resp)
	}
	before := a.ran.Load()
	chunked = fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s%s\r\n0\r\n\r\n",
		70<<10, weather, strings.Repeat(" ", 70<<10-len(weather)))
	if resp := raw(t, a, chunked); resp.status != http.StatusUnauthorized || a.ran.Load() != before {
		t.Errorf("chunked, 70 KiB: %+v", resp)
	}
}

// raw sends bytes on a connection of its own, and reads the response.
func raw(t *testing.T, a *app, text string) response {
	t.Helper()
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, text)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(body)}
}

// runPublicParts leaves out one part after the other of what public operations need. Without each of them, a request without
// credentials gets 401, and the policy still holds.
func runPublicParts(t *testing.T, f *Framework) {
	public := withRules(t, publicRules())
	rules := publicRules()
	rules.Tools["weather"], rules.Prompts, rules.Resources = mcpauth.Rule{}, nil, nil
	notPublic := withRules(t, rules)
	for name, c := range map[string]struct {
		set   func(*mcpauth.Config)
		build func(a *app)
		open  bool // there is no policy to hold
	}{
		"no policy":          {func(*mcpauth.Config) {}, func(a *app) { a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a})) }, true},
		"no public rule":     {notPublic, func(a *app) { a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a})) }, false},
		"another handler":    {public, func(a *app) { a.build.Mount(a.rs, http.HandlerFunc(a.handle)) }, false},
		"a wrapped handler":  {public, func(a *app) { a.build.Mount(a.rs, RecoverHTTP(a.rs.SDKHandler(publicServer{a}))) }, false},
		"the middleware too": {public, func(a *app) { a.build.Use(a.rs); a.build.Mount(a.rs, a.rs.SDKHandler(publicServer{a})) }, false},
		"required scopes": {public, func(a *app) {
			more := a.rs.WithRequiredScopes("all")
			a.build.Mount(more, more.SDKHandler(publicServer{a}))
		}, false},
		"the handler of the original": {public, func(a *app) {
			a.build.Mount(a.rs.WithRequiredScopes("all"), a.rs.SDKHandler(publicServer{a}))
		}, false},
		"the handler of a derived one": {public, func(a *app) {
			a.build.Mount(a.rs, a.rs.WithRequiredScopes("all").SDKHandler(publicServer{a}))
		}, false},
		"the handler of an equal one": {public, func(a *app) {
			a.build.Mount(a.rs, a.resourceServer(t, public).SDKHandler(publicServer{a}))
		}, false},
		"a handler of the framework's own": {public, func(a *app) {
			a.build.MountMetadata(a.rs)
			a.build.Handle("", "/mcp", func(session *mcpauth.Session, err error) string {
				a.ran.Add(1)
				return userID(session, err)
			}, a.rs)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.prepare(t, c.set)
			c.build(a)
			a.serve(t)
			for _, method := range []string{"POST", "GET", "DELETE", "HEAD"} {
				if resp := a.send(t, request{method: method, body: call("weather")}); resp.status != http.StatusUnauthorized || a.ran.Load() != 0 {
					t.Errorf("%s: status %d, %q", method, resp.status, resp.body)
				}
			}
			h := bearer(a.env.Token(map[string]any{"scope": "all"}))
			if resp := a.send(t, request{header: h, body: call("weather")}); resp.status != http.StatusOK || !strings.HasPrefix(resp.body, "usr_1") {
				t.Errorf("with a token: status %d, %q", resp.status, resp.body)
			}
			if resp := a.send(t, request{header: h, body: call("orders")}); (resp.status == http.StatusForbidden) == c.open {
				t.Errorf("with a token without the scope: status %d, %q", resp.status, resp.body)
			}
		})
	}
}

// runPublicSlow has clients without credentials that send a body slowly, or not to its end, and a call that takes longer than
// a body may.
func runPublicSlow(t *testing.T, f *Framework) {
	a := f.prepare(t, withRules(t, publicRules()))
	slow := make(chan error, 1)
	a.build.Mount(a.rs, a.rs.SDKHandler(slowServer{publicServer{a}, slow}))
	a.serve(t)
	weather := call("weather")
	head := "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\n"
	for name, text := range map[string]string{
		"nothing of the body":        fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(weather)),
		"less than is announced":     fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(weather)+1, weather),
		"a large announced body":     fmt.Sprintf("%sContent-Length: 60000\r\n\r\n%s%s", head, weather, strings.Repeat(" ", 10_000)),
		"a chunk without an end":     fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, len(weather), weather),
		"a chunk that is not a hash": fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\nzz\r\n%s\r\n0\r\n\r\n", head, weather),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			began := time.Now()
			_, _ = io.WriteString(conn, text)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				_ = resp.Body.Close()
			}
			if err == nil && resp.StatusCode/100 != 4 || time.Since(began) > 6*time.Second+busy {
				t.Errorf("after %v: %v, %v", time.Since(began), resp, err)
			}
		})
	}
	t.Run("a call that takes longer", func(t *testing.T) {
		t.Parallel()
		resp := a.send(t, request{header: http.Header{"X-Slow": {"1"}}, body: weather})
		if err := await(t, "the call", slow); err != nil || resp.status != http.StatusOK {
			t.Errorf("status %d, %v", resp.status, err)
		}
	})
	t.Cleanup(func() {
		if ran := a.ran.Load(); ran != 1 {
			t.Errorf("the handler ran %d times", ran)
		}
	})
}

// A slowServer takes 6 s for a call with the header X-Slow, or until its context ends.
type slowServer struct {
	publicServer
	result chan error
}

func (s slowServer) ServePublic(w http.ResponseWriter, r *http.Request, opens bool) bool {
	if r.Header.Get("X-Slow") != "" {
		select {
		case <-r.Context().Done():
			s.result <- r.Context().Err()
		case <-time.After(6 * time.Second):
			s.result <- nil
		}
	}
	return s.publicServer.ServePublic(w, r, opens)
}
