package mcpauthechov5_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestR97BeforeHooks has a middleware in front that sets CORS headers at the moment when the response is sent, after the
// decision has set its own: one line of each goes out, and what the middleware exposes is in it.
func TestR97BeforeHooks(t *testing.T) {
	t.Parallel()
	const origin = "https://mcp.example.com"
	const exposed = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Hook"
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config(origin))
	if err != nil {
		t.Fatal(err)
	}
	e := newEcho()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			h := c.Response().Header()
			response, err := echo.UnwrapResponse(c.Response())
			if err != nil {
				return err
			}
			response.Before(func() {
				h.Add("Access-Control-Allow-Origin", "https://outer.example")
				h.Add("Access-Control-Expose-Headers", "X-Hook")
				h.Set("Access-Control-Allow-Credentials", "true")
			})
			return next(c)
		}
	}, middleware.BodyDump(func(*echo.Context, []byte, []byte, error) {}))
	guard := mcpauthechov5.Middleware(rs)
	mcpauthechov5.Mount(e, rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	e.Any("/own", func(c *echo.Context) error { return c.String(http.StatusOK, "x") }, guard)
	e.Any("/status", func(c *echo.Context) error { return c.NoContent(http.StatusNoContent) }, guard)
	e.Any("/error", func(*echo.Context) error { return errors.New("of the handler") }, guard)
	for _, c := range []struct {
		method, path, origin string
		token                bool
		status               int
		allowed, exposed     []string
	}{
		{"POST", "/mcp", origin, true, 200, []string{origin}, []string{exposed}},
		{"POST", "/own", origin, true, 200, []string{origin}, []string{exposed}},
		{"POST", "/status", origin, true, 204, []string{origin}, []string{exposed}},
		{"POST", "/error", origin, true, 500, []string{origin}, []string{exposed}},
		{"POST", "/mcp", origin, false, 401, []string{origin}, []string{exposed}},
		{"POST", "/own", origin, false, 401, []string{origin}, []string{exposed}},
		{"OPTIONS", "/mcp", origin, false, 204, []string{origin}, []string{exposed}},
		{"POST", "/mcp", "https://evil.example", true, 403, nil, []string{"X-Hook"}},
		{"POST", "/own", "https://evil.example", true, 403, nil, []string{"X-Hook"}},
		{"GET", "/.well-known/oauth-protected-resource/mcp", "https://any.example", false, 200, []string{"*"}, []string{"X-Hook"}},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Origin", c.origin)
		if c.method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		if c.token {
			r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		h := w.Result().Header
		if w.Code != c.status || !slices.Equal(h["Access-Control-Allow-Origin"], c.allowed) || !slices.Equal(h["Access-Control-Expose-Headers"], c.exposed) || h["Access-Control-Allow-Credentials"] != nil {
			t.Errorf("%s %s of %s: %d %v", c.method, c.path, c.origin, w.Code, h)
		}
	}
}

// TestPatternIsVisible has instrumentation around a whole Echo, and an http.ServeMux behind the middleware: the pattern that it
// finds is in the request that the instrumentation knows.
func TestPatternIsVisible(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{tenant}/mcp", func(http.ResponseWriter, *http.Request) {})
	replaces := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.SetRequest(c.Request().Clone(c.Request().Context()))
			return next(c)
		}
	}
	e := newEcho()
	e.Any("/:tenant/mcp", echo.WrapHandler(mux), mcpauthechov5.Middleware(rs))
	e.Any("/replaced/mcp", echo.WrapHandler(mux), mcpauthechov5.Middleware(rs), replaces)
	for _, path := range []string{"/acme/mcp", "/replaced/mcp"} {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		e.ServeHTTP(httptest.NewRecorder(), r)
		if r.Pattern != "/{tenant}/mcp" || r.PathValue("tenant") != strings.Split(path, "/")[1] {
			t.Errorf("%s: %q, %q", path, r.Pattern, r.PathValue("tenant"))
		}
	}
}
