package mcpauthecho_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
)

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App { return app{echo.New()} }})
}

type app struct{ *echo.Echo }

func (a app) Outer(name, value string) {
	a.Echo.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Header().Set(name, value)
			return next(c)
		}
	})
}

func (a app) Recover() {
	a.Echo.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }}))
}

func (a app) Use(rs *mcpauth.ResourceServer)                   { a.Echo.Use(mcpauthecho.Middleware(rs)) }
func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthecho.Mount(a.Echo, rs, h) }
func (a app) MountMetadata(rs *mcpauth.ResourceServer)         { mcpauthecho.MountMetadata(a.Echo, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var guards []echo.MiddlewareFunc
	for _, rs := range more {
		guards = append(guards, mcpauthecho.Middleware(rs))
	}
	own := func(c echo.Context) error { return c.String(http.StatusOK, handler(mcpauthecho.Session(c))) }
	switch {
	case prefix != "":
		a.Group(prefix, mcpauthecho.Middleware(guard)).Any(path, own, guards...)
	case guard != nil:
		a.Any(path, own, append(guards, mcpauthecho.Middleware(guard))...)
	default:
		a.Any(path, own, guards...)
	}
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Echo, listener) }
