package mcpauthgosdk

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestUnknownSDK pretends that the go-sdk looks for the caller somewhere else, as a later version may.
func TestUnknownSDK(t *testing.T) {
	defer func(key any) { tokenInfoKey = key }(tokenInfoKey)
	tokenInfoKey = nil
	rs, err := mcpauth.New(mcpauth.Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if why, _ := recover().(string); !strings.Contains(why, "version of the go-sdk") {
			t.Errorf("Handler panics with %q", why)
		}
	}()
	Handler(rs, http.NotFoundHandler())
}

// TestContexts asks the contexts for everything that somebody may ask them for.
func TestContexts(t *testing.T) {
	type other struct{}
	session, opener := mcpauthtest.NewSession(nil), mcpauthtest.NewSession(map[string]any{"sub": "usr_opener"})
	addr := &net.TCPAddr{Port: 1}
	base := context.WithValue(mcpauth.NewContext(t.Context(), opener), other{}, "kept")
	base = context.WithValue(base, http.LocalAddrContextKey, addr)

	request := &requestContext{Context: base, info: tokenInfo(session)}
	if auth.TokenInfoFromContext(request) != &request.info || sessionOf(&request.info) != session {
		t.Error("the go-sdk does not find the caller of the request")
	}
	if _, err := mcpauth.SessionFromContext(request); err == nil {
		t.Error("a context that is kept for all calls tells a session")
	}
	if request.Value(other{}) != "kept" || request.Value(http.LocalAddrContextKey) != any(addr) {
		t.Error("the request's own values are gone")
	}
	request.publicHost = true
	if request.Value(http.LocalAddrContextKey) != nil || request.Value(other{}) != "kept" {
		t.Error("behind a proxy the address is not hidden, or something else is")
	}

	info := tokenInfo(session)
	call := &callContext{Context: request, info: &info, session: session}
	if got, err := mcpauth.SessionFromContext(call); got != session || err != nil {
		t.Errorf("the call's session: %v, %v", got, err)
	}
	if auth.TokenInfoFromContext(call) != &info || call.Value(other{}) != "kept" {
		t.Error("the call's caller or the request's values are gone")
	}
	nobody := &callContext{Context: base}
	if _, err := mcpauth.SessionFromContext(nobody); err == nil {
		t.Error("a call without a caller has the session of the opener")
	}
	if auth.TokenInfoFromContext(nobody) != nil {
		t.Error("a call without a caller has somebody's TokenInfo")
	}
}
