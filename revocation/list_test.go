package mcpauthrevocation_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR103AnyOrder has the same entries in any order, several times, through interrupted runs, with other entries between
// them: the answers are the same.
func TestR103AnyOrder(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	var entries []mcpauthrevocation.Entry
	users := []string{"usr_1", "usr_2", "usr_3", "usr_4"}
	orgs := []string{"org_1", "org_2"}
	for range 30 {
		user, org := users[rand.IntN(len(users))], orgs[rand.IntN(len(orgs))]
		e := []mcpauthrevocation.Entry{
			mcpauthrevocation.User(user), mcpauthrevocation.Member(user, org), mcpauthrevocation.Organization(org),
			mcpauthrevocation.Session("ses_" + user), mcpauthrevocation.Token("tkn_" + user), mcpauthrevocation.Client("m2m_" + org),
		}[rand.IntN(6)]
		e.At = now.Add(time.Duration(rand.IntN(60)-60) * time.Second)
		entries = append(entries, e)
	}
	var sessions []*mcpauth.Session
	for range 60 {
		sessions = append(sessions, mcpauthtest.NewSession(m{
			"sub": users[rand.IntN(len(users))], "iat": now.Unix() - int64(rand.IntN(60)), "sid": "ses_" + users[rand.IntN(len(users))],
			"oid": append(orgs, "")[rand.IntN(3)], "client_id": "m2m_" + orgs[rand.IntN(len(orgs))],
		}))
	}
	answers := func(shuffled []mcpauthrevocation.Entry, interrupted bool) (refused []bool) {
		store := mcpauthrevocation.NewMemoryStore(24 * time.Hour)
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		stop := func() {}
		for i := range shuffled {
			if interrupted && i%7 == 0 {
				stop()
				stop = run(t, list)
			}
			if err := store.Append(t.Context(), shuffled[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		run(t, list)
		for _, s := range sessions {
			refused = append(refused, entryOf(t, list.Watch(s)) != "")
		}
		return refused
	}
	want := answers(entries, false)
	for round := range 20 {
		shuffled := append(append([]mcpauthrevocation.Entry{}, entries...), entries[:rand.IntN(len(entries))]...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := answers(shuffled, round%2 == 0)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("session %v: refused %t, and %t in another order of %v", sessions[i], got[i], want[i], entries)
			}
		}
	}
}

// TestR103Forgotten has entries forgotten when no token from before is valid.
func TestR103Forgotten(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	synctest.Test(t, func(t *testing.T) {
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		check := list.Watch(session)
		revoke(t, list, mcpauthrevocation.Session("ses_1"))
		time.Sleep(23 * time.Hour)
		if entryOf(t, check) == "" {
			t.Error("forgotten too early")
		}
		revoke(t, list, mcpauthrevocation.Session("ses_2"))
		time.Sleep(3 * time.Hour)
		if n := list.Len(); n != 1 {
			t.Errorf("%d entries, want the later one alone", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestR103KeptFromNow has a session and a token revoked with a time of long ago: they have no cut-off, and are kept as long as others.
func TestR103KeptFromNow(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(m{"jti": nil})
	token := mcpauthtest.NewSession(m{"sid": nil, "jti": "tkn_1"})
	synctest.Test(t, func(t *testing.T) {
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		for _, e := range []mcpauthrevocation.Entry{mcpauthrevocation.Session("ses_1"), mcpauthrevocation.Token("tkn_1")} {
			e.At = time.Now().Add(-30 * 24 * time.Hour)
			revoke(t, list, e)
		}
		time.Sleep(23 * time.Hour)
		if entryOf(t, list.Watch(session)) == "" || entryOf(t, list.Watch(token)) == "" {
			t.Error("forgotten too early")
		}
		time.Sleep(3 * time.Hour)
		if n := list.Len(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestR93PanicsOfALoggerAndAClock has a logger and a clock that panic while the list runs: it refuses what it has to, and the program
// goes on.
func TestR93PanicsOfALoggerAndAClock(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	synctest.Test(t, func(t *testing.T) {
		store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(24 * time.Hour)}
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
			Store: store, MaxStaleness: 2 * time.Second,
			Now: func() time.Time { panic("no clock") }, Logger: slog.New(panickingHandler{}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		revoke(t, list, mcpauthrevocation.Session("ses_1"))
		if entryOf(t, list.Watch(session)) == "" {
			t.Error("let in")
		}
		store.set(true, false)
		time.Sleep(5 * time.Second)
		if err := list.Watch(session)(); !errors.As(err, new(*mcpauth.StaleError)) {
			t.Errorf("%v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool { panic("no log") }

// TestRevokeChecks has entries that can't be meant, one of which refuses all.
func TestRevokeChecks(t *testing.T) {
	t.Parallel()
	list, _ := newList(t, mcpauthrevocation.Config{})
	late := mcpauthrevocation.User("usr_1")
	late.At = time.Now().Add(time.Hour)
	early := mcpauthrevocation.User("usr_1")
	early.At = time.Unix(-1, 0)
	odd := mcpauthrevocation.User("usr_1")
	odd.Organization = "org_1"
	for name, e := range map[string]mcpauthrevocation.Entry{
		"nothing": {}, "no id": mcpauthrevocation.User(""), "a member without organization": mcpauthrevocation.Member("usr_1", ""),
		"a kind of its own": {Kind: "sid", ID: "x"}, "the future": late, "the past": early, "two ids": odd,
		"a long id": mcpauthrevocation.User(strings.Repeat("x", 2049)), "no text": mcpauthrevocation.User("\xff"),
		"a space behind": mcpauthrevocation.User("usr_1 "), "a line's end": mcpauthrevocation.Member("usr_1", "org_1\n"), "a zero byte": mcpauthrevocation.Session("ses\x00"),
	} {
		if err := list.Revoke(t.Context(), mcpauthrevocation.Session("ses_1"), e); err == nil {
			t.Errorf("%s: revoked", name)
		}
	}
	if n := list.Len(); n != 0 {
		t.Errorf("%d entries are in force", n)
	}
}
