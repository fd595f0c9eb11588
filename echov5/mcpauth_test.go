package mcpauthechov5_test

import (
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App { return app{newEcho()} }})
}

// newEcho returns an Echo that does not log to the standard output.
func newEcho() *echo.Echo {
	return echo.NewWithConfig(echo.Config{Logger: slog.New(slog.DiscardHandler)})
}

type app struct{ *echo.Echo }

func (a app) Outer(name, value string) {
	a.Echo.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.Response().Header().Set(name, value)
			return next(c)
		}
	})
}

func (a app) Recover() { a.Echo.Use(middleware.Recover()) }

func (a app) Use(rs *mcpauth.ResourceServer) { a.Echo.Use(mcpauthechov5.Middleware(rs)) }

func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthechov5.Mount(a.Echo, rs, h) }

func (a app) MountMetadata(rs *mcpauth.ResourceServer) { mcpauthechov5.MountMetadata(a.Echo, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var guards []echo.MiddlewareFunc
	for _, rs := range more {
		guards = append(guards, mcpauthechov5.Middleware(rs))
	}
	own := func(c *echo.Context) error { return c.String(http.StatusOK, handler(mcpauthechov5.Session(c))) }
	switch {
	case prefix != "":
		a.Group(prefix, mcpauthechov5.Middleware(guard)).Any(path, own, guards...)
	case guard != nil:
		a.Any(path, own, append(guards, mcpauthechov5.Middleware(guard))...)
	default:
		a.Any(path, own, guards...)
	}
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Echo, listener) }
