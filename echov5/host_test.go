package mcpauthechov5_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestMountOnAHost has virtual hosts, which are Echos of their own.
func TestMountOnAHost(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	host, www := newEcho(), newEcho()
	mcpauthechov5.Mount(host, rs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		_, _ = fmt.Fprint(w, session.UserID(), err)
	}))
	www.GET("/", func(c *echo.Context) error { return c.NoContent(http.StatusNoContent) })
	e := echo.NewVirtualHostHandler(map[string]*echo.Echo{"mcp.example.com": host, "www.example.com": www})
	for _, c := range []struct {
		host, path, token string
		want              int
	}{
		{"mcp.example.com", "/mcp", "", http.StatusUnauthorized},
		{"mcp.example.com", "/mcp", env.Token(nil), http.StatusOK},
		{"mcp.example.com", rs.MetadataRoutes()[0].Path, "", http.StatusOK},
		{"mcp.example.com", rs.MetadataRoutes()[1].Path, "", http.StatusOK},
		{"www.example.com", "/mcp", env.Token(nil), http.StatusNotFound},
		{"elsewhere.example.com", "/mcp", env.Token(nil), http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+c.host+c.path, nil)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != c.want || c.want == http.StatusOK && c.path == "/mcp" && w.Body.String() != "usr_1<nil>" {
			t.Errorf("%s%s, token %t: status %d, %s", c.host, c.path, c.token != "", w.Code, w.Body)
		}
	}
}

// TestTakenRoutes has routes of the user's for the endpoint's path, each of which would get some of its requests.
func TestTakenRoutes(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	own := func(*echo.Context) error { return nil }
	for name, c := range map[string]struct {
		path string
		add  func(*echo.Echo)
	}{
		"one method":             {"/mcp", func(e *echo.Echo) { e.GET("/mcp", own) }},
		"a method of the user's": {"/mcp", func(e *echo.Echo) { e.Add("PURGE", "/mcp", own) }},
		"all methods":            {"/mcp", func(e *echo.Echo) { e.Any("/mcp", own) }},
		"without a slash":        {"/mcp", func(e *echo.Echo) { e.GET("mcp", own) }},
		"of a group":             {"/mcp", func(e *echo.Echo) { e.Group("/mc").GET("p", own) }},
		"a document":             {rs.MetadataRoutes()[0].Path, func(e *echo.Echo) { e.GET(rs.MetadataRoutes()[0].Path, own) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEcho()
			c.add(e)
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.path+" is registered already") {
					t.Errorf("Mount says %q", said)
				}
			}()
			mcpauthechov5.Mount(e, rs, http.NotFoundHandler())
		})
	}

	strict := echo.NewWithConfig(echo.Config{Router: echo.NewConcurrentRouter(echo.NewRouter(echo.RouterConfig{AutoHandleHEAD: true}))})
	strict.GET("/mcp/:id", own)
	strict.GET("/*", own)
	mcpauthechov5.Mount(strict, rs, http.NotFoundHandler())
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "PURGE", "QUERY"} {
		w := httptest.NewRecorder()
		strict.ServeHTTP(w, httptest.NewRequest(method, "/mcp", nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s next to a catch-all: status %d", method, w.Code)
		}
	}
}
