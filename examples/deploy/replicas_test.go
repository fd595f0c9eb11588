package deploy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// replicate starts two replicas of a server, a and b, behind one environment.
func replicate(stateless bool) func(t *testing.T, base string) []*backend {
	return func(t *testing.T, base string) []*backend {
		env := mcpauthtest.NewEnvironment()
		t.Cleanup(env.Close)
		var replicas []*backend
		for _, name := range []string{"a", "b"} {
			b := serve(t, env.Config(base), name, stateless)
			b.env = env
			replicas = append(replicas, b)
		}
		return replicas
	}
}

// many is how many sessions are enough for both replicas to get some, by chance.
const many = 40

// balanced are the proxies that have configurations for replicas.
var balanced = []*proxy{nginx, haproxy}

// TestReplicas lets clients open MCP sessions and call a tool, which names its replica. Each session stays with its
// replica, and both replicas have some.
func TestReplicas(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{file: p.replicas, start: replicate(false)})
		sessions := make(map[string]int)
		for range many {
			if len(sessions) == 2 {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			session, err := connect(ctx, site)
			if err != nil {
				t.Fatal(err)
			}
			replica := ""
			for range 6 {
				name := replicaOf(ctx, t, session)
				if replica != "" && name != replica {
					t.Errorf("a call in a session of %s runs in %s", replica, name)
				}
				replica = name
			}
			sessions[replica]++
			if err := session.Close(); err != nil {
				t.Errorf("ending a session: %v", err)
			}
			cancel()
		}
		t.Errorf("the sessions are in %v", sessions)
	})
}

func replicaOf(ctx context.Context, t *testing.T, session *mcp.ClientSession) string {
	t.Helper()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "replica"})
	if err != nil {
		t.Fatalf("a call in a session: %v", err)
	}
	return result.Content[0].(*mcp.TextContent).Text
}

// The token of a session changes, and its user's other sessions stay where they are: only the id counts.
func TestReplicasWithNewTokens(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{file: p.replicas, start: replicate(false)})
		for range 4 {
			id := openSession(t, site)
			for _, client := range site.clients() {
				if got := callReplica(t, site, client, id); got.StatusCode != http.StatusOK {
					t.Errorf("%s %s", got.Status, got.body)
				}
			}
		}
	})
}

// openSession returns the id of a new MCP session.
func openSession(t *testing.T, site *site) string {
	t.Helper()
	opened := ask(t, site.client, http.MethodPost, site.url, token(site), strings.NewReader(initialize))
	ids := opened.Header.Values("Mcp-Session-Id")
	if opened.StatusCode != http.StatusOK || len(ids) != 1 {
		t.Fatalf("%s %v %s", opened.Status, opened.Header, opened.body)
	}
	return ids[0]
}

// callReplica calls the tool in a session, with a token of its own. The ids of tokens make them differ.
func callReplica(t *testing.T, site *site, client *http.Client, id string) answer {
	t.Helper()
	token := site.backends[0].env.Token(map[string]any{"jti": t.Name() + id})
	message := `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"replica","arguments":{}}}`
	return ask(t, client, http.MethodPost, site.url, token, strings.NewReader(message), "Mcp-Session-Id", id)
}

// When the replica of a session has ended, the client is told so with 404 (MCP "Session Management"), and can open
// another session.
func TestReplicaEnds(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{file: p.replicas, start: replicate(false)})
		ids := make(map[string]string) // by replica
		for range many {
			id := openSession(t, site)
			for _, name := range []string{"a", "b"} {
				if strings.Contains(callReplica(t, site, site.client, id).body, `"text":"`+name+`"`) {
					ids[name] = id
				}
			}
			if len(ids) == 2 {
				break
			}
		}
		if err := site.backends[0].server.Close(); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"a": http.StatusNotFound, "b": http.StatusOK} {
			if got := callReplica(t, site, site.client, ids[name]); got.StatusCode != want {
				t.Errorf("a call in a session of %s is answered with %s %s", name, got.Status, got.body)
			}
		}
		for range 4 {
			id := openSession(t, site)
			if got := callReplica(t, site, site.client, id); got.StatusCode != http.StatusOK {
				t.Errorf("a call in a new session is answered with %s %s", got.Status, got.body)
			}
		}
	})
}

// Without stickiness, MCP sessions are lost.
func TestReplicasWithoutStickiness(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{edits: []edit{p.addServer}, start: replicate(false)})
		statuses := make(map[int]int)
		id := openSession(t, site)
		for range 6 {
			statuses[callReplica(t, site, site.client, id).StatusCode]++
		}
		if statuses[http.StatusNotFound] == 0 || statuses[http.StatusOK] == 0 {
			t.Errorf("calls are answered with %v", statuses)
		}
	})
}

// A server without MCP sessions needs no stickiness: the calls of one client run in both replicas.
func TestStatelessReplicas(t *testing.T) {
	forEach(t, balanced, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{edits: []edit{p.addServer}, start: replicate(true)})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		session, err := connect(ctx, site)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		calls := make(map[string]int)
		for range 8 {
			calls[replicaOf(ctx, t, session)]++
		}
		if calls["a"] == 0 || calls["b"] == 0 {
			t.Errorf("the calls ran in %v", calls)
		}
	})
}
