package conformance_test

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v2"
	fiberv3 "github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
	"github.com/scalekit-mcp/mcpauth/examples/conformance/everything"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
	mcpauthgosdk "github.com/scalekit-mcp/mcpauth/gosdk"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
)

// unprotected is the name of the server without authentication. All others are compared with it.
const unprotected = "none"

// A router serves a handler until stop is called. If there is a resource server, the handler is behind mcpauth.
type router struct {
	name  string
	serve func(*mcpauth.ResourceServer, http.Handler, net.Listener) (stop func() error)
}

var routers = []router{
	{unprotected, func(_ *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		mux := http.NewServeMux()
		mux.Handle("/mcp", handler)
		return serveHTTP(mux, listener)
	}},
	{"net/http", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		mux := http.NewServeMux()
		mcpauthhttp.Mount(mux, rs, handler)
		return serveHTTP(mux, listener)
	}},
	{"gin", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		gin.SetMode(gin.ReleaseMode)
		engine := gin.New()
		mcpauthgin.Mount(engine, rs, handler)
		return serveHTTP(engine, listener)
	}},
	{"echo", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		e := echo.New()
		mcpauthecho.Mount(e, rs, handler)
		return serveHTTP(e, listener)
	}},
	{"echov5", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		e := echov5.New()
		mcpauthechov5.Mount(e, rs, handler)
		return serveHTTP(e, listener)
	}},
	{"fiber", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		app := fiber.New(fiber.Config{
			ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true, DisableStartupMessage: true,
		})
		mcpauthfiber.Mount(app, rs, handler)
		go func() { _ = app.Listener(listener) }()
		return func() error {
			_ = app.ShutdownWithTimeout(time.Second) // streams may be open
			return nil
		}
	}},
	{"fiberv3", func(rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) func() error {
		app := fiberv3.New(fiberv3.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
		mcpauthfiberv3.Mount(app, rs, handler)
		go func() { _ = app.Listener(listener, fiberv3.ListenConfig{DisableStartupMessage: true}) }()
		return func() error {
			_ = app.ShutdownWithTimeout(time.Second) // streams are open
			return nil
		}
	}},
}

func serveHTTP(handler http.Handler, listener net.Listener) func() error {
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	return server.Close
}

// startServer runs the suite's server under a router, behind a proxy that adds a token to each request, and returns the URL
// of the endpoint at the proxy. The unprotected server has the same proxy, which adds no token.
func startServer(t *testing.T, router router, mode everything.Mode) string {
	t.Helper()
	front, back := listen(t), listen(t)
	public, private := "http://"+front.Addr().String(), "http://"+back.Addr().String()

	server := everything.New()
	handler := everything.Handler(server, mode)
	var rs *mcpauth.ResourceServer
	token := ""
	if router.name != unprotected {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		config := env.Config(public)
		config.Logger = slog.New(slog.DiscardHandler)
		var err error
		if rs, err = mcpauth.New(config); err != nil {
			t.Fatal(err)
		}
		token = env.Token(map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
		mcpauthgosdk.Attach(server)
		handler = mcpauthgosdk.Handler(rs, handler)
	}
	serve(t, router, rs, handler, back)
	stopProxy := serveHTTP(proxy(t, private, func(string) string { return token }), front)
	t.Cleanup(func() { _ = stopProxy() })

	// A request that bypasses the proxy is refused, except by the unprotected server.
	resp, err := http.Post(private+"/mcp", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if refused := resp.StatusCode == http.StatusUnauthorized; refused != (router.name != unprotected) {
		t.Fatalf("%s answers %s to a request without a token", router.name, resp.Status)
	}
	return public + "/mcp"
}

// serve serves handler under router until the test ends.
func serve(t *testing.T, router router, rs *mcpauth.ResourceServer, handler http.Handler, listener net.Listener) {
	t.Helper()
	stop := router.serve(rs, handler, listener)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// proxy sends each request on with the token that resolve returns for the token that it came with, and as it came if that
// is none.
func proxy(t *testing.T, target string, resolve func(token string) string) http.Handler {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			if token := resolve(strings.TrimPrefix(r.In.Header.Get("Authorization"), "Bearer ")); token != "" {
				r.Out.Header.Set("Authorization", "Bearer "+token)
			}
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the suite disconnects from streams
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Read the whole body first. If a response starts before the proxy has read the body, net/http closes the body, and
		// the proxy then aborts the response.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		forward.ServeHTTP(w, r)
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
