package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// One tool needs no credentials, if the example is told so. Everything else does, and a bad token never counts as none.
func TestR99PublicTool(t *testing.T) {
	forEach(t, func(t *testing.T, framework string) {
		for setting, status := range map[string]int{"PUBLIC=1": http.StatusOK, "PUBLIC=0": http.StatusUnauthorized} {
			t.Run(setting, func(t *testing.T) {
				t.Parallel()
				server, _ := start(t, framework, devenv.Config{}, setting, "STATELESS=1")
				callStatus := strings.Replace(callWhoami, "whoami", "status", 1)
				got := request(t, http.MethodPost, server.URL, "", callStatus)
				if got.status != status || strings.Contains(got.body, "You are not signed in.") != (status == http.StatusOK) {
					t.Errorf("status without a token: %d %s", got.status, got.body)
				}
				for name, c := range map[string]struct{ token, message string }{
					"another tool":               {"", callWhoami},
					"a tool that needs a role":   {"", strings.Replace(callWhoami, "whoami", "audit", 1)},
					"a tool that needs a scope":  {"", strings.Replace(callWhoami, "whoami", "announce", 1)},
					"a bad token":                {"nonsense", callStatus},
					"both tools in one message":  {"", "[" + callStatus + "," + callWhoami + "]"},
					"the name in another member": {"", strings.Replace(callStatus, `"name":"status"`, `"name":"status","name":"whoami"`, 1)},
				} {
					if got := request(t, http.MethodPost, server.URL, c.token, c.message); got.status != http.StatusUnauthorized {
						t.Errorf("%s: %d %s", name, got.status, got.body)
					}
				}
			})
		}
	})
}
