package mcpauthgin_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/adaptertest"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
)

func init() { gin.SetMode(gin.TestMode) }

func TestAdapter(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, adaptertest.Framework{New: func() adaptertest.App { return app{gin.New()} }})
}

type app struct{ *gin.Engine }

func (a app) Outer(name, value string) {
	a.Engine.Use(func(c *gin.Context) { c.Header(name, value) })
}

func (a app) Use(rs *mcpauth.ResourceServer)                   { a.Engine.Use(mcpauthgin.Middleware(rs)) }
func (a app) Mount(rs *mcpauth.ResourceServer, h http.Handler) { mcpauthgin.Mount(a.Engine, rs, h) }
func (a app) MountMetadata(rs *mcpauth.ResourceServer)         { mcpauthgin.MountMetadata(a.Engine, rs) }

func (a app) Handle(prefix, path string, handler adaptertest.Handler, guard *mcpauth.ResourceServer, more ...*mcpauth.ResourceServer) {
	var chain []gin.HandlerFunc
	for _, rs := range more {
		chain = append(chain, mcpauthgin.Middleware(rs))
	}
	chain = append(chain, func(c *gin.Context) { c.String(http.StatusOK, "%s", handler(mcpauthgin.Session(c))) })
	switch {
	case prefix != "":
		a.Group(prefix, mcpauthgin.Middleware(guard)).Any(path, chain...)
	case guard != nil:
		a.Any(path, append([]gin.HandlerFunc{mcpauthgin.Middleware(guard)}, chain...)...)
	default:
		a.Any(path, chain...)
	}
}

func (a app) Serve(listener net.Listener) func() { return adaptertest.ServeHTTP(a.Engine, listener) }
