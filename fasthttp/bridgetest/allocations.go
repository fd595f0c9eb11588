package bridgetest

import (
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Allocations compares what one request allocates without and with the middleware, for a token that was seen before. The
// adapter's own allocation is the context with the session; core's are its own business.
func Allocations(t *testing.T, without, with func()) {
	t.Helper()
	rs, env := NewResource(t, "")
	line := []string{"Bearer " + env.Token(nil)}
	request := mcpauth.Request{Method: "POST", Path: "/mcp", Header: func(name string) []string {
		if name == "Authorization" {
			return line
		}
		return nil
	}}
	decide := testing.AllocsPerRun(1000, func() { rs.Authenticate(t.Context(), request) })
	bare, guarded := testing.AllocsPerRun(1000, without), testing.AllocsPerRun(1000, with)
	if guarded > bare+decide+1 && !raceEnabled {
		t.Errorf("%v allocations per request: %v without the middleware, %v in the decision", guarded, bare, decide)
	}
}
