package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	maxWatchers  = 16
	pace         = 100 * time.Millisecond // between two updates of a page
	heartbeat    = 15 * time.Second
	writeTimeout = 10 * time.Second
)

// sections are the parts of the page that are sent again when they have changed: the names of templates, and ids in the page.
var sections = []string{"status", "sessions", "people", "keys", "clients", "requests", "webhooks", "faults"}

// watchers are the pages that are open.
type watchers struct {
	mu  sync.Mutex
	set map[chan struct{}]struct{}
}

// add returns a channel that gets something after each change, or nil when there are too many.
func (w *watchers) add() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.set) >= maxWatchers {
		return nil
	}
	if w.set == nil {
		w.set = make(map[chan struct{}]struct{})
	}
	changed := make(chan struct{}, 1)
	w.set[changed] = struct{}{}
	return changed
}

func (w *watchers) remove(changed chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.set, changed)
}

// wake does not wait: a page that is told already will read the newest state.
func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for changed := range w.set {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// serveEvents sends the sections of the page whenever they change, as server-sent events. A page that reads slowly misses what
// was there in between, and delays no other one.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	changed := p.watchers.add()
	if changed == nil {
		p.message(w, http.StatusServiceUnavailable, "The page is open too often.")
		return
	}
	defer p.watchers.remove(changed)
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	sent := make(map[string]string)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		_ = stream.SetWriteDeadline(time.Now().Add(writeTimeout)) // instead of the server's, which is for whole answers
		if err := p.sendSections(w, sent); err != nil {
			p.config.Logger.DebugContext(r.Context(), "an open page is no longer updated", "error", err)
			return
		}
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case <-time.After(pace):
		case <-r.Context().Done():
			return
		case <-p.config.Done:
			return
		}
		select {
		case <-changed:
		case <-beat.C:
		case <-r.Context().Done():
			return
		case <-p.config.Done:
			return
		}
	}
}

// A section is the data of an event: the HTML that replaces the content of the element with the id.
type section struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
}

// sendSections sends what differs from what was sent before.
func (p *Page) sendSections(w io.Writer, sent map[string]string) error {
	v := p.view(time.Time{})
	var events bytes.Buffer
	events.WriteString(": a line for proxies and for closed pages\n\n")
	for _, id := range sections {
		var html bytes.Buffer
		if err := p.template.ExecuteTemplate(&html, id, v); err != nil {
			return err
		}
		if html.String() == sent[id] {
			continue
		}
		sent[id] = html.String()
		data, err := json.Marshal(section{id, sent[id]})
		if err != nil {
			return err
		}
		fmt.Fprintf(&events, "event: section\ndata: %s\n\n", data)
	}
	_, err := w.Write(events.Bytes())
	return err
}
