package devenv_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// A stream is an open page as its script sees it.
type stream struct {
	lines *bufio.Scanner
	body  io.Closer
}

func eventsOf(t *testing.T, env *devenv.Environment) *stream {
	t.Helper()
	resp, err := browser.Do(request(t, http.MethodGet, env.URL()+"/devenv/events", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: %d %v", resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return &stream{lines, resp.Body}
}

// A section is a part of the page with its new content.
type section struct{ ID, HTML string }

// next returns the section that is sent next. A section is sent only when it has changed.
func (s *stream) next(t *testing.T) section {
	t.Helper()
	for s.lines.Scan() {
		data, ok := strings.CutPrefix(s.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var next section
		if err := json.Unmarshal([]byte(data), &next); err != nil {
			t.Fatal(err)
		}
		return next
	}
	t.Fatalf("the events end too early: %v", s.lines.Err())
	return section{}
}

// until returns the next content of a section, and skips the other ones.
func (s *stream) until(t *testing.T, id string) string {
	t.Helper()
	for {
		if next := s.next(t); next.ID == id {
			return next.HTML
		}
	}
}

// What an open page hears of, as it happens.
func TestPageIsLive(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	live := eventsOf(t, env)
	if first := live.until(t, "sessions"); !strings.Contains(first, "No person has signed in yet") {
		t.Errorf("sessions = %s", first)
	}
	c := register(t, env)
	tokens := c.tokens("usr_ada", nil)
	for !strings.Contains(live.until(t, "sessions"), "data-until") {
	}
	if err := env.EndSession(env.Sessions()[0].ID); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(live.until(t, "sessions"), "ended ") {
	}
	c.refresh(tokens["refresh_token"])
	for !strings.Contains(live.until(t, "requests"), "invalid_grant") {
	}
}

// An open page hears at once of what the environment is made to do wrong, and not with the next heartbeat, which comes after
// 15 s.
func TestPageIsToldOfFaults(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	live := eventsOf(t, env)
	live.until(t, "faults")
	contains := func(text string) func(string) bool {
		return func(html string) bool { return strings.Contains(html, text) }
	}
	for _, c := range []struct {
		name    string
		do      func()
		section string
		shows   func(html string) bool
	}{
		{"down", func() { env.SetDown(true) }, "status", contains("is down")},
		{"up", func() { env.SetDown(false) }, "status", func(html string) bool { return html == "" }},
		{"slow", func() { env.SetDelay(time.Millisecond) }, "status", contains("is slow")},
		{"a shorter life", func() {
			if err := env.SetTokenLife(7 * time.Second); err != nil {
				t.Error(err)
			}
		}, "faults", contains(`value="7s" aria-pressed="true"`)},
	} {
		began := time.Now()
		c.do()
		for !c.shows(live.until(t, c.section)) {
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: the page hears of it after %v", c.name, took)
		}
	}
}

// An open page ends with the environment. It is not cut off after the second that Close waits for open requests. On a busy
// machine that may happen once, but not each time.
func TestCloseEndsOpenPages(t *testing.T) {
	t.Parallel()
	for range 5 {
		if closeWithAnOpenPage(t) == nil {
			return
		}
	}
	t.Error("Close cuts an open page off")
}

// closeWithAnOpenPage closes an environment, and returns what the open page sees instead of an end.
func closeWithAnOpenPage(t *testing.T) error {
	t.Helper()
	env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	live := eventsOf(t, env)
	live.until(t, "faults")
	if err := env.Close(); err != nil {
		t.Error(err)
	}
	for live.lines.Scan() {
	}
	return live.lines.Err()
}

func TestOpenPagesAreLimited(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	var last *stream
	for range 16 {
		last = eventsOf(t, env)
		last.until(t, "faults")
	}
	if got := get(t, env.URL()+"/devenv/events"); got.status != http.StatusServiceUnavailable {
		t.Errorf("one page too many: %d", got.status)
	}
	if got := get(t, env.URL()+"/"); got.status != http.StatusOK {
		t.Errorf("the page itself: %d", got.status)
	}
	if err := last.body.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // until the environment has noticed that it is closed
		resp, err := browser.Do(request(t, http.MethodGet, env.URL()+"/devenv/events", nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a page that was closed still counts")
		}
	}
}
