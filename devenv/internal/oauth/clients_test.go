package oauth

import (
	"strconv"
	"sync"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

func TestClientTableIsBounded(t *testing.T) {
	t.Parallel()
	table := newStore().clients
	for _, id := range []string{"used", "unused"} {
		table.put(&goidc.Client{ID: id})
	}
	table.approve("used")
	table.approve("unknown")
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxClients {
				table.put(&goidc.Client{ID: strconv.Itoa(worker) + "-" + strconv.Itoa(i)})
			}
		})
	}
	wg.Wait()
	if len(table.byID) != maxClients {
		t.Errorf("%d clients, want %d", len(table.byID), maxClients)
	}
	if _, ok := table.get("used"); !ok {
		t.Error("a flood pushed out a client that a person signed in with")
	}
	if _, ok := table.get("unused"); ok {
		t.Error("the oldest of the unused is still there")
	}

	// Of the clients in use, the one that was used the longest ago is replaced.
	for i := range maxClients {
		id := "approved-" + strconv.Itoa(i)
		table.put(&goidc.Client{ID: id})
		table.approve(id)
	}
	if _, ok := table.get("used"); ok || len(table.byID) != maxClients {
		t.Errorf("used is there: %v, of %d", ok, len(table.byID))
	}
	table.put(&goidc.Client{ID: "new"})
	if _, ok := table.get("new"); !ok {
		t.Error("a full table refuses a new client")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStore()
	const end = 1 << 40
	for i := range maxSessions + 10 {
		if err := s.SaveSession(t.Context(), &goidc.AuthnSession{ID: strconv.Itoa(i), ExpiresAt: end + i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Session(t.Context(), "0"); err == nil || len(s.sessions) != maxSessions {
		t.Errorf("%d sessions, want %d; the oldest: %v", len(s.sessions), maxSessions, err)
	}
	if _, err := s.Session(t.Context(), strconv.Itoa(maxSessions+9)); err != nil {
		t.Errorf("the newest: %v", err)
	}
}
