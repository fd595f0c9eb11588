package mcpauthechov5_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestUnstrippedPathBelowARoute has routes of the application that take the path of a prefix that was not stripped without
// naming it: Mount leaves the path to them, unless they take every path.
func TestUnstrippedPathBelowARoute(t *testing.T) {
	t.Parallel()
	for own, want := range map[string]int{
		"/prod/*": 200, "/:stage/mcp": 200, "/prod/:page": 200, "/:a/:b": 200, "/:a/*": 200, "/pr*": 200,
		"/*": 404, "*": 404, "/prod": 404, "/:stage/mcpx": 404, "/:a/:b/:c": 404,
	} {
		log := new(bytes.Buffer)
		rs, err := mcpauth.New(mcpauth.Config{
			EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com/prod", Logger: slog.New(slog.NewTextHandler(log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		router := echo.New()
		router.Any(own, func(c *echo.Context) error { return c.NoContent(http.StatusOK) })
		if want == http.StatusNotFound { // the group answers 404 for all that it does not have, and so do routes of echo's own
			_ = router.Group("/prod", func(next echo.HandlerFunc) echo.HandlerFunc { return next })
		}
		mcpauthechov5.Mount(router, rs, http.NotFoundHandler())
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/prod/mcp", http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", own, w.Code, want)
		}
		if logged := strings.Count(log.String(), "strip /prod") == 1; logged != (want == http.StatusNotFound) {
			t.Errorf("%s: the log says %q", own, log)
		}
	}
}
