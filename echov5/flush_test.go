package mcpauthechov5_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v5"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestFlushThatFails flushes to writers that can't, or that fail. echo's own response panics, or says nothing.
func TestFlushThatFails(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the client is gone")
	for name, c := range map[string]struct {
		writer http.ResponseWriter
		want   error
	}{
		"hidden": {struct{ http.ResponseWriter }{httptest.NewRecorder()}, http.ErrNotSupported},
		"broken": {brokenWriter{httptest.NewRecorder(), broken}, broken},
		"whole":  {httptest.NewRecorder(), nil},
	} {
		e := newEcho()
		var got []error
		flush := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			got = append(got, http.NewResponseController(w).Flush())
		})
		mcpauthechov5.Mount(e, rs, flush)
		e.POST("/guarded", echo.WrapHandler(flush), mcpauthechov5.Middleware(rs))
		for _, target := range []string{"/mcp", "/guarded"} {
			r := httptest.NewRequest(http.MethodPost, target, nil)
			r.Header.Set("Authorization", "Bearer "+env.Token(nil))
			e.ServeHTTP(c.writer, r)
		}
		if len(got) != 2 || !errors.Is(got[0], c.want) || !errors.Is(got[1], c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

type brokenWriter struct {
	http.ResponseWriter
	err error
}

func (w brokenWriter) FlushError() error { return w.err }
