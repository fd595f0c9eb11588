package deploy_test

import (
	"net/http"
	"strings"
	"testing"
)

// A prefix that is not stripped gets 404, and the log says what to change.
func TestPrefixIsNotStripped(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		edits := map[*proxy]edit{
			nginx:   {"proxy_pass http://mcp/;", "proxy_pass http://mcp;"},
			haproxy: {`http-request replace-path ^/team(/.*)$ \1`, ""},
			caddy:   {"handle_path ", "handle "},
		}
		site := open(t, p, setup{edits: []edit{edits[p]}})
		got := ask(t, site.client, http.MethodPost, site.url, token(site), strings.NewReader(initialize))
		if said := site.backends[0].log.String(); got.StatusCode != http.StatusNotFound || !strings.Contains(said, "have the proxy in front strip "+prefix) {
			t.Errorf("%s, and the log says %s", got.Status, said)
		}
	})
}
