package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationfile "github.com/scalekit-mcp/mcpauth/revocation/file"

	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

const (
	manyRevoked     = 1_000_000
	caughtUp        = 100_000
	watchedSessions = 1000
	revokedAtOnce   = 10_000
)

// revocations measures the check of a session by a revocation list, the memory of the list, and how soon it has caught up with
// its store.
func revocations(s *session) error {
	var rows []measure.Row
	var size float64
	for _, entries := range []int{0, 10_000, manyRevoked} {
		before := heap()
		list, stop, err := runningList(nil)
		if err != nil {
			return err
		}
		defer stop()
		if err := revokeSessions(list, entries); err != nil {
			return err
		}
		size = heap() - before
		rows = append(rows, checking(list, entries)...)
	}
	results, rsa, err := s.interleave(rows)
	if err != nil {
		return err
	}

	s.printf("## Revocation\n\nThe check of a session that is not revoked, by mcpauthrevocation's list, turn by turn for %s cached sessions with five ids each. Nothing\n"+
		"was revoked since the last check, or something else was: the row \"after another entry\" has one revoked between two turns, whose\n"+
		"own time is in it, divided by the turn. The entries are sessions (sid) with the ids of their events.\n\n", measure.Count(watchedSessions))
	table := measure.Table{Head: []string{"check of a session", "min ns", "median ns", "allocs", "x RSA"}}
	for _, r := range results {
		table.Add(r.Name, measure.Count(r.Min()), measure.Count(r.Median()), measure.Count(r.Allocs), fmt.Sprintf("%.4f", r.Min()/rsa))
	}
	table.Print(s.out)
	cached, after := results[len(results)-2], results[len(results)-1]
	s.target("revocation check, 1,000,000 entries", "<= 0.0050 x RSA", fmt.Sprintf("%.4f x RSA", cached.Min()/rsa), cached.Min() <= 0.005*rsa)
	s.target("revocation check, 1,000,000 entries, after another entry", "<= 0.0050 x RSA", fmt.Sprintf("%.4f x RSA", after.Min()/rsa), after.Min() <= 0.005*rsa)
	s.target("revocation check: allocations", "0", measure.Count(max(cached.Allocs, after.Allocs)), cached.Allocs+after.Allocs == 0)
	s.target("memory of 1,000,000 revocations", "<= 100 MB", fmt.Sprintf("%.0f MB", size/megabyte), size <= 100*megabyte)
	return s.catchingUp()
}

// runningList returns a list that follows store, or is its own store, and the function that ends it.
func runningList(store mcpauthrevocation.Store) (list *mcpauthrevocation.List, stop func(), err error) {
	list, err = mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- list.Run(ctx) }()
	for list.Ready(ctx) != nil {
		select {
		case err := <-ended:
			cancel()
			return nil, nil, err
		case <-time.After(100 * time.Microsecond):
		}
	}
	stop = func() {
		cancel()
		<-ended //nolint:errcheck // the reason is cancel
	}
	return list, stop, nil
}

// revokeSessions adds n entries to a list.
func revokeSessions(list *mcpauthrevocation.List, n int) error {
	for from := 0; from < n; from += revokedAtOnce {
		entries := make([]mcpauthrevocation.Entry, 0, revokedAtOnce)
		for i := from; i < min(from+revokedAtOnce, n); i++ {
			e := mcpauthrevocation.Session(fmt.Sprintf("ses_%018d", i))
			e.EventID = fmt.Sprintf("evt_%018d", i)
			entries = append(entries, e)
		}
		if err := list.Revoke(context.Background(), entries...); err != nil {
			return err
		}
	}
	return nil
}

// checking returns the rows of checks by a list.
func checking(list *mcpauthrevocation.List, entries int) []measure.Row {
	checks := make([]func() error, watchedSessions)
	for i := range checks {
		checks[i] = list.Watch(mcpauthtest.NewSession(map[string]any{
			"sub": fmt.Sprintf("usr_%018d", i), "sid": fmt.Sprintf("ses_x%018d", i), "jti": fmt.Sprintf("tkn_%018d", i), "oid": fmt.Sprintf("org_%018d", i),
		}))
	}
	turns := func(between func(turn int)) func(n int) {
		return func(n int) {
			for i := range n {
				if i%len(checks) == 0 {
					between(i)
				}
				if err := checks[i%len(checks)](); err != nil {
					panic(err)
				}
			}
		}
	}
	other := mcpauthrevocation.Session("ses_other")
	other.At = time.Now().Add(-time.Hour)
	name := measure.Count(float64(entries)) + " entries"
	return []measure.Row{
		{Name: name, Run: turns(func(int) {})},
		{Name: name + ", after another entry", Run: turns(func(int) {
			other.At = other.At.Add(time.Millisecond) // later than before: it counts as new, and takes the place of the one before
			if err := list.Revoke(context.Background(), other); err != nil {
				panic(err)
			}
		})},
	}
}

// catchingUp measures how long a list takes to become ready behind a store with many entries.
func (s *session) catchingUp() error {
	directory, err := os.MkdirTemp("", "mcpauth-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // it is temporary anyway
	file, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: filepath.Join(directory, "revoked.log")})
	if err != nil {
		return err
	}
	server, end, err := redisStore(filepath.Join(directory, "redis"))
	if err != nil {
		return err
	}
	defer end()
	table := measure.Table{Head: []string{"catching up with " + measure.Count(caughtUp) + " entries", "min ms"}}
	for _, store := range []struct {
		name string
		mcpauthrevocation.Store
	}{{"memory", mcpauthrevocation.NewMemoryStore(24 * time.Hour)}, {"file", file}, {"Redis", server}} {
		if store.Store == nil {
			table.Add(store.name, "no redis-server here")
			continue
		}
		least, err := catchUp(store.Store)
		if err != nil {
			return fmt.Errorf("%s: %w", store.name, err)
		}
		table.Add(store.name, fmt.Sprintf("%.0f", least.Seconds()*1000))
		s.target("catching up with 100,000 revocations, store: "+store.name, "<= 2 s", fmt.Sprintf("%.2f s", least.Seconds()), least <= 2*time.Second)
	}
	table.Print(s.out)
	return nil
}

// catchUp returns the least time of some.
func catchUp(store mcpauthrevocation.Store) (least time.Duration, err error) {
	filling, stop, err := runningList(store)
	if err != nil {
		return 0, err
	}
	defer stop()
	if err := revokeSessions(filling, caughtUp); err != nil {
		return 0, err
	}
	for attempt := range 5 {
		start := time.Now()
		list, stop, err := runningList(store)
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		stop()
		if list.Len() != caughtUp {
			return 0, fmt.Errorf("%d entries after catching up", list.Len())
		}
		if attempt == 0 || took < least {
			least = took
		}
	}
	return least, nil
}
