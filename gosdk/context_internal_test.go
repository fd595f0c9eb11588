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

// TestUnknownSDK simulates a go-sdk that looks for the caller somewhere else, as a later version may.
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

// TestR96Contexts asks the contexts for all values that a program may ask for.
func TestR96Contexts(t *testing.T) {
	type tenant struct{}
	type other struct{}
	type list struct{}
	addr := &net.TCPAddr{Port: 1}
	newRequest := func(user, of string) *requestContext {
		session := mcpauthtest.NewSession(map[string]any{"sub": user})
		base := context.WithValue(mcpauth.NewContext(t.Context(), session), tenant{}, of)
		base = context.WithValue(base, http.LocalAddrContextKey, addr)
		base = context.WithValue(base, list{}, []string{of})
		c := &requestContext{Context: base, session: session}
		c.info = tokenInfo(c)
		return c
	}
	opening, own := newRequest("usr_opener", "first"), newRequest("usr_1", "second")
	opening.Context = context.WithValue(opening.Context, other{}, true)
	if auth.TokenInfoFromContext(opening) != &opening.info || sessionOf(&opening.info) != opening.session {
		t.Error("the go-sdk does not find the caller of the request")
	}
	if _, err := mcpauth.SessionFromContext(opening); err == nil {
		t.Error("a context that is kept for all calls has a session")
	}
	if opening.Value(tenant{}) != "first" || opening.Value(http.LocalAddrContextKey) != any(addr) {
		t.Error("the request's own values are missing")
	}
	opening.publicHost = true
	if opening.Value(http.LocalAddrContextKey) != nil || opening.Value(tenant{}) != "first" {
		t.Error("behind a proxy the local address is not hidden, or another value is")
	}

	for _, finished := range []bool{false, true} {
		opening.finished.Store(finished)
		type added struct{}
		sdk := context.WithValue(context.WithoutCancel(opening), added{}, "by a receiving middleware")
		call := &callContext{Context: sdk, info: &own.info, opening: requestIn(sdk), request: requestOf(&own.info)}
		if got, err := mcpauth.SessionFromContext(call); got != own.session || err != nil {
			t.Errorf("the call's session: %v, %v", got, err)
		}
		if auth.TokenInfoFromContext(call) != &own.info {
			t.Error("the call has the caller of another request")
		}
		if call.Value(tenant{}) != "second" || call.Value(added{}) != "by a receiving middleware" || call.Value(list{}).([]string)[0] != "second" { //nolint:forcetypeassert // the test's own
			t.Errorf("tenant %v, added %v", call.Value(tenant{}), call.Value(added{}))
		}
		if call.Value(other{}) != nil {
			t.Error("the call has a value that only the opening request had")
		}
		if call.Value(http.LocalAddrContextKey) != any(addr) {
			t.Error("the address of the call's own connection is hidden")
		}
		for _, value := range []any{"first", "third", true, nil, (*int)(nil)} { // equal to the opening request's value or not: the middleware set it
			if got := (&callContext{Context: context.WithValue(sdk, tenant{}, value), opening: opening, request: own}).Value(tenant{}); got != value {
				t.Errorf("a receiving middleware said %v, the tool sees %v", value, got)
			}
		}
		call.returned.Store(true)
		if _, err := mcpauth.SessionFromContext(call); err == nil {
			t.Error("the session is still there after the call has returned")
		}
	}

	local := &callContext{Context: context.WithValue(mcpauth.NewContext(t.Context(), own.session), other{}, "kept")}
	if _, err := mcpauth.SessionFromContext(local); err == nil {
		t.Error("a call without a caller has a session")
	}
	if auth.TokenInfoFromContext(local) != nil || local.Value(other{}) != "kept" {
		t.Error("a call without a caller has a TokenInfo, or lost its values")
	}
}
