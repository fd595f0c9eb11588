package oauth

import (
	"net/url"
	"testing"
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
		if errA != nil || errB != nil || b.Scheme != "http" || b.User != nil || !isLoopback(b.Hostname()) ||
			a.Hostname() != b.Hostname() || a.EscapedPath() != b.EscapedPath() || a.RawQuery != b.RawQuery {
			t.Errorf("%q allowed %q", registered, asked)
		}
	})
}

func TestCheckDocumentURL(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"https://app.example/client.json":      true,
		"http://127.0.0.1:5/client.json":       true,
		"http://localhost/client.json?v=1":     true,
		"http://app.example/client.json":       false,
		"https://app.example":                  false,
		"https://app.example/":                 false,
		"https:///client.json":                 false,
		"https://u:p@app.example/client.json":  false,
		"https://app.example/client.json#f":    false,
		"https://app.example/a/../client.json": false,
		"https://app.example/%2e%2e/client":    false,
		"ftp://127.0.0.1/client.json":          false,
		"://":                                  false,
	} {
		if err := checkDocumentURL(id); (err == nil) != ok {
			t.Errorf("checkDocumentURL(%q) = %v", id, err)
		}
	}
}
