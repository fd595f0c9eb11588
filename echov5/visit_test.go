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

// TestR95WriterOfAnEndedHandler has a handler that uses its writer when it has returned. echo has given its own response
// to the next request by then, which must not notice.
func TestR95WriterOfAnEndedHandler(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(http.ResponseWriter){
		"Header":             func(w http.ResponseWriter) { w.Header().Set("X-Late", "1") },
		"WriteHeader":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"an early hint":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints) },
		"Write":              func(w http.ResponseWriter) { _, _ = w.Write([]byte("late")) },
		"ResponseController": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"UnwrapResponse": func(w http.ResponseWriter) {
			if r, _ := echo.UnwrapResponse(w); r != nil {
				t.Error("it leads to the response of another request")
			}
		},
	} {
		var late http.ResponseWriter
		var first *echo.Context
		reused := false
		e := newEcho()
		e.POST("/first", func(c *echo.Context) error {
			late, first = c.Response(), c
			return nil
		}, mcpauthechov5.Middleware(rs))
		e.POST("/second", func(c *echo.Context) error {
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
