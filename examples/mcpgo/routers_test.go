package mcpgo_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v2"
	fiberv3 "github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
	mcpauthhttp "github.com/scalekit-mcp/mcpauth/nethttp"
	"github.com/valyala/fasthttp"
)

// A serveFunc mounts a handler on a router, and returns the URL of its server.
type serveFunc func(*testing.T, *mcpauth.ResourceServer, http.Handler) string

// servers are the routers that the tests run under.
var servers = map[string]serveFunc{
	"nethttp":  serveHTTP,
	"gin":      serveGin,
	"echo":     serveEcho,
	"echov5":   serveEchoV5,
	"fasthttp": servePlainFasthttp,
	"fiber":    serveFiber,
	"fiberv3":  serveFiberV3,
}

func init() { gin.SetMode(gin.ReleaseMode) }

func serveHTTP(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mcpauthhttp.Mount(mux, rs, handler)
	return serveRouter(t, mux)
}

func serveGin(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	engine := gin.New()
	mcpauthgin.Mount(engine, rs, handler)
	return serveRouter(t, engine)
}

func serveEcho(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	e := echo.New()
	mcpauthecho.Mount(e, rs, handler)
	return serveRouter(t, e)
}

func serveEchoV5(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	e := echov5.New()
	mcpauthechov5.Mount(e, rs, handler)
	return serveRouter(t, e)
}

func serveRouter(t *testing.T, router http.Handler) string {
	t.Helper()
	s := httptest.NewServer(router)
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections) // streams that a test left open
	return s.URL
}

func servePlainFasthttp(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	router := &fasthttp.Server{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true, CloseOnShutdown: true}
	mcpauthfasthttp.Mount(router, rs, handler)
	shutdown := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return router.ShutdownWithContext(ctx)
	}
	return serveFasthttp(t, router.Serve, shutdown)
}

func serveFiber(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	mcpauthfiber.Mount(app, rs, handler)
	return serveFasthttp(t, app.Listener, app.ShutdownWithTimeout)
}

func serveFiberV3(t *testing.T, rs *mcpauth.ResourceServer, handler http.Handler) string {
	t.Helper()
	app := fiberv3.New(fiberv3.Config{ReadBufferSize: 32 << 10, StreamRequestBody: true, DisablePreParseMultipartForm: true})
	mcpauthfiberv3.Mount(app, rs, handler)
	serve := func(l net.Listener) error {
		return app.Listener(l, fiberv3.ListenConfig{DisableStartupMessage: true})
	}
	return serveFasthttp(t, serve, app.ShutdownWithTimeout)
}

// serveFasthttp serves by one function until another one stops it, as the apps of both major versions of fiber do.
func serveFasthttp(t *testing.T, serve func(net.Listener) error, shutdown func(time.Duration) error) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = shutdown(5 * time.Second)
		<-ended
	})
	return "http://" + listener.Addr().String()
}
