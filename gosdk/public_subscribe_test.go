package mcpauthgosdk_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// TestR99PublicSubscriptions: a client without credentials grows the server's memory by subscriptions, for which it could
// never get a notification: GET is 405.
func TestR99PublicSubscriptions(t *testing.T) {
	t.Parallel()
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Resources: map[string]mcpauth.Rule{"weather://{city}": {Public: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var kept atomic.Int32
	f := newFixture(t, setup{
		mount:  true,
		config: func(cfg *mcpauth.Config) { cfg.Policy = policy },
		server: mcp.ServerOptions{
			SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { kept.Add(1); return nil },
			UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		},
	})
	id := f.open(t, "")
	for i := range 20 {
		uri := fmt.Sprint("weather://", i, strings.Repeat("x", 8000))
		status := f.status(t, http.MethodPost, "", id, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"`+uri+`"}}`)
		if status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
			break
		}
	}
	if n := kept.Load(); n > 0 {
		t.Errorf("%d subscriptions are kept", n)
	}
}
