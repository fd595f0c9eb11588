package mcpauthecho_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
)

// TestR95ResponseOfAnEndedHandler has a handler that uses its response when it has returned. echo has given its own response
// to the next request by then, which must not notice.
func TestR95ResponseOfAnEndedHandler(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(*echo.Response){
		"Header":             func(r *echo.Response) { r.Header().Set("X-Late", "1") },
		"WriteHeader":        func(r *echo.Response) { r.WriteHeader(http.StatusTeapot) },
		"Write":              func(r *echo.Response) { _, _ = r.Write([]byte("late")) },
		"Before":             func(r *echo.Response) { r.Before(func() { t.Error("a hook of another request runs") }) },
		"Hijack":             func(r *echo.Response) { _, _, _ = r.Hijack() },
		"ResponseController": func(r *echo.Response) { _ = http.NewResponseController(r.Unwrap()).Flush() },
	} {
		var late *echo.Response
		var first echo.Context
		reused := false
		e := echo.New()
		e.POST("/first", func(c echo.Context) error {
			late, first = c.Response(), c
			return nil
		}, mcpauthecho.Middleware(rs))
		e.POST("/second", func(c echo.Context) error {
			reused = c == first
			use(late)
			return c.NoContent(http.StatusOK)
		})
		for tries := 0; !reused; tries++ { // a sync.Pool does not say what it returns
			for _, target := range []string{"/first", "/second"} {
				r := httptest.NewRequest(http.MethodPost, target, nil)
				r.Header.Set("Authorization", "Bearer "+env.Token(nil))
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				if w.Code != http.StatusOK || target == "/second" && len(w.Header())+w.Body.Len() > 0 {
					t.Fatalf("%s: the response to %s has %d %v %q", name, target, w.Code, w.Header(), w.Body)
				}
			}
			if tries == 1000 {
				t.Fatal("echo does not reuse its contexts")
			}
		}
	}
}
