package deploy_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
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

// linesAtThePrefix are what docs/deploy.md adds for an endpoint at the prefix itself, to the configurations for one server and for
// replicas.
func linesAtThePrefix(t *testing.T, p *proxy, replicas bool) []edit {
	t.Helper()
	document, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, block, _ := strings.Cut(string(document), "\n```"+language+"\n")
		block, _, found := strings.Cut(block, "```")
		if !found {
			t.Fatalf("no block for %s in docs/deploy.md", language)
		}
		return block
	}
	before := func(line, added string) edit { return edit{line, added + line} }
	switch p {
	case nginx:
		lines := block("nginx")
		if replicas {
			lines = strings.Replace(lines, "proxy_pass http://mcp/;", "rewrite ^ / break; proxy_pass http://$mcp_upstream;", 1)
		}
		return []edit{before("    location /team/ {", lines)}
	case haproxy:
		front, back, _ := strings.Cut(block("haproxy"), "\n")
		return []edit{before("    use_backend mcp if { path_beg /team/ }", front+"\n"), before("    http-request replace-path", back)}
	}
	return []edit{before("\thandle_path /team/* {", block("caddyfile"))}
}

// An endpoint at the prefix itself needs what docs/deploy.md has for it, and nothing else.
func TestEndpointAtThePrefix(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		for _, with := range []bool{false, true} {
			s := setup{start: func(t *testing.T, base string) []*backend {
				env := mcpauthtest.NewEnvironment()
				t.Cleanup(env.Close)
				return []*backend{atTheRoot(t, env, base, "a")}
			}}
			if with {
				s.edits = linesAtThePrefix(t, p, false)
			}
			site := open(t, p, s)
			site.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			endpoint, metadata := site.origin+prefix, site.origin+"/.well-known/oauth-protected-resource"+prefix
			refused := ask(t, site.client, http.MethodPost, endpoint, "", nil)
			leads := strings.Contains(refused.Header.Get("WWW-Authenticate"), `resource_metadata="`+metadata+`"`)
			document := ask(t, site.client, http.MethodGet, metadata, "", nil)
			described := document.StatusCode == http.StatusOK && strings.Contains(document.body, `"resource":"`+endpoint+`"`)
			opened := ask(t, site.client, http.MethodPost, endpoint, token(site), strings.NewReader(initialize)).Header.Get("Mcp-Session-Id") != ""
			if leads != with || described != with || opened != with {
				t.Errorf("with the lines %t: challenge %t (%s), metadata %t (%s), session %t", with, leads, refused.Status, described, document.Status, opened)
			}
			other := ask(t, site.client, http.MethodPost, site.origin+"/teamwork", token(site), strings.NewReader(initialize))
			if other.Header.Get("Mcp-Session-Id") != "" {
				t.Error("another path that begins with the prefix is the endpoint, too")
			}
		}
	})
}

func atTheRoot(t *testing.T, env *mcpauthtest.Environment, base, name string) *backend {
	t.Helper()
	config := env.Config(base)
	config.Path = "/"
	b := serve(t, config, name, false)
	b.env = env
	return b
}

// Sessions stay with their replicas there, too.
func TestReplicasAtThePrefix(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{file: p.replicas, edits: linesAtThePrefix(t, p, true), start: func(t *testing.T, base string) []*backend {
			env := mcpauthtest.NewEnvironment()
			t.Cleanup(env.Close)
			return []*backend{atTheRoot(t, env, base, "a"), atTheRoot(t, env, base, "b")}
		}})
		site.url = site.origin + prefix
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			session, err := connect(ctx, site)
			if err != nil {
				t.Fatal(err)
			}
			replica := replicaOf(ctx, t, session)
			for range 5 {
				if name := replicaOf(ctx, t, session); name != replica {
					t.Errorf("a call in a session of %s runs in %s", replica, name)
				}
			}
			if err := session.Close(); err != nil {
				t.Errorf("ending a session: %v", err)
			}
			cancel()
		}
	})
}
