package mcpauthechov5_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthechov5 "github.com/scalekit-mcp/mcpauth/echov5"
)

// TestEarlyHints sends an informational response, which echo and its middlewares would take for the response itself.
func TestEarlyHints(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "answer")
	})
	mount := func(e *echo.Echo) { mcpauthechov5.Mount(e, rs, handler) }
	dump := middleware.BodyDump(func(*echo.Context, []byte, []byte, error) {})
	guard := mcpauthechov5.Middleware(rs)
	for name, build := range map[string]func(*echo.Echo){
		"mounted":                      mount,
		"mounted, dumped in front":     func(e *echo.Echo) { e.Use(dump); mount(e) },
		"mounted, compressed in front": func(e *echo.Echo) { e.Use(middleware.Gzip()); mount(e) },
		"guarded":                      func(e *echo.Echo) { e.Any("/mcp", echo.WrapHandler(handler), guard) },
		"guarded, dumped in front":     func(e *echo.Echo) { e.Any("/mcp", echo.WrapHandler(handler), dump, guard) },
		"mounted, guarded":             func(e *echo.Echo) { e.Use(guard); mount(e) },
		"mounted, guarded and dumped":  func(e *echo.Echo) { e.Use(guard, dump); mount(e) },
		"mounted, dumped in front of another's guard": func(e *echo.Echo) {
			e.Use(guard, dump, mcpauthechov5.Middleware(rs.WithRequiredScopes("greet")))
			mount(e)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEcho()
			build(e)
			server := httptest.NewServer(e)
			defer server.Close()
			var hint textproto.MIMEHeader
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
				hint = header
				return nil
			}})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/mcp", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+env.Token(map[string]any{"scope": "greet"}))
			req.Header.Set("Origin", "https://mcp.example.com")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusTeapot || string(body) != "answer" {
				t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
			}
			if hint.Get("Link") != "</style.css>" || len(hint["Access-Control-Allow-Origin"]) != 1 {
				t.Errorf("the hint has %v", hint)
			}
		})
	}
}
