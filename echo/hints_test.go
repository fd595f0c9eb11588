package mcpauthecho_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"testing"

	"github.com/labstack/echo/v4"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthecho "github.com/scalekit-mcp/mcpauth/echo"
)

// TestEarlyHints sends an informational response, which echo would take for the response itself.
func TestEarlyHints(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	mcpauthecho.Mount(e, rs, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "answer")
	}))
	server := httptest.NewServer(e)
	defer server.Close()
	var hint string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
		hint = header.Get("Link")
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+env.Token(nil))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || hint != "</style.css>" || resp.StatusCode != http.StatusTeapot || string(body) != "answer" {
		t.Errorf("hint %q, status %d, %q, %v", hint, resp.StatusCode, body, err)
	}
}
