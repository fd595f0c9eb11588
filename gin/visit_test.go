package mcpauthgin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthgin "github.com/scalekit-mcp/mcpauth/gin"
)

// TestR95WriterOfAnEndedHandler has a handler that uses its writer when it has returned. gin has given its own writer to the
// next request by then, which must not notice.
func TestR95WriterOfAnEndedHandler(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(gin.ResponseWriter){
		"Header":         func(w gin.ResponseWriter) { w.Header().Set("X-Late", "1") },
		"WriteHeader":    func(w gin.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"WriteHeaderNow": func(w gin.ResponseWriter) { w.WriteHeaderNow() },
		"Write":          func(w gin.ResponseWriter) { _, _ = w.Write([]byte("late")) },
		"WriteString":    func(w gin.ResponseWriter) { _, _ = w.WriteString("late") },
		"io.WriteString": func(w gin.ResponseWriter) { _, _ = io.WriteString(w, "late") },
		"Flush":          func(w gin.ResponseWriter) { w.Flush() },
		"Hijack":         func(w gin.ResponseWriter) { _, _, _ = w.Hijack() },
		"Pusher": func(w gin.ResponseWriter) {
			if w.Pusher() != nil {
				t.Error("there is something to push with")
			}
		},
		"ResponseController": func(w gin.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
	} {
		var late gin.ResponseWriter
		var first *gin.Context
		reused := false
		engine := gin.New()
		engine.POST("/first", mcpauthgin.Middleware(rs), func(c *gin.Context) { late, first = c.Writer, c })
		engine.POST("/second", func(c *gin.Context) {
			reused = c == first
			use(late)
			if c.Writer.Written() || c.Writer.Status() != http.StatusOK || len(c.Writer.Header()) > 0 {
				t.Errorf("%s: written %t, status %d, %v", name, c.Writer.Written(), c.Writer.Status(), c.Writer.Header())
			}
		})
		for tries := 0; !reused; tries++ { // a sync.Pool does not say what it returns
			for _, target := range []string{"/first", "/second"} {
				r := httptest.NewRequest(http.MethodPost, target, nil)
				r.Header.Set("Authorization", "Bearer "+env.Token(nil))
				w := httptest.NewRecorder()
				engine.ServeHTTP(w, r)
				if w.Code != http.StatusOK || target == "/second" && len(w.Header())+w.Body.Len() > 0 {
					t.Fatalf("%s: the response to %s has %d %v %q", name, target, w.Code, w.Header(), w.Body)
				}
			}
			if tries == 1000 {
				t.Fatal("gin does not reuse its contexts")
			}
		}
	}
}

// TestPatternIsVisible has instrumentation around a whole engine, and an http.ServeMux behind the middleware: the pattern that
// it finds, and the values of the path, are in the request that the instrumentation knows.
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
	replaces := func(c *gin.Context) { c.Request = c.Request.Clone(c.Request.Context()) }
	engine := gin.New()
	engine.Any("/acme/mcp", mcpauthgin.Middleware(rs), gin.WrapH(mux))
	engine.Any("/replaced/mcp", mcpauthgin.Middleware(rs), replaces, gin.WrapH(mux))
	engine.Any("/panics/mcp", mcpauthgin.Middleware(rs), replaces, gin.WrapH(mux), func(*gin.Context) { panic(http.ErrAbortHandler) })
	for path, want := range map[string]string{"/acme/mcp": "acme", "/replaced/mcp": "replaced", "/panics/mcp": "panics"} {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		func() {
			defer func() { _ = recover() }()
			engine.ServeHTTP(httptest.NewRecorder(), r)
		}()
		if r.Pattern != "/{tenant}/mcp" || r.PathValue("tenant") != want {
			t.Errorf("%s: %q, %q", path, r.Pattern, r.PathValue("tenant"))
		}
	}
}
