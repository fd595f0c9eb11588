package oauth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

func TestAllowsRedirect(t *testing.T) {
	t.Parallel()
	registered := []string{"http://127.0.0.1:7/cb", "http://localhost/cb?x=1", "http://[::1]:9/cb", "https://app.example/cb", "cursor://x/cb"}
	for asked, want := range map[string]bool{
		"http://127.0.0.1:7/cb":         true,
		"http://127.0.0.1/cb":           true,
		"http://127.0.0.1:65535/cb":     true,
		"http://localhost:1/cb?x=1":     true,
		"http://[::1]:1/cb":             true,
		"https://app.example/cb":        true,
		"cursor://x/cb":                 true,
		"http://127.0.0.2:7/cb":         false,
		"http://localhost:1/cb":         false,
		"http://localhost:1/cb?x=1#f":   false,
		"http://127.0.0.1:7/cb/":        false,
		"http://127.0.0.1:7/CB":         false,
		"http://u@127.0.0.1:7/cb":       false,
		"https://app.example:443/cb":    false,
		"http://app.example/cb":         false,
		"http://127.0.0.1:7@evil.ex/cb": false,
		"cursor://y/cb":                 false,
		"":                              false,
	} {
		if got := allowsRedirect(registered, asked); got != want {
			t.Errorf("allowsRedirect(%q) = %v", asked, got)
		}
	}
}

func FuzzAllowsRedirect(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1:7/cb", "http://127.0.0.1:7@e/cb", "http://localhost\\@e/cb", "//", "http://[::1%25lo]/cb"} {
		f.Add("http://127.0.0.1/cb", seed)
		f.Add(seed, "http://127.0.0.1:9/cb")
	}
	f.Fuzz(func(t *testing.T, registered, asked string) {
		if registered == asked || !allowsRedirect([]string{registered}, asked) {
			return
		}
		a, errA := url.Parse(registered)
		b, errB := url.Parse(asked)
		if errA != nil || errB != nil || b.Scheme != "http" || b.User != nil || !netaddr.IsLoopback(b.Hostname()) ||
			a.Hostname() != b.Hostname() || a.EscapedPath() != b.EscapedPath() || a.RawQuery != b.RawQuery {
			t.Errorf("%q allowed %q", registered, asked)
		}
	})
}

func TestCheckRedirectURI(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://app.example/cb", "https://app.example:8443/cb?x=1", "HTTPS://app.example/cb", "https://vscode.dev/redirect",
		"http://127.0.0.1/cb", "http://127.0.0.1:0/cb", "http://localhost:65535/cb", "http://[::1]:1/cb", "http://app.localhost/cb",
		"cursor://anysphere.cursor-mcp/oauth/callback", "Cursor://x/cb", "vscode://publisher.extension/cb",
		"vscode-insiders://x/cb", "warp://mcp/oauth2callback", "com.example.app:/cb", "com.example.app://host/cb", "com.raycast:/oauth",
	} {
		if err := checkRedirectURI(uri); err != nil {
			t.Errorf("checkRedirectURI(%q) = %v", uri, err)
		}
	}
	for _, uri := range []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "javascript://app.example/%0aalert(1)", "java\tscript:alert(1)", " javascript:alert(1)",
		"data:text/html,x", "vbscript:x", "view-source:https://app.example/cb", "view-source:/cb", "file:///etc/passwd",
		"blob:https://app.example/1", "about:blank", "about:/x", "chrome://settings/", "chrome-extension://x/cb", "edge://x/",
		"resource://x/", "moz-extension://x/", "ftp://app.example/cb", "ws://127.0.0.1/cb", "wss://app.example/cb",
		"filesystem:https://app.example/x", "jar:https://app.example!/x", "intent://x/#Intent;end", "ms-settings:/x", "search-ms:/x",
		"web+evil://x/", "mailto:a@example.com", "tel:/1", "http+unix://x/", "x-apple.systempreferences+y:/x", "myapp://cb", "-a.b:/x",
		"com..example:/cb", "com.example.:/cb", "com.example.app:cb",
		"http://app.example/cb", "http://0.0.0.0/cb", "http://10.0.0.1/cb", "http://127.1/cb", "http://2130706433/cb", "http://0x7f.0.0.1/cb",
		"http://127.0.0.1.evil.example/cb", "http://localhost.evil.example/cb", "http:/cb", "http:\\\\127.0.0.1/cb",
		"http://127.0.0.1:99999/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:007/cb", "http://127.0.0.1:99999999999999999999/cb",
		"http://[::1%25lo]/cb", "http://127.0.0.1\\@evil.example/cb", "http://127.0.0.1@evil.example/cb", "http://u@127.0.0.1/cb",
		"https://", "https:///cb", "https:app.example/cb", "https://:443/cb", "https://@app.example/cb", "https://u:p@app.example/cb",
		"https://app.example/#", "https://app.example/#f", "https://app.example/a b", "https://app.example/\r\nX: 1",
		"https://app.example/\u00e4", "//app.example/cb", "/cb", "cb", "", ":", "https://app.example/" + strings.Repeat("x", maxURLBytes),
	} {
		if checkRedirectURI(uri) == nil {
			t.Errorf("checkRedirectURI(%q) allowed it", uri)
		}
		if allowsRedirect([]string{uri}, uri) {
			t.Errorf("allowsRedirect(%q) allowed it because it was registered", uri)
		}
	}
}
