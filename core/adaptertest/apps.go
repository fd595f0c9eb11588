package adaptertest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// patience is the limit for something that should happen at once. Only a failing test waits that long.
const patience = 20 * time.Second

// busy is what a machine with other things to do may add to a time that is measured.
const busy = 4 * time.Second

const (
	metadataPath = "/.well-known/oauth-protected-resource/mcp"
	rootMetadata = "/.well-known/oauth-protected-resource"
)

// await waits for a value that a handler sends.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(2 * patience):
		t.Fatalf("%s did not happen within %v", what, 2*patience)
	}
	return value
}

// noSession starts the answer of userID when there is no session.
const noSession = "no session: "

// userID is a framework's handler that answers with the user's id, or with the reason why there is no session.
func userID(session *mcpauth.Session, err error) string {
	if err != nil {
		return noSession + err.Error()
	}
	return session.UserID()
}

// expect sends a request to target without a token and one with a token, and compares status codes. A good answer holds the
// id.
func (a *app) expect(t *testing.T, target string, without, with int, claims map[string]any) {
	t.Helper()
	if resp := a.send(t, request{target: target}); resp.status != without || without == http.StatusUnauthorized && strings.Contains(resp.body, noSession) {
		t.Errorf("%s without a token: status %d, want %d; %s", target, resp.status, without, resp.body)
	}
	resp := a.send(t, request{target: target, header: bearer(a.env.Token(claims))})
	if resp.status != with {
		t.Errorf("%s with a token: status %d, want %d; %s", target, resp.status, with, resp.body)
	}
	if with == http.StatusOK && resp.body != "usr_1" {
		t.Errorf("%s: the handler saw %q", target, resp.body)
	}
}

func (a *app) expectMetadata(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if resp := a.send(t, request{method: http.MethodGet, target: path}); resp.status != http.StatusOK || !strings.HasPrefix(resp.body, `{"resource":"`+baseURL) {
			t.Errorf("%s: status %d, %s", path, resp.status, resp.body)
		}
	}
}

// preflight sends a preflight, which has to reach the middleware.
func (a *app) preflight(t *testing.T, target string) {
	t.Helper()
	resp := a.send(t, request{method: http.MethodOptions, target: target, header: http.Header{"Origin": {baseURL}, "Access-Control-Request-Method": {"POST"}}})
	if resp.status != http.StatusNoContent || resp.header.Get("Access-Control-Allow-Origin") != baseURL {
		t.Errorf("preflight of %s: status %d", target, resp.status)
	}
}

func runRoot(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Use(a.rs)
	a.build.Handle("", "/mcp", userID, nil)
	a.build.Handle("", "/other", userID, nil)
	a.serve(t)
	a.expectMetadata(t, metadataPath, rootMetadata)
	a.expect(t, "/mcp", 401, 200, nil)
	a.expect(t, "/other", 401, 200, nil)
	a.expect(t, "/unknown", 401, 404, nil)
	a.expect(t, metadataPath+"x", 401, 404, nil)
	a.preflight(t, "/mcp")
	if resp := a.send(t, request{method: http.MethodPut, target: metadataPath}); resp.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT of the metadata: status %d", resp.status)
	}
}

func runGroup(t *testing.T, f *Framework) {
	a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.Path = "/api/mcp" })
	a.build.MountMetadata(a.rs)
	a.build.Handle("/api", "/mcp", userID, a.rs)
	a.build.Handle("/admin", "/mcp", userID, a.rs, a.rs.WithRequiredScopes("admin", "audit"))
	a.build.Handle("", "/open", func(session *mcpauth.Session, err error) string {
		if session != nil || err == nil {
			t.Error("an open route has a session")
		}
		return "usr_1"
	}, nil)
	a.build.Handle("", "/apifoo", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
	a.serve(t)
	a.expectMetadata(t, rootMetadata+"/api/mcp", rootMetadata)
	a.expect(t, "/api/mcp", 401, 200, nil)
	a.expect(t, "/admin/mcp", 401, 403, map[string]any{"scope": "admin"})
	a.expect(t, "/admin/mcp", 401, 200, map[string]any{"scope": "audit admin"})
	a.expect(t, "/open", 200, 200, nil)
	a.preflight(t, "/api/mcp")
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		if resp := a.send(t, request{method: method, target: "/api/mcp"}); resp.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", method, resp.status)
		}
	}
	resp := a.send(t, request{target: "/admin/mcp", header: bearer(a.env.Token(nil))})
	if got := resp.header.Get("WWW-Authenticate"); !strings.Contains(got, `scope="admin audit"`) {
		t.Errorf("R58 the challenge of a route with scopes of its own: %s", got)
	}
}

func runRoute(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.MountMetadata(a.rs)
	a.build.Handle("", "/mcp", userID, a.rs)
	a.build.Handle("", "/healthz", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
	a.serve(t)
	a.expectMetadata(t, metadataPath, rootMetadata)
	a.expect(t, "/mcp", 401, 200, nil)
	a.expect(t, "/healthz", 200, 200, nil)
	a.expect(t, "/unknown", 404, 404, nil)
	a.preflight(t, "/mcp")
}

func runMount(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.build.Handle("", "/healthz", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
	a.serve(t)
	a.expectMetadata(t, metadataPath, rootMetadata)
	a.expect(t, "/healthz", 200, 200, nil)
	a.expect(t, "/unknown", 404, 404, nil)
}

// runMountAtRoot mounts the endpoint at the root of the origin, a path that some routers match for everything below it.
func runMountAtRoot(t *testing.T, f *Framework) {
	a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.Path = "/" })
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.build.Handle("", "/healthz", func(*mcpauth.Session, error) string { return "usr_1" }, nil)
	a.serve(t)
	a.expectMetadata(t, rootMetadata)
	a.expect(t, "/healthz", 200, 200, nil)
	a.expect(t, "/unknown", 404, 404, nil)
	if resp := a.send(t, request{target: "/"}); resp.status != http.StatusUnauthorized {
		t.Errorf("without a token: status %d", resp.status)
	}
	if resp := a.send(t, request{target: "/", header: bearer(a.env.Token(nil)), body: "x"}); resp.body != "usr_1 x" {
		t.Errorf("with a token: status %d, %q", resp.status, resp.body)
	}
}

func runTwoResources(t *testing.T, f *Framework) {
	a := f.prepare(t, func(cfg *mcpauth.Config) { cfg.Path, cfg.ResourceID, cfg.OmitRootMetadata = "/one", "", true })
	two := a.resourceServer(t, func(cfg *mcpauth.Config) { cfg.Path, cfg.ResourceID, cfg.OmitRootMetadata = "/two", "", true })
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.build.Mount(two, http.HandlerFunc(a.handle))
	a.serve(t)
	for own, other := range map[string]string{"/one": "/two", "/two": "/one"} {
		h := bearer(a.env.Token(map[string]any{"iss": a.env.URL(), "aud": baseURL + own}))
		if resp := a.send(t, request{target: own, header: h}); resp.status != http.StatusOK {
			t.Errorf("%s: status %d", own, resp.status)
		}
		if resp := a.send(t, request{target: other, header: h}); resp.status != http.StatusUnauthorized || !strings.Contains(resp.header.Get("WWW-Authenticate"), rootMetadata+other) {
			t.Errorf("a token for %s at %s: status %d, %s", own, other, resp.status, resp.header.Get("WWW-Authenticate"))
		}
		if resp := a.send(t, request{method: http.MethodGet, target: rootMetadata + own}); !strings.Contains(resp.body, `"resource":"`+baseURL+own+`"`) {
			t.Errorf("metadata of %s: %s", own, resp.body)
		}
	}
	if resp := a.send(t, request{method: http.MethodGet, target: rootMetadata}); resp.status != http.StatusNotFound {
		t.Errorf("a root document: status %d", resp.status)
	}
}

// runOuter has an outer middleware that sets headers, among them CORS headers that allow too much.
func runOuter(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	a.build.Outer("X-Request-Id", "42")
	a.build.Outer("Vary", "Accept-Encoding")
	a.build.Outer("Access-Control-Allow-Origin", "https://outer.example")
	a.build.Mount(a.rs, http.HandlerFunc(a.handle))
	a.serve(t)
	for _, c := range []struct {
		name, origin string
		token        bool
		status       int
		allowed      []string
	}{
		{"allowed", baseURL, true, 200, []string{baseURL}},
		{"denied", baseURL, false, 401, []string{baseURL}},
		{"no origin", "", true, 200, []string{"https://outer.example"}},
		{"R65 refused origin", "https://outer.example", true, 403, nil},
	} {
		h := http.Header{}
		if c.token {
			h = bearer(a.env.Token(nil))
		}
		if c.origin != "" {
			h.Set("Origin", c.origin)
		}
		resp := a.send(t, request{header: h})
		if got := resp.header["Access-Control-Allow-Origin"]; resp.status != c.status || fmt.Sprint(got) != fmt.Sprint(c.allowed) {
			t.Errorf("%s: status %d, Access-Control-Allow-Origin %q, want %d, %q", c.name, resp.status, got, c.status, c.allowed)
		}
		if got := resp.header["X-Request-Id"]; len(got) != 1 || got[0] != "42" {
			t.Errorf("%s: the outer middleware's header became %q", c.name, got)
		}
		if got := strings.Join(resp.header["Vary"], ", "); got != "Accept-Encoding, Origin" {
			t.Errorf("%s: Vary is %q", c.name, got)
		}
	}
}

// runLoad sends requests with different tokens from 200 parallel clients, keeps the sessions that the framework's own
// handler and an http.Handler are given, and looks at them when all requests have ended.
func runLoad(t *testing.T, f *Framework) {
	const clients, rounds = 200, 4
	a := f.prepare(t, nil)
	var mu sync.Mutex
	kept := make(map[string][]*mcpauth.Session)
	keep := func(session *mcpauth.Session, err error) string {
		if err != nil {
			return err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		id := strings.Clone(session.UserID())
		kept[id] = append(kept[id], session)
		return id
	}
	a.build.Handle("", "/own", keep, a.rs)
	a.build.Mount(a.rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, keep(mcpauth.SessionFromContext(r.Context())))
	}))
	a.serve(t)

	var wg sync.WaitGroup
	for i := range clients {
		id := fmt.Sprintf("usr_%04d", i)
		token := a.env.Token(map[string]any{"sub": id, "scope": id, "oid": "org_" + id})
		wg.Go(func() {
			conn := a.dial(t)
			defer func() { _ = conn.Close() }()
			from := bufio.NewReader(conn)
			for range rounds {
				for _, target := range []string{"/mcp", "/own"} {
					if resp := exchange(t, conn, from, request{target: target, header: bearer(token)}); resp.body != id {
						t.Errorf("%s saw %d %q at %s", id, resp.status, resp.body, target)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for id, sessions := range kept {
		if len(sessions) != 2*rounds {
			t.Errorf("%s: the handlers ran %d times, want %d", id, len(sessions), 2*rounds)
		}
		for _, s := range sessions {
			if s.UserID() != id || s.Scopes()[0] != id || s.OrganizationID() != "org_"+id || s.Claims()["sub"] != id {
				t.Errorf("a session of %s became one of %s, %s", id, s.UserID(), s.OrganizationID())
			}
		}
	}
}

func runLargeBody(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	body := string(bytes.Repeat([]byte("0123456789abcdef"), 256<<10)) // 4 MiB
	if resp := a.send(t, request{header: bearer(a.env.Token(nil)), body: body}); resp.body != "usr_1 "+body {
		t.Errorf("a body of %d bytes: status %d, %d bytes came through", len(body), resp.status, len(resp.body)-len("usr_1 "))
	}
}

// runHostile sends what no client should. The framework may reply before the middleware runs; the handler must not run.
func runHostile(t *testing.T, f *Framework) {
	a := f.start(t, nil)
	good := "Host: mcp.example.com\r\nAuthorization: Bearer " + a.env.Token(nil) + "\r\n"
	for name, text := range map[string]string{
		"no colon":                      "POST /mcp HTTP/1.1\r\n" + good + "Nonsense\r\n\r\n",
		"a negative length":             "POST /mcp HTTP/1.1\r\n" + good + "Content-Length: -1\r\n\r\n",
		"a length that is not a number": "POST /mcp HTTP/1.1\r\n" + good + "Content-Length: x\r\n\r\n",
		"a method of illegal bytes":     "P\x00ST /mcp HTTP/1.1\r\n" + good + "\r\n",
		"a line feed in the target":     "POST /mcp\n HTTP/1.1\r\n" + good + "\r\n",
		"large headers without a token": "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nX-Large: " + strings.Repeat("x", 60<<10) + "\r\n\r\n",
		"a huge header":                 "POST /mcp HTTP/1.1\r\nHost: mcp.example.com\r\nX-Huge: " + strings.Repeat("x", 4<<20) + "\r\n\r\n",
	} {
		conn := a.dial(t)
		_, _ = io.WriteString(conn, text) // the server may close before it has read all
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			if (resp.StatusCode < 400 || resp.StatusCode > 499) && resp.StatusCode != http.StatusNotImplemented {
				t.Errorf("%s: status %d", name, resp.StatusCode)
			}
			_ = resp.Body.Close()
		}
		_ = conn.Close()
		if ran := a.ran.Swap(0); ran != 0 {
			t.Errorf("%s: the handler ran", name)
		}
	}

	// A refusal does not end the connection, even when it comes before the body was read.
	conn := a.dial(t)
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	for _, header := range []http.Header{nil, bearer("x"), {"Authorization": {"Bearer"}}, bearer(a.env.Token(nil))} {
		want := http.StatusOK
		switch header.Get("Authorization") {
		case "", "Bearer x":
			want = http.StatusUnauthorized
		case "Bearer":
			want = http.StatusBadRequest
		}
		if resp := exchange(t, conn, from, request{header: header, body: strings.Repeat("x", 2000)}); resp.status != want {
			t.Errorf("on one connection: status %d, want %d", resp.status, want)
		}
	}
}

// runMistakes makes each mistake that has to panic while the app is put together.
func runMistakes(t *testing.T, f *Framework) {
	rs := f.prepare(t, nil).rs
	handler := http.NotFoundHandler()
	f.expectPanics(t, map[string]func(App){
		"Use without a resource server":           func(app App) { app.Use(nil) },
		"Mount without a resource server":         func(app App) { app.Mount(nil, handler) },
		"MountMetadata without a resource server": func(app App) { app.MountMetadata(nil) },
		"Mount without a handler":                 func(app App) { app.Mount(rs, nil) },
	})
}

func runTwice(t *testing.T, f *Framework) {
	rs := f.prepare(t, nil).rs
	handler := http.NotFoundHandler()
	f.expectPanics(t, map[string]func(App){
		"Mount twice":                    func(app App) { app.Mount(rs, handler); app.Mount(rs, handler) },
		"MountMetadata twice":            func(app App) { app.MountMetadata(rs); app.MountMetadata(rs) },
		"Mount and MountMetadata":        func(app App) { app.Mount(rs, handler); app.MountMetadata(rs) },
		"Mount on a route that is taken": func(app App) { app.Handle("", "/mcp", userID, nil); app.Mount(rs, handler) },
	})
}

// runTwoRoots mounts two resources on one origin that both want its root document.
func runTwoRoots(t *testing.T, f *Framework) {
	a := f.prepare(t, nil)
	two := a.resourceServer(t, func(cfg *mcpauth.Config) { cfg.Path = "/two" })
	app := f.New()
	app.Mount(a.rs, http.NotFoundHandler())
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "OmitRootMetadata") {
			t.Errorf("Mount panics with %q, which does not name OmitRootMetadata", said)
		}
	}()
	app.Mount(two, http.NotFoundHandler())
}

func (f *Framework) expectPanics(t *testing.T, mistakes map[string]func(App)) {
	t.Helper()
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the mistake did not panic")
				}
			}()
			mistake(f.New())
		})
	}
}
