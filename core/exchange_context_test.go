package mcpauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestContextEndsWithTheHandler keeps a request's context: it is cancelled when the handler has returned.
func TestContextEndsWithTheHandler(t *testing.T) {
	t.Parallel()
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	var kept context.Context
	r, _ := http.NewRequestWithContext(mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(nil)), http.MethodGet, "/mcp", nil)
	rs.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		_ = kept.Done()
	})
	if kept.Err() == nil {
		t.Error("the context of a finished request is not cancelled")
	}
}
