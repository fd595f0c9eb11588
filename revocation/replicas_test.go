package mcpauthrevocation_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103Replicas has two servers on one store, each with a stream of two users. One user's session is ended at the first:
// within a second, both refuse it, and its streams are over. The other user's go on.
func TestR103Replicas(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	store := mcpauthrevocation.NewMemoryStore(24 * time.Hour)
	type replica struct {
		list *mcpauthrevocation.List
		url  string
	}
	var replicas []replica
	for range 2 {
		cfg := webhookConfig()
		cfg.Store = store
		list, _ := newList(t, cfg)
		server := env.Config("https://mcp.example.com")
		server.Revocation = list
		rs, err := mcpauth.New(server)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rs.Serve(w, r, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					return
				}
				_, _ = io.WriteString(w, "data: 1\n\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
		}))
		t.Cleanup(s.Close)
		replicas = append(replicas, replica{list, s.URL + "/mcp"})
	}
	ask := func(r replica, method, token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, r.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Client{Timeout: patience}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	revoked, other := env.Token(nil), env.Token(m{"sid": "ses_2"})
	ended := make(chan string, 4)
	for _, r := range replicas {
		for sid, token := range map[string]string{"ses_1": revoked, "ses_2": other} {
			from := bufio.NewReader(ask(r, http.MethodGet, token).Body) //nolint:bodyclose // ask does
			if line, err := from.ReadString('\n'); err != nil || line != "data: 1\n" {
				t.Fatalf("%q, %v", line, err)
			}
			go func() {
				_, _ = io.Copy(io.Discard, from)
				ended <- sid
			}()
		}
	}
	start := time.Now()
	body := envelope("user.logout", logout)
	if status := deliver(t, replicas[0].list.Webhook(), sign(secret, "msg_1", start, body), body); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	for range replicas {
		select {
		case sid := <-ended:
			if sid != "ses_1" {
				t.Errorf("the stream of %s ended", sid)
			}
		case <-time.After(patience):
			t.Fatal("a stream of the revoked session goes on")
		}
	}
	if took := time.Since(start); took > 5*time.Second { // 1 s, and a busy machine
		t.Errorf("the streams ended after %v", took)
	}
	for _, r := range replicas {
		if resp := ask(r, http.MethodPost, revoked); resp.StatusCode != http.StatusUnauthorized { //nolint:bodyclose // ask does
			t.Errorf("the revoked session gets %d", resp.StatusCode)
		}
		if resp := ask(r, http.MethodPost, other); resp.StatusCode != http.StatusOK { //nolint:bodyclose // ask does
			t.Errorf("the other session gets %d", resp.StatusCode)
		}
	}
	select {
	case sid := <-ended:
		t.Errorf("the stream of %s ended", sid)
	default:
	}
}
