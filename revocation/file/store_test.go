package mcpauthrevocationfile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationfile "github.com/scalekit-mcp/mcpauth/revocation/file"
)

// TestMain is also the program that is killed: it appends until then, and prints each id once it is acknowledged.
func TestMain(m *testing.M) {
	if path := os.Getenv("MCPAUTH_TEST_APPEND_TO"); path != "" {
		store, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: path})
		for i := 0; err == nil; i++ {
			id := fmt.Sprintf("ses_%d_%d", os.Getpid(), i)
			if err = store.Append(context.Background(), []mcpauthrevocation.Entry{entry(id)}); err == nil {
				fmt.Println(id)
			}
		}
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func entry(id string) mcpauthrevocation.Entry {
	e := mcpauthrevocation.Session(id)
	e.At, e.EventID = time.Now().UTC(), "evt_"+id
	return e
}

func newStore(t testing.TB) (store *mcpauthrevocationfile.Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "revoked.log")
	store, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return store, path
}

// read returns the ids of all entries from a position on.
func read(t testing.TB, store *mcpauthrevocationfile.Store, from mcpauthrevocation.Position) (ids []string, position mcpauthrevocation.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := store.Follow(ctx, from, func(b mcpauthrevocation.Batch) {
		for _, e := range b.Entries {
			ids = append(ids, e.ID)
		}
		position = b.Position
		if b.CaughtUp {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return ids, position
}

// TestR103KilledProcesses has processes killed with -9 while they append: all that they acknowledged is there, in order.
func TestR103KilledProcesses(t *testing.T) {
	t.Parallel()
	store, path := newStore(t)
	var acknowledged []string
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), "MCPAUTH_TEST_APPEND_TO="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			lines := bufio.NewScanner(out)
			n := 0
			for lines.Scan() {
				if n++; n == 20 {
					_ = child.Process.Kill() // what it printed meanwhile counts, too
				}
				mu.Lock()
				acknowledged = append(acknowledged, lines.Text())
				mu.Unlock()
			}
			_ = child.Wait() // it was killed
		})
	}
	wait.Wait()
	if len(acknowledged) < 60 {
		t.Fatalf("only %d were acknowledged: %q", len(acknowledged), acknowledged)
	}
	ids, _ := read(t, store, "")
	place := make(map[string]int)
	for i, id := range ids {
		place[id] = i
	}
	last := make(map[string]int) // by process
	for _, id := range acknowledged {
		i, found := place[id]
		process := id[:strings.LastIndex(id, "_")]
		if !found || i < last[process] {
			t.Errorf("%s is missing or out of order", id)
		}
		last[process] = i
	}
}

// TestR103TornLine has a file that ends within a line: what was acknowledged before and after is there.
func TestR103TornLine(t *testing.T) {
	t.Parallel()
	for _, torn := range []string{"[", `[{"kind":"session","id":"ses_x","at":"2026-01-01T00:00:00Z"}]`, "\x00\x00\x00", "\n\n"} {
		store, path := newStore(t)
		appendTo := func(id string) {
			if err := store.Append(t.Context(), []mcpauthrevocation.Entry{entry(id)}); err != nil {
				t.Fatal(err)
			}
		}
		appendTo("ses_1")
		_, position := read(t, store, "")
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(file, torn)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		read(t, store, "") // catches up all the same
		appendTo("ses_2")
		for from, want := range map[mcpauthrevocation.Position]string{"": "ses_1 ses_2", position: "ses_2"} {
			ids, _ := read(t, store, from)
			if got := strings.Join(ids, " "); strings.ReplaceAll(got, "ses_x ", "") != want {
				t.Errorf("%q, from %q: %q, want %q", torn, from, got, want)
			}
		}
	}
}

// TestR103TornHead has a file that ends within its first line.
func TestR103TornHead(t *testing.T) {
	t.Parallel()
	for _, torn := range []string{"", "{", `{"mcpauth_revocation_log":"`, `{"mcpauth_revocation_log":"ABC`, `{"mcpauth_revocation_log":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`} {
		store, path := newStore(t)
		if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := store.Append(t.Context(), []mcpauthrevocation.Entry{entry("ses_1")}); err != nil {
			t.Fatal(err)
		}
		if ids, _ := read(t, store, ""); strings.Join(ids, " ") != "ses_1" {
			t.Errorf("%q: %q", torn, ids)
		}
	}
}

// TestR103LostFile has a file that was removed, replaced or cut while it was followed, or between.
func TestR103LostFile(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 60) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		for _, during := range []bool{true, false} {
			store, path := newStore(t)
			if err := store.Append(t.Context(), []mcpauthrevocation.Entry{entry("ses_1")}); err != nil {
				t.Fatal(err)
			}
			_, position := read(t, store, "")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var once sync.Once
			mustLose := func() {
				if err := lose(path); err != nil {
					t.Error(err)
				}
			}
			if !during {
				once.Do(mustLose)
			}
			err := store.Follow(ctx, position, func(mcpauthrevocation.Batch) { once.Do(mustLose) })
			if !errors.Is(err, mcpauthrevocation.ErrPastLost) {
				t.Errorf("%s, during %t: %v", name, during, err)
			}
		}
	}
}

// TestErrors has places where no log can be.
func TestErrors(t *testing.T) {
	t.Parallel()
	if _, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{}); err == nil || !strings.Contains(err.Error(), "Path") {
		t.Errorf("no path: %v", err)
	}
	paths := []string{filepath.Join(t.TempDir(), "none", "log"), t.TempDir()}
	others := []string{"my shopping list\n", "{}\n", "\n", "x", strings.Repeat("x", 1000), `{"mcpauth_revocation_log":""}` + "\n", `{"log":1}` + "\nmore\n", `{"mcpauth_revocation_log":"` + strings.Repeat("x", 1000)}
	for i, text := range others {
		path := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		t.Cleanup(func() {
			if now, err := os.ReadFile(path); err != nil || string(now) != text {
				t.Errorf("%q (number %d) became %q: %v", text, i+1, now, err)
			}
		})
	}
	for _, path := range paths {
		store, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Append(t.Context(), []mcpauthrevocation.Entry{entry("ses_1")}); err == nil {
			t.Errorf("%s takes entries", path)
		}
		if err := store.Ready(t.Context()); err == nil {
			t.Errorf("%s is ready", path)
		}
		if err := store.Follow(t.Context(), "", func(mcpauthrevocation.Batch) {}); err == nil {
			t.Errorf("%s is followed", path)
		}
	}
}

// TestR103ManyAtOnce has more entries in one Append than fit into what a reader takes at once.
func TestR103ManyAtOnce(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	many := make([]mcpauthrevocation.Entry, 0, 40_000) // some 5 MB
	for i := range cap(many) {
		many = append(many, entry(fmt.Sprintf("usr_%018d", i)))
	}
	if err := store.Append(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	ids, _ := read(t, store, "")
	for i := range many {
		if len(ids) != len(many) || ids[i] != many[i].ID {
			t.Fatalf("%d entries came back, and not the same in order", len(ids))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	batches := 0
	if err := store.Follow(ctx, "", func(mcpauthrevocation.Batch) { batches++; cancel() }); !errors.Is(err, context.Canceled) || batches != 1 {
		t.Errorf("cancelled in the first batch, and %d came: %v", batches, err)
	}
}

// TestR103PartOfALine has a line with an entry that can't be read: its neighbours count.
func TestR103PartOfALine(t *testing.T) {
	t.Parallel()
	store, path := newStore(t)
	if err := store.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const at = `"at":"2026-01-01T00:00:00Z"}`
	_, err = io.WriteString(file, `[{"kind":"session","id":"ses_1",`+at+`,{"kind":"session","id":2,`+at+`,{"kind":"session","id":"ses_3",`+at+"]\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if ids, _ := read(t, store, ""); strings.Join(ids, " ") != "ses_1 ses_3" {
		t.Errorf("%q", ids)
	}
}

// TestR103RefilledFile has a file that is emptied in place, and has grown beyond the position before that is looked at.
func TestR103RefilledFile(t *testing.T) {
	t.Parallel()
	store, path := newStore(t)
	appendTo := func(id string) {
		if err := store.Append(t.Context(), []mcpauthrevocation.Entry{entry(id)}); err != nil {
			t.Error(err)
		}
	}
	appendTo("ses_1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var once sync.Once
	err := store.Follow(ctx, "", func(mcpauthrevocation.Batch) {
		once.Do(func() {
			if err := os.Truncate(path, 0); err != nil {
				t.Error(err)
			}
			for i := range 5 {
				appendTo(fmt.Sprintf("ses_later_%d", i))
			}
		})
	})
	if !errors.Is(err, mcpauthrevocation.ErrPastLost) {
		t.Errorf("%v", err)
	}
}
