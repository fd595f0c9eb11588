// Package webhooks mounts the handler of Scalekit's webhooks under each router. The handler belongs outside of what mcpauth
// protects, because the signature is its credential: Mount leaves every other route open, and Middleware on the root of a router
// would answer 401.
package webhooks

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v2"
	fiberv3 "github.com/gofiber/fiber/v3"
	"github.com/labstack/echo/v4"
	echov5 "github.com/labstack/echo/v5"
	mcpauthfasthttp "github.com/scalekit-mcp/mcpauth/fasthttp"
	mcpauthfiber "github.com/scalekit-mcp/mcpauth/fiber"
	mcpauthfiberv3 "github.com/scalekit-mcp/mcpauth/fiberv3"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	"github.com/valyala/fasthttp"
)

// Path is where the webhook is, and what the Scalekit dashboard is given.
const Path = "/webhooks/scalekit"

// NetHTTP is for net/http, and for routers that take http.Handlers, such as chi and gorilla.
func NetHTTP(mux *http.ServeMux, list *mcpauthrevocation.List) {
	mux.Handle("POST "+Path, list.Webhook())
}

// Gin is for gin.
func Gin(router *gin.Engine, list *mcpauthrevocation.List) {
	router.POST(Path, gin.WrapH(list.Webhook()))
}

// Echo is for echo v4.
func Echo(router *echo.Echo, list *mcpauthrevocation.List) {
	router.POST(Path, echo.WrapHandler(list.Webhook()))
}

// EchoV5 is for echo v5.
func EchoV5(router *echov5.Echo, list *mcpauthrevocation.List) {
	router.POST(Path, echov5.WrapHandler(list.Webhook()))
}

// Fiber is for fiber v2.
func Fiber(app *fiber.App, list *mcpauthrevocation.List) {
	app.Post(Path, mcpauthfiber.Handler(list.Webhook()))
}

// FiberV3 is for fiber v3.
func FiberV3(app *fiberv3.App, list *mcpauthrevocation.List) {
	app.Post(Path, mcpauthfiberv3.Handler(list.Webhook()))
}

// FastHTTP is for plain fasthttp, which has no router: next gets all other requests.
func FastHTTP(list *mcpauthrevocation.List, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	webhook := mcpauthfasthttp.Handler(list.Webhook())
	return func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == Path {
			webhook(ctx)
			return
		}
		next(ctx)
	}
}
