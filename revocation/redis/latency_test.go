package mcpauthrevocationredis_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103Latency has three replicas and 200 users, of whom one after the other is revoked, at one replica after the other:
// how long until all refuse, and that no other user is refused. -v prints the times.
func TestR103Latency(t *testing.T) {
	t.Parallel()
	const users, rounds = 200, 30
	s := start(t, durable...)
	var replicas []*replica
	checks := make([][]func() error, 3)
	for i := range checks {
		r := newReplica(t, s.client(nil), nil)
		r.ready()
		for user := range users {
			session := mcpauthtest.NewSession(map[string]any{"sub": fmt.Sprintf("usr_%d", user), "sid": fmt.Sprintf("ses_%d", user)})
			checks[i] = append(checks[i], r.list.Watch(session))
		}
		replicas = append(replicas, r)
	}
	var took []time.Duration
	for round := range rounds {
		began := time.Now()
		if err := replicas[round%3].list.Revoke(t.Context(), mcpauthrevocation.Session(fmt.Sprintf("ses_%d", round))); err != nil {
			t.Fatal(err)
		}
		for i, r := range replicas {
			r.within(time.Second, "refused", func() bool { return checks[i][round]() != nil })
		}
		took = append(took, time.Since(began))
		for i := range replicas {
			for user, check := range checks[i] {
				if refused := check() != nil; refused != (user <= round) {
					t.Fatalf("round %d, replica %d: user %d refused %t", round, i, user, refused)
				}
			}
		}
	}
	slices.Sort(took)
	t.Logf("until all three refuse: p50 %v, the longest of %d %v", took[rounds/2], rounds, took[rounds-1])
}
