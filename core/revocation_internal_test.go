package mcpauth

import (
	"runtime"
	"testing"
	"weak"
)

// A subscriptions is a list that nothing is on, and that keeps its subscribers, as every list does.
type subscriptions struct{ changed []func() }

func (s *subscriptions) Watch(*Session) func() error { return func() error { return nil } }
func (s *subscriptions) Subscribe(changed func())    { s.changed = append(s.changed, changed) }

// TestR103UnusedResourceServer has a list that outlives its resource servers, such as those of tenants that are made on demand and
// forgotten: it keeps nothing of them, and nothing is reviewed for them.
func TestR103UnusedResourceServer(t *testing.T) {
	t.Parallel()
	list := new(subscriptions)
	newServer := func() *ResourceServer {
		rs, err := New(Config{EnvironmentURL: "https://acme.scalekit.com", BaseURL: "https://mcp.example.com", Revocation: list})
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	used, unused := newServer(), newServer()
	live, gone := weak.Make(used.live), weak.Make(unused.live)
	runtime.KeepAlive(unused)
	runtime.GC()
	for _, changed := range list.changed {
		changed()
	}
	if live.Value() == nil || gone.Value() != nil {
		t.Errorf("kept: %t for the one in use, %t for the other", live.Value() != nil, gone.Value() != nil)
	}
	runtime.KeepAlive(used)
}
