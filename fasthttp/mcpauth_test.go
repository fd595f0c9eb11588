package mcpauthfasthttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	"github.com/scalekit-mcp/mcpauth/fasthttp/bridgetest"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	const noRoutes = "a fasthttp.Server has one handler and no list of routes to look into; of two mounts of one path, the later one wins"
	adaptertest.Run(t, adaptertest.Framework{
		New: func() adaptertest.App {
			app := &suiteApp{routes: routes{}, server: config()}
			app.server.Handler = app.routes.serve
			return app
		},
		Deviations: map[string]string{"a route registered twice panics at start": noRoutes, "two root documents panic at start": noRoutes},
	})
}

// A suiteApp is what the suite puts apps together with: a server with a router of the simplest kind.
type suiteApp struct {
	routes routes
	server *fasthttp.Server
	around []func(fasthttp.RequestHandler) fasthttp.RequestHandler // the first one is the outermost
}

func (a *suiteApp) Outer(name, value string) {
	a.around = append(a.around, func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set(name, value)
			next(ctx)
		}
	})
}

// Recover is what fasthttp's users write.
func (a *suiteApp) Recover() {
	a.around = append(a.around, func(next fasthttp.RequestHandler) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			defer func() {
				if recover() != nil {
					ctx.SetStatusCode(http.StatusInternalServerError)
				}
			}()
			next(ctx)
		}
	})
}

func (a *suiteApp) Use(rs *mcpauth.ResourceServer) {
	a.around = append(a.around, mcpauthfasthttp.Middleware(rs))
}

func (a *suiteApp) Mount(rs *mcpauth.ResourceServer, handler http.Handler) {
	mcpauthfasthttp.Mount(a.server, rs, handler)
}

func (a *suiteApp) MountMetadata(rs *mcpauth.ResourceServer) {
	mcpauthfasthttp.MountMetadata(a.server, rs)
}

func (a *suiteApp) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	serve := func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(handler(mcpauthfasthttp.Session(ctx))) }
	for _, rs := range slices.Backward(more) {
		serve = mcpauthfasthttp.Middleware(rs)(serve)
	}
	if guard != nil {
		serve = mcpauthfasthttp.Middleware(guard)(serve)
	}
	a.routes[prefix+path] = serve
}

func (a *suiteApp) Serve(listener net.Listener) (stop func()) {
	for _, around := range slices.Backward(a.around) {
		a.server.Handler = around(a.server.Handler)
	}
	go a.server.Serve(listener) //nolint:errcheck // it ends with Shutdown
	return func() { _ = shutdown(a.server, time.Second) }
}

func whoami(ctx *fasthttp.RequestCtx) {
	session, err := mcpauthfasthttp.Session(ctx)
	if err != nil {
		ctx.SetStatusCode(http.StatusTeapot)
		ctx.SetBodyString(err.Error())
		return
	}
	ctx.SetBodyString(session.UserID())
}

var whoamiHTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	session, err := mcpauth.SessionFromContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, session.UserID())
})

// TestMiddlewareAroundAServer is enough by itself: it answers the metadata and guards all else.
func TestMiddlewareAroundAServer(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	app.Handler = mcpauthfasthttp.Middleware(rs)(routes{"/mcp": whoami, "/other": mcpauthfasthttp.Handler(whoamiHTTP)}.serve)
	url := "http://" + serve(t, app)
	bridgetest.Statuses(t, url, env.Token(nil), map[string][2]int{
		"/mcp":                                  {401, 200},
		"/other":                                {401, 200},
		"/unknown":                              {401, 404},
		"/.well-known/oauth-protected-resource": {200, 200},
		"/.well-known/oauth-protected-resource/mcp":    {200, 200},
		"/.well-known/oauth-protected-resource/mcp/":   {401, 404},
		"/.well-known/oauth-protected-resource/MCP":    {401, 404},
		"/.well-known/oauth-protected-resource/x":      {401, 404},
		"/.well-known//oauth-protected-resource/mcp":   {401, 404},
		"/.well-known/%6fauth-protected-resource/mcp":  {401, 404},
		"/x/../.well-known/oauth-protected-resource":   {401, 404},
		"/.well-known/oauth-protected-resource/mcp%2f": {401, 404},
	})
}

// TestMountLeavesTheRestOpen also has the endpoint at the root, and a server without a handler of its own.
func TestMountLeavesTheRestOpen(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/mcp", "/", "/Mcp"} {
		for _, own := range []bool{false, true} {
			rs, env := bridgetest.NewResource(t, path)
			app := config()
			open := http.StatusNotFound
			if own {
				app.Handler, open = routes{"/healthz": whoami}.serve, http.StatusTeapot
			}
			mcpauthfasthttp.Mount(app, rs, whoamiHTTP)
			url := "http://" + serve(t, app)
			if status, body := bridgetest.Get(t, url+"/healthz", env.Token(nil)); status != open || own && !strings.Contains(body, "session not initialized") {
				t.Errorf("%s: /healthz: %d %q", path, status, body)
			}
			if status, _ := bridgetest.Get(t, url+path, ""); status != http.StatusUnauthorized {
				t.Errorf("%s: status %d without a token", path, status)
			}
			if status, body := bridgetest.Get(t, url+path, env.Token(nil)); status != http.StatusOK || body != "usr_1" {
				t.Errorf("%s: %d %q with a token", path, status, body)
			}
			for _, other := range []string{"/nothing", strings.ToUpper(path), path + "/", path + "x", "/%6dcp", "/x/.." + path, "/." + path} {
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

// TestMountInFrontOfTheServersOwnHooks: HeaderReceived and ErrorHandler of the user's go on working.
func TestMountInFrontOfTheServersOwnHooks(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	app.HeaderReceived = func(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
		return fasthttp.RequestConfig{MaxRequestBodySize: 10 * len(header.Peek("X-Large"))}
	}
	app.StreamRequestBody = false
	app.ErrorHandler = func(ctx *fasthttp.RequestCtx, _ error) { ctx.Error("own", http.StatusTeapot) }
	mcpauthfasthttp.Mount(app, rs, whoamiHTTP)
	addr := serve(t, app)
	for lines, want := range map[string]int{
		"X-Large: x\r\nContent-Length: 10\r\n\r\n0123456789":        http.StatusOK,
		"X-Large: x\r\nContent-Length: 11\r\n\r\n0123456789x":       http.StatusTeapot,
		"Content-Length: x\r\n\r\n":                                 http.StatusTeapot,
		"X-Huge: " + strings.Repeat("x", 40<<10) + "\r\n\r\n":       http.StatusTeapot,
		"X-Large: xxx\r\nContent-Length: 11\r\n\r\n0123456789x":     http.StatusOK,
		"X-Large: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": http.StatusOK,
	} {
		conn := bridgetest.Dial(t, addr)
		conn.Send("POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + env.Token(nil) + "\r\n" + lines)
		if resp, body := conn.Answer("POST"); resp.StatusCode != want {
			t.Errorf("%.40q: %d %q, want %d", lines, resp.StatusCode, body, want)
		}
	}
}

// TestMountKeepsFasthttpsErrors: without an ErrorHandler of the user's, errors are answered as fasthttp does.
func TestMountKeepsFasthttpsErrors(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	plain, mounted := config(), config()
	plain.ReadTimeout, mounted.ReadTimeout = 500*time.Millisecond, 500*time.Millisecond
	plain.Handler = func(*fasthttp.RequestCtx) {}
	mcpauthfasthttp.Mount(mounted, rs, whoamiHTTP)
	addrs := [2]string{serve(t, plain), serve(t, mounted)}
	for _, text := range []string{
		"GET / HTTP/1.1\r\nX-Huge: " + strings.Repeat("x", 40<<10) + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
	} {
		var got [2]string
		for i, addr := range addrs {
			conn := bridgetest.Dial(t, addr)
			conn.Send(text)
			resp, body := conn.Answer("GET")
			got[i] = http.StatusText(resp.StatusCode) + " " + body
		}
		if got[0] != got[1] {
			t.Errorf("%.30q: %q, fasthttp has %q", text, got[1], got[0])
		}
	}
}

// TestValuesOfHandlersInFront reach the http.Handler by SetContext, and nothing else of theirs does.
func TestValuesOfHandlersInFront(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	type tenant struct{}
	app := config()
	mcpauthfasthttp.Mount(app, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := r.Context().Value(tenant{}).(string)
		_, err := mcpauth.SessionFromContext(r.Context())
		if err != nil || r.Context().Value("user value") != nil {
			t.Error(err, r.Context().Value("user value"))
		}
		_, _ = io.WriteString(w, name)
	}))
	next := app.Handler
	app.Handler = func(ctx *fasthttp.RequestCtx) {
		ctx.SetUserValue("user value", "x")
		mcpauthfasthttp.SetContext(ctx, context.WithValue(mcpauthfasthttp.Context(ctx), tenant{}, "acme"))
		next(ctx)
	}
	if status, body := bridgetest.Get(t, "http://"+serve(t, app)+"/mcp", env.Token(nil)); body != "acme" {
		t.Error(status, body)
	}
}

// TestFasthttpadaptor hands the handler a context without a session, rather than somebody's.
func TestFasthttpadaptor(t *testing.T) {
	t.Parallel()
	rs, env := bridgetest.NewResource(t, "")
	app := config()
	app.Handler = mcpauthfasthttp.Middleware(rs)(fasthttpadaptor.NewFastHTTPHandler(whoamiHTTP))
	status, body := bridgetest.Get(t, "http://"+serve(t, app)+"/mcp", env.Token(nil))
	if status != http.StatusTeapot || !strings.Contains(body, "session not initialized") {
		t.Errorf("%d %q", status, body)
	}
}

func TestMistakesPanicAtStart(t *testing.T) {
	t.Parallel()
	rs, _ := bridgetest.NewResource(t, "")
	for name, mistake := range map[string]func(app *fasthttp.Server){
		"no resource server":           func(*fasthttp.Server) { mcpauthfasthttp.Middleware(nil) },
		"no resource server, Mount":    func(app *fasthttp.Server) { mcpauthfasthttp.Mount(app, nil, whoamiHTTP) },
		"no resource server, metadata": func(app *fasthttp.Server) { mcpauthfasthttp.MountMetadata(app, nil) },
		"no resource server, Protect":  func(app *fasthttp.Server) { mcpauthfasthttp.Protect(app, nil, "/mcp") },
		"no handler":                   func(app *fasthttp.Server) { mcpauthfasthttp.Mount(app, rs, nil) },
		"no handler, Handler":          func(*fasthttp.Server) { mcpauthfasthttp.Handler(nil) },
		"no handler, NewBridge":        func(*fasthttp.Server) { mcpauthfasthttp.NewBridge(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			mistake(config())
		}()
	}
}
