package mcpauthgosdk_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestR99PublicNotFound has users who sign in on MCP sessions that were opened without credentials, and get 404 there although the
// MCP sessions go on in the go-sdk.
func TestR99PublicNotFound(t *testing.T) {
	t.Parallel()
	f := newPublic(t, setup{})
	for range 20 {
		id := f.open(t, "")
		// The go-sdk does not know this method, and answers 404 under MCP 2026-07-28.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"x/y"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
			"Mcp-Session-Id": {id}, "Mcp-Protocol-Version": {"2026-07-28"}, "Authorization": {"Bearer " + f.env.Token(nil)},
		}
		resp, err := (&http.Client{Timeout: 2 * deadline}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	open := func() (n int) {
		for range f.server.Sessions() {
			n++
		}
		return n
	}
	for end := time.Now().Add(deadline); open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d MCP sessions are open in the go-sdk, which nothing ends", open())
		}
	}
}
