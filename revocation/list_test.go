package mcpauthrevocation_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

type m = map[string]any

// A logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newList returns a list that runs until the test ends, and its log. It has caught up with a store that answers.
func newList(t testing.TB, cfg mcpauthrevocation.Config) (*mcpauthrevocation.List, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	list, err := mcpauthrevocation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, list)
	return list, log
}

// run has a list follow its store until the test ends or stop is called.
func run(t testing.TB, list *mcpauthrevocation.List) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := list.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	for deadline := time.Now().Add(10 * time.Second); list.Ready(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the list does not become ready: ", list.Ready(ctx))
		}
	}
	return stop
}

func revoke(t testing.TB, list *mcpauthrevocation.List, entries ...mcpauthrevocation.Entry) {
	t.Helper()
	if err := list.Revoke(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

// entryOf returns what a session was refused for, or "".
func entryOf(t testing.TB, check func() error) string {
	t.Helper()
	err := check()
	if err == nil {
		return ""
	}
	if revoked := (*mcpauth.RevokedError)(nil); errors.As(err, &revoked) {
		return revoked.Entry
	}
	t.Fatalf("not an entry: %v", err)
	return ""
}

// TestR103Matching has every kind of entry, and sessions that it meets and does not meet.
func TestR103Matching(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	at := func(e mcpauthrevocation.Entry, d time.Duration) mcpauthrevocation.Entry {
		e.At = now.Add(d)
		return e
	}
	whole := m{"sub": "usr_1", "sid": "ses_1", "jti": "tkn_1", "oid": "org_1", "client_id": "m2m_1", "iat": now.Unix()}
	without := func(claim string) m {
		claims := maps.Clone(whole)
		claims[claim] = nil
		return claims
	}
	for name, c := range map[string]struct {
		entry  mcpauthrevocation.Entry
		claims m
		want   bool
	}{
		"the token": {mcpauthrevocation.Token("tkn_1"), whole, true},
		"the token, revoked before it was issued": {at(mcpauthrevocation.Token("tkn_1"), -time.Hour), whole, true},
		"another token":                        {mcpauthrevocation.Token("tkn_2"), whole, false},
		"a token without id":                   {mcpauthrevocation.Token("tkn_1"), without("jti"), false},
		"the session":                          {mcpauthrevocation.Session("ses_1"), whole, true},
		"the session, revoked before":          {at(mcpauthrevocation.Session("ses_1"), -time.Hour), whole, true},
		"another session":                      {mcpauthrevocation.Session("ses_10"), whole, false},
		"an id in another case":                {mcpauthrevocation.Session("SES_1"), whole, false},
		"the id of another kind":               {mcpauthrevocation.Session("usr_1"), whole, false},
		"the user":                             {mcpauthrevocation.User("usr_1"), whole, true},
		"the user, in the same second":         {at(mcpauthrevocation.User("usr_1"), 0), whole, true},
		"the user, at the end of the second":   {at(mcpauthrevocation.User("usr_1"), 999*time.Millisecond), whole, true},
		"the user, a nanosecond before":        {at(mcpauthrevocation.User("usr_1"), -1), whole, false},
		"the user, the second before":          {at(mcpauthrevocation.User("usr_1"), -time.Second), whole, false},
		"the user, without iat":                {at(mcpauthrevocation.User("usr_1"), -time.Hour), without("iat"), true},
		"another user":                         {mcpauthrevocation.User("usr_2"), whole, false},
		"the member":                           {mcpauthrevocation.Member("usr_1", "org_1"), whole, true},
		"the member, before":                   {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Second), whole, false},
		"the member, without iat":              {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Hour), without("iat"), true},
		"the member of another organization":   {mcpauthrevocation.Member("usr_1", "org_2"), whole, false},
		"another member":                       {mcpauthrevocation.Member("usr_2", "org_1"), whole, false},
		"the member, without organization":     {mcpauthrevocation.Member("usr_1", "org_1"), without("oid"), true},
		"the same, before":                     {at(mcpauthrevocation.Member("usr_1", "org_1"), -time.Second), without("oid"), false},
		"another member, without organization": {mcpauthrevocation.Member("usr_2", "org_1"), without("oid"), false},
		"the organization":                     {mcpauthrevocation.Organization("org_1"), whole, true},
		"the organization, before":             {at(mcpauthrevocation.Organization("org_1"), -time.Second), whole, false},
		"the organization, without iat":        {at(mcpauthrevocation.Organization("org_1"), -time.Hour), without("iat"), true},
		"another organization":                 {mcpauthrevocation.Organization("org_2"), whole, false},
		"an organization that is not named":    {mcpauthrevocation.Organization("org_1"), without("oid"), false},
		"the client":                           {mcpauthrevocation.Client("m2m_1"), whole, true},
		"the client, before":                   {at(mcpauthrevocation.Client("m2m_1"), -time.Second), whole, false},
		"another client":                       {mcpauthrevocation.Client("m2m_2"), whole, false},
		"a session without client":             {mcpauthrevocation.Client("m2m_1"), without("client_id"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, _ := newList(t, mcpauthrevocation.Config{})
			check := list.Watch(mcpauthtest.NewSession(c.claims))
			for range 2 {
				if entry := entryOf(t, check); entry != "" {
					t.Fatal("revoked before: ", entry)
				}
			}
			revoke(t, list, c.entry)
			for _, check := range []func() error{check, list.Watch(mcpauthtest.NewSession(c.claims))} {
				want := ""
				if c.want {
					want = c.entry.String()
				}
				if entry := entryOf(t, check); entry != want {
					t.Errorf("refused for %q, want %q", entry, want)
				}
			}
		})
	}
}

// TestR103LatestOfSeveralMembers has a user removed from several organizations: a token without an organization meets the
// latest.
func TestR103LatestOfSeveralMembers(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	list, _ := newList(t, mcpauthrevocation.Config{})
	check := list.Watch(mcpauthtest.NewSession(m{"iat": now.Unix()}))
	for i, org := range []string{"org_1", "org_2", "org_3"} {
		e := mcpauthrevocation.Member("usr_1", org)
		e.At = now.Add(time.Duration(i-2) * time.Second)
		revoke(t, list, e)
		if refused := entryOf(t, check) != ""; refused != (i == 2) {
			t.Errorf("%s: refused %t", org, refused)
		}
	}
}

// TestR103OutrightRefusals has sessions that are refused whatever was revoked.
func TestR103OutrightRefusals(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		cfg    mcpauthrevocation.Config
		claims m
		want   string // in the cure
	}{
		"a day":                   {claims: m{"exp": now.Unix() + 86400, "iat": now.Unix()}},
		"longer than a day":       {claims: m{"exp": now.Unix() + 86401, "iat": now.Unix()}, want: "MaxTokenLife"},
		"longer, set":             {cfg: mcpauthrevocation.Config{MaxTokenLife: 48 * time.Hour}, claims: m{"exp": now.Unix() + 86401, "iat": now.Unix()}},
		"old and long":            {claims: m{"exp": now.Unix() + 100, "iat": now.Unix() - 86400}, want: "MaxTokenLife"},
		"long without iat":        {claims: m{"exp": now.Unix() + 2*86400, "iat": nil}, want: "MaxTokenLife"},
		"short without iat":       {claims: m{"exp": now.Unix() + 86000, "iat": nil}},
		"no organization":         {claims: m{}},
		"no organization, but to": {cfg: mcpauthrevocation.Config{RefuseWithoutOrganization: true}, claims: m{}, want: "RefuseWithoutOrganization"},
		"an organization":         {cfg: mcpauthrevocation.Config{RefuseWithoutOrganization: true}, claims: m{"oid": "org_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, _ := newList(t, c.cfg)
			err := list.Watch(mcpauthtest.NewSession(c.claims))()
			revoked := (*mcpauth.RevokedError)(nil)
			if refused := errors.As(err, &revoked); refused != (c.want != "") || refused && !strings.Contains(revoked.Cure, c.want) {
				t.Errorf("%+v", err)
			}
		})
	}
}

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
		store := mcpauthrevocation.NewMemoryStore(time.Hour)
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

// A scriptedStore fails and is silent as it is told.
type scriptedStore struct {
	*mcpauthrevocation.MemoryStore
	mu     sync.Mutex
	down   chan struct{} // closed when it fails
	silent bool
	lose   bool
}

var errDown = errors.New("the store is down")

func (s *scriptedStore) Append(ctx context.Context, entries []mcpauthrevocation.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return errDown
	}
	return s.MemoryStore.Append(ctx, entries)
}

func (s *scriptedStore) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	s.mu.Lock()
	down, lose, memory := s.down != nil, s.lose, s.MemoryStore
	s.lose = s.lose && down
	s.mu.Unlock()
	switch {
	case down:
		return errDown
	case lose:
		return mcpauthrevocation.ErrPastLost
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return errors.Join(memory.Follow(ctx, from, func(b mcpauthrevocation.Batch) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down != nil {
			cancel(errDown)
		} else if !s.silent {
			apply(b)
		}
	}), context.Cause(ctx))
}

func (s *scriptedStore) set(down, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.silent = nil, silent
	if down {
		s.down = make(chan struct{})
	}
}

// TestR103Staleness has a store that fails, or falls silent: what is known stays in force, after MaxStaleness nothing is let
// in, and that ends by itself.
func TestR103Staleness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxStaleness time.Duration
		down         bool
		after        time.Duration
		want         string
	}{
		"down, not for long":   {0, true, 4*time.Minute + 57*time.Second, ""},
		"down":                 {0, true, 5*time.Minute + 2*time.Second, "MaxStaleness"},
		"silent":               {0, false, 5*time.Minute + 2*time.Second, "MaxStaleness"},
		"a minute":             {time.Minute, true, 62 * time.Second, "MaxStaleness"},
		"for ever":             {-1, true, 10 * time.Hour, ""},
		"for ever, and silent": {-1, false, 10 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session := mcpauthtest.NewSession(nil)
			synctest.Test(t, func(t *testing.T) {
				store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(1000 * time.Hour)}
				log := new(logBuffer)
				list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
					Store: store, MaxStaleness: c.maxStaleness, Logger: slog.New(slog.NewTextHandler(log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- list.Run(ctx) }()
				synctest.Wait()
				check := list.Watch(session)
				if err := check(); err != nil {
					t.Fatal(err)
				}
				var announced atomic.Int32
				list.Subscribe(func() { announced.Add(1) })
				store.set(c.down, !c.down)
				revoke := list.Revoke(t.Context(), mcpauthrevocation.Session("ses_2"))
				if c.down != errors.Is(revoke, errDown) {
					t.Errorf("Revoke: %v", revoke)
				}
				synctest.Wait()
				if n := announced.Load(); n != 1 {
					t.Errorf("announced %d times", n)
				}
				time.Sleep(c.after)
				synctest.Wait()
				err = check()
				if stale := (*mcpauth.StaleError)(nil); errors.As(err, &stale) != (c.want != "") || stale != nil && (!strings.Contains(stale.Cause, c.want) || stale.RetryAfter < time.Second) {
					t.Errorf("the answer is %v", err)
				}
				if list.Ready(t.Context()) != err { //nolint:errorlint // it is the same
					t.Errorf("Ready returns %v", list.Ready(t.Context()))
				}
				if c.want != "" && (announced.Load() != 2 || strings.Count(log.String(), `level=WARN msg="requests are refused"`) != 1) {
					t.Errorf("announced %d times: %s", announced.Load(), log)
				}
				store.set(false, false)
				_ = store.Append(t.Context(), []mcpauthrevocation.Entry{{Kind: "session", ID: "ses_1", At: time.Now()}})
				time.Sleep(time.Second)
				if entry := entryOf(t, check); entry != "session ses_1" {
					t.Errorf("after a second: refused for %q", entry)
				}
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := check(); !errors.As(err, new(*mcpauth.StaleError)) || !strings.Contains(err.Error(), "not running") {
					t.Errorf("without Run: %v", err)
				}
			})
		})
	}
}

// TestR103NotReady has lists that nothing can be said of yet.
func TestR103NotReady(t *testing.T) {
	t.Parallel()
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{})
	if err != nil {
		t.Fatal(err)
	}
	session := mcpauthtest.NewSession(nil)
	for name, check := range map[string]func() error{"no Run": list.Watch(session), "nil list": (*mcpauthrevocation.List)(nil).Watch(session)} {
		if err := check(); err == nil || !strings.Contains(err.Error(), "not running") {
			t.Errorf("%s: %v", name, err)
		}
	}
	revoke(t, list, mcpauthrevocation.Session("ses_1")) // is in force later
	stop := run(t, list)
	if entry := entryOf(t, list.Watch(session)); entry != "session ses_1" {
		t.Errorf("refused for %q", entry)
	}
	if err := list.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second Run: %v", err)
	}
	stop()
	if list.Ready(t.Context()) == nil {
		t.Error("ready without Run")
	}
}

// TestR103LostPast has a store that lost what it held: the list appends it again, and nothing is let in meanwhile.
func TestR103LostPast(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	synctest.Test(t, func(t *testing.T) {
		store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(time.Hour)}
		log := new(logBuffer)
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- list.Run(ctx) }()
		synctest.Wait()
		entries := []mcpauthrevocation.Entry{mcpauthrevocation.Session("ses_1"), mcpauthrevocation.User("usr_2"), mcpauthrevocation.Member("usr_3", "org_3")}
		revoke(t, list, entries...)
		store.mu.Lock()
		store.MemoryStore, store.lose, store.down = mcpauthrevocation.NewMemoryStore(time.Hour), true, make(chan struct{})
		store.mu.Unlock()
		time.Sleep(3 * time.Second)
		store.set(false, false)
		time.Sleep(3 * time.Second)
		if entry := entryOf(t, list.Watch(session)); entry != "session ses_1" {
			t.Errorf("refused for %q", entry)
		}
		found := map[string]bool{}
		follow, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_ = store.Follow(follow, "", func(b mcpauthrevocation.Batch) {
			for _, e := range b.Entries {
				found[e.String()] = true
			}
		})
		if len(found) != len(entries) || !strings.Contains(log.String(), "had lost its past") {
			t.Errorf("the store has %v: %s", found, log)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
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
	} {
		if err := list.Revoke(t.Context(), mcpauthrevocation.Session("ses_1"), e); err == nil {
			t.Errorf("%s: revoked", name)
		}
	}
	if n := list.Len(); n != 0 {
		t.Errorf("%d entries are in force", n)
	}
}
