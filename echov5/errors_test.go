package mcpauthechov5_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestErrorOfAHandler has handlers that return errors, before they have written and after it. echo's error handler runs
// after the middleware, and asks the response whether something was written.
func TestErrorOfAHandler(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		handler echo.HandlerFunc
		status  int
		body    string
	}{
		"an HTTPError":          {func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "no coffee") }, http.StatusTeapot, "{\"message\":\"no coffee\"}\n"},
		"a predefined error":    {func(*echo.Context) error { return echo.ErrNotFound }, http.StatusNotFound, "{\"message\":\"Not Found\"}\n"},
		"JSON that can't be":    {func(c *echo.Context) error { return c.JSON(http.StatusOK, func() {}) }, http.StatusInternalServerError, "{\"message\":\"Internal Server Error\"}\n"},
		"after it has written":  {func(c *echo.Context) error { _ = c.String(http.StatusOK, "done"); return echo.ErrNotFound }, http.StatusOK, "done"},
		"JSON":                  {func(c *echo.Context) error { return c.JSON(http.StatusAccepted, 1) }, http.StatusAccepted, "1\n"},
		"nothing, and no error": {func(*echo.Context) error { return nil }, http.StatusOK, ""},
	} {
		for times := range 2 {
			e := newEcho()
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(ctx *echo.Context) error {
					request, response := ctx.Request(), ctx.Response()
					err := next(ctx)
					if _, gone := mcpauthechov5.Session(ctx); gone == nil {
						t.Errorf("%s: a middleware in front sees a session afterwards", name)
					}
					if ctx.Request() != request || ctx.Response() != response || request.Context().Err() != nil {
						t.Errorf("%s: the middleware in front has lost its request or its response", name)
					}
					if own, status := echo.ResolveResponseStatus(response, err); own != response || status != c.status {
						t.Errorf("%s: a logger in front sees %v, %d", name, own, status)
					}
					return err
				}
			})
			for range times + 1 {
				e.Use(mcpauthechov5.Middleware(rs))
			}
			e.POST("/mcp", func(ctx *echo.Context) error {
				if own, err := echo.UnwrapResponse(ctx.Response()); own == nil {
					t.Errorf("%s: the handler finds no echo.Response: %v", name, err)
				}
				ctx.Response().Header().Add("Access-Control-Allow-Origin", "*")
				return c.handler(ctx)
			})
			r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
			r.Header.Set("Authorization", "Bearer "+env.Token(nil))
			r.Header.Set("Origin", "https://mcp.example.com")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if origins := w.Header()["Access-Control-Allow-Origin"]; len(origins) != 1 || origins[0] != "https://mcp.example.com" {
				t.Errorf("%s, %d times: %v", name, times+1, w.Header())
			}
			if w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("%s, %d times: status %d, %q", name, times+1, w.Code, w.Body)
			}
		}
	}
}
