package mcpauthrevocation_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103RecentEntries asks checks again that have found nothing, after any number of entries. They answer what a new check of
// the same session answers, which looks everything up.
func TestR103RecentEntries(t *testing.T) {
	t.Parallel()
	list, _ := newList(t, mcpauthrevocation.Config{})
	now := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	var sessions []*mcpauth.Session
	var checks []func() error
	for i := range 300 {
		s := mcpauthtest.NewSession(m{
			"sub": fmt.Sprint("usr_", i), "sid": fmt.Sprint("ses_", i), "jti": fmt.Sprint("tkn_", i),
			"client_id": fmt.Sprint("m2m_", i/10), "oid": fmt.Sprint("org_", i/10), "iat": now.Unix() - int64(random.IntN(60)),
		})
		sessions, checks = append(sessions, s), append(checks, list.Watch(s))
	}
	refused := 0
	for range 300 {
		for range random.IntN(6) * random.IntN(20) {
			n := random.IntN(20_000) // most are about others
			e := []mcpauthrevocation.Entry{
				mcpauthrevocation.User(fmt.Sprint("usr_", n)), mcpauthrevocation.Member(fmt.Sprint("usr_", n), fmt.Sprint("org_", n/10)),
				mcpauthrevocation.Organization(fmt.Sprint("org_", n)), mcpauthrevocation.Session(fmt.Sprint("ses_", n)),
				mcpauthrevocation.Token(fmt.Sprint("tkn_", n)), mcpauthrevocation.Client(fmt.Sprint("m2m_", n)),
			}[random.IntN(6)]
			e.At = now.Add(-time.Duration(random.IntN(60)) * time.Second)
			revoke(t, list, e)
		}
		for range 100 {
			i := random.IntN(len(checks))
			want := entryOf(t, list.Watch(sessions[i])) != ""
			if got := entryOf(t, checks[i]) != ""; got != want {
				t.Fatalf("session %v: refused %t, and a new check says %t", sessions[i], got, want)
			}
			if want {
				refused++
			}
		}
	}
	if refused < 100 {
		t.Errorf("%d refusals show little", refused)
	}
}

// TestR103RecentEntriesAtOnce has sessions revoked, among many others, while all are checked: one whose revocation has returned
// is refused.
func TestR103RecentEntriesAtOnce(t *testing.T) {
	t.Parallel()
	list, _ := newList(t, mcpauthrevocation.Config{})
	const sessions = 400
	var checks []func() error
	for i := range sessions {
		checks = append(checks, list.Watch(mcpauthtest.NewSession(m{"sid": fmt.Sprint("ses_", i)})))
	}
	var mu sync.Mutex
	revoked := 0 // all sessions below
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for known := 0; known < sessions; {
				mu.Lock()
				known = revoked
				mu.Unlock()
				for i, check := range checks {
					if err := check(); err == nil && i < known {
						t.Errorf("session %d is let in after its revocation", i)
						return
					}
				}
			}
		})
	}
	for i := range sessions {
		var entries []mcpauthrevocation.Entry
		for n := range i % 90 {
			entries = append(entries, mcpauthrevocation.Session(fmt.Sprint("ses_other_", i, "_", n)))
		}
		revoke(t, list, append(entries, mcpauthrevocation.Session(fmt.Sprint("ses_", i)))...)
		mu.Lock()
		revoked = i + 1
		mu.Unlock()
	}
	wg.Wait()
}
