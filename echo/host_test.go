package mcpauthecho_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
)

// TestMountOnAHost has an Echo with virtual hosts, which do not serve the routes of the Echo itself.
func TestMountOnAHost(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := mcpauth.SessionFromContext(r.Context())
		_, _ = fmt.Fprint(w, session.UserID(), err)
	})
	mcpauthecho.Mount(e.Host("mcp.example.com"), rs, handler)
	e.Host("www.example.com").GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
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
		if body, _ := io.ReadAll(w.Body); w.Code != c.want || c.want == http.StatusOK && c.path == "/mcp" && string(body) != "usr_1<nil>" {
			t.Errorf("%s%s, token %t: status %d, %s", c.host, c.path, c.token != "", w.Code, body)
		}
	}

	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "not on a group with a prefix") {
			t.Errorf("Mount on a group with a prefix says %s", said)
		}
	}()
	mcpauthecho.Mount(e.Group("/api"), rs, handler)
}

// TestErrorOfAHandler has a handler that leaves its response to echo's error handler, which runs after the middleware.
func TestErrorOfAHandler(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			if _, gone := mcpauthecho.Session(c); gone == nil {
				t.Error("a middleware in front sees a session afterwards")
			}
			if c.Request().Context().Err() != nil {
				t.Error("the context of the middleware in front has ended")
			}
			return err
		}
	}, mcpauthecho.Middleware(rs))
	e.POST("/mcp", func(c echo.Context) error {
		c.Response().Header().Add("Access-Control-Allow-Origin", "*")
		return echo.NewHTTPError(http.StatusTeapot, "no coffee")
	})
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+env.Token(nil))
	r.Header.Set("Origin", "https://mcp.example.com")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if origins := w.Header()["Access-Control-Allow-Origin"]; w.Code != http.StatusTeapot || len(origins) != 1 || origins[0] != "https://mcp.example.com" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}
