package mcpauthfiberv3_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	recoverer "github.com/gofiber/fiber/v3/middleware/recover"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App { return suiteApp{fiber.New(config())} }})
}

// A suiteApp is what the suite puts apps together with.
type suiteApp struct{ app *fiber.App }

func (a suiteApp) Outer(name, value string) {
	a.app.Use(func(c fiber.Ctx) error {
		c.Set(name, value)
		return c.Next()
	})
}

func (a suiteApp) Recover() { a.app.Use(recoverer.New()) }

func (a suiteApp) Use(rs *mcpauth.ResourceServer) { a.app.Use(mcpauthfiberv3.Middleware(rs)) }

func (a suiteApp) Mount(rs *mcpauth.ResourceServer, handler http.Handler) {
	mcpauthfiberv3.Mount(a.app, rs, handler)
}

func (a suiteApp) MountMetadata(rs *mcpauth.ResourceServer) { mcpauthfiberv3.MountMetadata(a.app, rs) }

func (a suiteApp) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var router fiber.Router = a.app
	var handlers []any
	switch {
	case guard != nil && prefix != "":
		router = router.Group(prefix, mcpauthfiberv3.Middleware(guard))
	case guard != nil:
		handlers = append(handlers, mcpauthfiberv3.Middleware(guard))
	default:
		path = prefix + path
	}
	for _, rs := range more {
		handlers = append(handlers, mcpauthfiberv3.Middleware(rs))
	}
	handlers = append(handlers, func(c fiber.Ctx) error { return c.SendString(handler(mcpauthfiberv3.Session(c))) })
	router.All(path, handlers[0], handlers[1:]...)
}

func (a suiteApp) Serve(listener net.Listener) (stop func()) {
	go a.app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) //nolint:errcheck // it ends with Shutdown
	return func() { _ = a.app.ShutdownWithTimeout(time.Second) }
}

func whoami(c fiber.Ctx) error {
	session, err := mcpauthfiberv3.Session(c)
	if err != nil {
		return c.Status(http.StatusTeapot).SendString(err.Error())
	}
	return c.SendString(session.UserID())
}

var whoamiHTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, session.UserID())
})

// TestMiddlewareOnAnApp is enough by itself: it answers the metadata and guards all else.
func TestMiddlewareOnAnApp(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.Use(mcpauthfiberv3.Middleware(rs))
	app.All("/mcp", whoami)
	app.All("/other", mcpauthfiberv3.Handler(whoamiHTTP))
	url := "http://" + serve(t, app)
	bridgetest.Statuses(t, url, env.Token(nil), map[string][2]int{
		"/mcp":                                  {401, 200},
		"/MCP":                                  {401, 200},
		"/other":                                {401, 200},
		"/unknown":                              {401, 404},
		"/.well-known/oauth-protected-resource": {200, 200},
		"/.well-known/oauth-protected-resource/mcp":  {200, 200},
		"/.well-known/oauth-protected-resource/mcp/": {401, 404},
		"/.well-known/oauth-protected-resource/MCP":  {401, 404},
		"/.well-known/oauth-protected-resource/x":    {401, 404},
	})
}

// TestMiddlewareInAGroup has the metadata in addition.
func TestMiddlewareInAGroup(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "/api/mcp")
	app := fiber.New(config())
	mcpauthfiberv3.MountMetadata(app, rs)
	app.Group("/api", mcpauthfiberv3.Middleware(rs)).All("/mcp", whoami)
	app.Get("/open", whoami)
	url := "http://" + serve(t, app)
	bridgetest.Statuses(t, url, env.Token(nil), map[string][2]int{
		"/api/mcp": {401, 200}, "/open": {418, 418}, "/.well-known/oauth-protected-resource/api/mcp": {200, 200},
	})
}

// TestMountLeavesTheRestOpen also has the endpoint at the root.
func TestMountLeavesTheRestOpen(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp", "/", "/Mcp"} {
		for _, strict := range []bool{false, true} {
			rs, env := bridgetest.NewResource(t, path)
			cfg := config()
			cfg.CaseSensitive, cfg.StrictRouting = strict, strict
			app := fiber.New(cfg)
			mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
			app.Get("/healthz", whoami)
			url := "http://" + serve(t, app)
			if status, body := bridgetest.Get(t, url+"/healthz", env.Token(nil)); status != http.StatusTeapot || !strings.Contains(body, "session not initialized") {
				t.Errorf("%s: /healthz: %d %q", path, status, body)
			}
			if status, _ := bridgetest.Get(t, url+path, ""); status != http.StatusUnauthorized {
				t.Errorf("%s: status %d without a token", path, status)
			}
			if status, body := bridgetest.Get(t, url+path, env.Token(nil)); status != http.StatusOK || body != "usr_1" {
				t.Errorf("%s: %d %q with a token", path, status, body)
			}
			for _, other := range []string{"/nothing", strings.ToUpper(path), path + "/", path + "x"} {
				if other == path {
					continue
				}
				if status, body := bridgetest.Get(t, url+other, env.Token(nil)); status != http.StatusNotFound {
					t.Errorf("%s: %s: %d %q, want 404", path, other, status, body)
				}
			}
		}
	}
}

// TestR27AnyCaseOfTheHeader has Fiber keep the names of headers as they come.
func TestR27AnyCaseOfTheHeader(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	cfg := config()
	cfg.DisableHeaderNormalizing = true
	app := fiber.New(cfg)
	mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
	addr := serve(t, app)
	token := env.Token(nil)
	for headers, want := range map[string]int{
		"authorization: Bearer " + token + "\r\n":                                           200,
		"authorization: Bearer x\r\nAuthorization: Bearer " + token + "\r\n":                400,
		"AUTHORIZATION: Bearer " + token + "\r\norigin: https://evil.example\r\n":           403,
		"Authorization: Bearer " + token + "\r\nX-Authorization: Bearer x\r\n":              200,
		"authorization: Bearer " + token + "\r\nauthorization: Bearer " + token + "\r\n":    400,
		"authorization: Basic x\r\n" + "X: y\r\nx: z\r\naUTHORIZATION: Bearer x\r\n" + "\r": 400,
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("GET /mcp HTTP/1.1\r\nHost: x\r\n" + strings.TrimSuffix(headers, "\r") + "\r\n")
		if resp, _ := conn.Answer("GET"); resp.StatusCode != want {
			t.Errorf("%q: status %d, want %d", headers, resp.StatusCode, want)
		}
	}
}

// TestOuterHeaders: what a CORS middleware in front has set is replaced, and Vary is added to.
func TestOuterHeaders(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.Use(func(c fiber.Ctx) error {
		c.Set("Access-Control-Allow-Origin", "https://other.example")
		c.Set("Vary", "Accept-Encoding")
		c.Set("X-Outer", "1")
		return c.Next()
	})
	mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
	url := "http://" + serve(t, app) + "/mcp"
	for _, token := range []string{"", env.Token(nil)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://mcp.example.com")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "https://mcp.example.com", "Vary": "Accept-Encoding Origin", "X-Outer": "1",
		} {
			if got := strings.Join(resp.Header.Values(name), " "); got != want {
				t.Errorf("status %d: %s: %q, want %q", resp.StatusCode, name, got, want)
			}
		}
	}
}

// TestFibersOwnAdaptor hands the handler a context without a session, rather than somebody's.
func TestFibersOwnAdaptor(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.Use(mcpauthfiberv3.Middleware(rs))
	app.All("/mcp", adaptor.HTTPHandler(whoamiHTTP))
	status, body := bridgetest.Get(t, "http://"+serve(t, app)+"/mcp", env.Token(nil))
	if status != http.StatusTeapot || !strings.Contains(body, "session not initialized") {
		t.Errorf("%d %q", status, body)
	}
}

func TestMistakesPanicAtStart(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	for name, mistake := range map[string]func(app *fiber.App){
		"no resource server":           func(*fiber.App) { mcpauthfiberv3.Middleware(nil) },
		"no resource server, Mount":    func(app *fiber.App) { mcpauthfiberv3.Mount(app, nil, whoamiHTTP) },
		"no resource server, metadata": func(app *fiber.App) { mcpauthfiberv3.MountMetadata(app, nil) },
		"no handler":                   func(app *fiber.App) { mcpauthfiberv3.Mount(app, rs, nil) },
		"no handler, Handler":          func(*fiber.App) { mcpauthfiberv3.Handler(nil) },
		"twice": func(app *fiber.App) {
			mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
			mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
		},
		"metadata twice": func(app *fiber.App) {
			mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
			mcpauthfiberv3.MountMetadata(app, rs)
		},
		"a route of the app": func(app *fiber.App) {
			app.Post("/MCP/", whoami)
			mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake(fiber.New(config()))
		}()
	}
	app := fiber.New(config())
	app.Use("/mcp", func(c fiber.Ctx) error { return c.Next() }) // a middleware is not a second route
	mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
}

// TestHTTPHandlersAsRoutes: Fiber v3 takes http.Handlers for routes, and runs them behind its own adaptor, without a
// session.
func TestHTTPHandlersAsRoutes(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.All("/mcp", mcpauthfiberv3.Middleware(rs), whoamiHTTP)
	status, body := bridgetest.Get(t, "http://"+serve(t, app)+"/mcp", env.Token(nil))
	if status != http.StatusTeapot || !strings.Contains(body, "session not initialized") {
		t.Errorf("%d %q", status, body)
	}
}

// TestTheFiberContextHasNoSession: it is a context.Context, and the next request's a moment later.
func TestTheFiberContextHasNoSession(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.All("/mcp", mcpauthfiberv3.Middleware(rs), func(c fiber.Ctx) error {
		_, wrong := mcpauth.SessionFromContext(c)
		session, err := mcpauth.SessionFromContext(c.Context())
		return c.SendString(fmt.Sprintf("%v %s %v", wrong != nil, session.UserID(), err))
	})
	if status, body := bridgetest.Get(t, "http://"+serve(t, app)+"/mcp", env.Token(nil)); body != "true usr_1 <nil>" {
		t.Errorf("%d %q", status, body)
	}
}

// TestUnreadableRequests run Fiber's middlewares without their headers, and no handler, and have Fiber's answer.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	token := "Authorization: Bearer " + env.Token(nil) + "\r\n"
	for by, protect := range map[string]func(*fiber.App, http.Handler){
		"Mount": func(app *fiber.App, handler http.Handler) { mcpauthfiberv3.Mount(app, rs, handler) },
		"Middleware": func(app *fiber.App, handler http.Handler) {
			app.Use(mcpauthfiberv3.Middleware(rs), mcpauthfiberv3.Handler(handler))
		},
	} {
		for _, streamed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, streamed %t", by, streamed), func(t *testing.T) {
				t.Parallel()
				cfg := config()
				cfg.StreamRequestBody, cfg.ReadTimeout = streamed, 2*time.Second // time enough for a request on a busy machine
				app := fiber.New(cfg)
				protect(app, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
				addr := serve(t, app)
				for text, want := range map[string]int{
					"GET /mcp HTTP/1.1\r\nHost: x\r\n" + token + "X-Huge: " + strings.Repeat("x", 40<<10) + "\r\n\r\n": 431,
					"POST /mcp HTTP/1.1\r\nHost: x\r\n" + token + "Content-Length: x\r\n\r\n":                          400,
					"POST /mcp HTTP/1.1\r\nHost: x\r\n" + token + "Content-Length: 50\r\n\r\nhalf":                     408,
				} {
					conn := bridgetest.Dial(t, addr)
					conn.Send(text)
					if resp, body := conn.Answer("POST"); resp.StatusCode != want || strings.Contains(body, "access token") {
						t.Errorf("%.60q: %d %q", text, resp.StatusCode, body)
					}
				}
			})
		}
	}
}

// TestAppsInApps: an endpoint belongs to the app that listens; a guard can be in an app that becomes part of another.
func TestAppsInApps(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "/api/mcp")
	app, mounted, guarded := fiber.New(config()), fiber.New(config()), fiber.New(config())
	mcpauthfiberv3.MountMetadata(app, rs)
	guarded.Use(mcpauthfiberv3.Middleware(rs))
	guarded.All("/mcp", mcpauthfiberv3.Handler(whoamiHTTP))
	app.Use("/api", guarded)
	other, _ := bridgetest.NewResource(t, "/x")
	mcpauthfiberv3.Mount(mounted, other, whoamiHTTP)
	app.Use("/sub", mounted)
	url := "http://" + serve(t, app)
	bridgetest.Statuses(t, url, env.Token(nil), map[string][2]int{
		"/api/mcp": {401, 200}, "/.well-known/oauth-protected-resource/api/mcp": {200, 200}, "/sub/x": {404, 404}, "/x": {404, 404},
	})
}

// TestHEADOfARoute: Fiber v3 registers HEAD with GET; it is guarded as GET is.
func TestHEADOfARoute(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	app.Get("/mcp", mcpauthfiberv3.Middleware(rs), whoami)
	addr := serve(t, app)
	for line, want := range map[string]int{"": 401, "Authorization: Bearer " + env.Token(nil) + "\r\n": 200} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("HEAD /mcp HTTP/1.1\r\nHost: x\r\n" + line + "\r\n")
		if resp, _ := conn.Answer("HEAD"); resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
	}
}

// TestRoutesAddedLater: RebuildTree puts routes into an app that serves already; Mount's stay.
func TestRoutesAddedLater(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := fiber.New(config())
	mcpauthfiberv3.Mount(app, rs, whoamiHTTP)
	_ = app.Handler() // which starts the app up, as listening does
	app.Get("/later", whoami)
	app.RebuildTree()
	url := "http://" + serve(t, app)
	for path, want := range map[string]int{"/mcp": 200, "/later": 418} {
		if status, body := bridgetest.Get(t, url+path, env.Token(nil)); status != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}
