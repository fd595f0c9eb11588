// Package webhook sends events as Scalekit does: signed (Standard Webhooks), and up to three times more when the receiver does
// not answer 2xx within 10 s.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	answerTime  = 10 * time.Second
	maxAnswer   = 64 << 10
	maxFailure  = 200 // characters of an error, which may quote what the receiver sent
	maxAtOnce   = 32  // for one URL
	maxFinished = 100
)

// Config says where events are sent. Nothing in it is checked but the secret.
type Config struct {
	URLs          []string        // each gets every event
	Secret        string          // whsec_ and base64
	EnvironmentID string          // of the events
	Waits         []time.Duration // before the second try and each one after it
	Client        *http.Client    // its redirects are not followed
	Changed       func()          // is called when a delivery began or changed
	Logger        *slog.Logger
}

// An Event is what happened. The sender adds the rest of the envelope.
type Event struct {
	ID             string // evt_...
	Type           string
	OccurredAt     time.Time
	OrganizationID string
	Object         string
	DisplayName    string
	Data           any
}

// A Delivery is the way of one event to one URL.
type Delivery struct {
	EventID, Type string
	Target        string // the URL without user, query and fragment, which may hold secrets
	Began         time.Time
	Tries         int
	Status        int    // of the last answer; 0 for none
	Failure       string // why there was no answer
	Delivered     bool   // 2xx
	Finished      bool   // delivered, or given up
}

// A Sender delivers events in the background.
type Sender struct {
	config Config
	key    []byte
	ctx    context.Context //nolint:containedctx // Close ends deliveries that began before
	cancel context.CancelFunc
	slots  map[string]chan struct{} // of each URL

	mu         sync.Mutex
	closed     bool
	running    sync.WaitGroup
	deliveries []*Delivery
}

// New returns a sender. It sends nothing yet.
func New(config Config) (*Sender, error) {
	key, err := Key(config.Secret)
	if err != nil {
		return nil, err
	}
	client := *config.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	config.Client = &client
	s := &Sender{config: config, key: key, slots: make(map[string]chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, target := range config.URLs {
		s.slots[target] = make(chan struct{}, maxAtOnce)
	}
	return s, nil
}

// Send delivers an event to every URL, and does not wait for that. After Close it does nothing.
func (s *Sender) Send(e Event) {
	body, err := json.Marshal(map[string]any{
		"spec_version":    "1",
		"id":              e.ID,
		"type":            e.Type,
		"occurred_at":     e.OccurredAt.UTC().Format(time.RFC3339Nano),
		"environment_id":  s.config.EnvironmentID,
		"organization_id": e.OrganizationID,
		"object":          e.Object,
		"data":            e.Data,
		"display_name":    e.DisplayName,
	})
	if err != nil { // a mistake in this program
		s.config.Logger.Warn("an event can't be written", "type", e.Type, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, target := range s.config.URLs {
		d := &Delivery{EventID: e.ID, Type: e.Type, Target: abridge(target), Began: time.Now()}
		s.deliveries = append(s.deliveries, d)
		s.running.Go(func() { s.deliver(d, target, body) })
	}
	s.forget()
}

// Deliveries returns the newest deliveries first: those under way, and the last hundred others.
func (s *Sender) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	deliveries := make([]Delivery, 0, len(s.deliveries))
	for _, d := range slices.Backward(s.deliveries) {
		deliveries = append(deliveries, *d)
	}
	return deliveries
}

// Close gives up what is under way, and leaves no connection open.
func (s *Sender) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	s.config.Client.CloseIdleConnections()
}

// deliver tries until the receiver takes the event, or the tries are used up.
func (s *Sender) deliver(d *Delivery, target string, body []byte) {
	slot := s.slots[target]
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-s.ctx.Done():
		return
	}
	for try := 0; ; try++ {
		status, err := s.post(target, d.EventID, body)
		if s.ctx.Err() != nil {
			return
		}
		delivered := err == nil && status >= 200 && status <= 299
		last := delivered || try == len(s.config.Waits)
		s.update(func() {
			d.Tries, d.Status, d.Failure, d.Delivered, d.Finished = try+1, status, "", delivered, last
			if err != nil {
				d.Failure = err.Error()
			}
		})
		switch {
		case delivered:
			return
		case last:
			s.config.Logger.Warn("a webhook was given up", "type", d.Type, "event_id", d.EventID, "url", d.Target,
				"tries", try+1, "status", status, "error", err, "cure", "see the receiver's log; the event is not sent again")
			return
		}
		wait := time.NewTimer(s.config.Waits[try])
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// post sends the event once. Each try has a time of its own in its signature, and the same id.
func (s *Sender) post(target, id string, body []byte) (status int, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, shortened(err)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "mcpauth-devenv")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", timestamp)
	req.Header.Set("webhook-signature", sign(s.key, id, timestamp, body))
	resp, err := s.config.Client.Do(req)
	if err != nil {
		return 0, shortened(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return 0, shortened(fmt.Errorf("the answer broke off: %w", err))
	}
	return resp.StatusCode, nil
}

func (s *Sender) update(change func()) {
	s.mu.Lock()
	change()
	s.forget()
	s.mu.Unlock()
	s.config.Changed()
}

// forget drops the oldest finished deliveries. Its caller holds the lock.
func (s *Sender) forget() {
	finished := 0
	for _, d := range s.deliveries {
		if d.Finished {
			finished++
		}
	}
	s.deliveries = slices.DeleteFunc(s.deliveries, func(d *Delivery) bool {
		if d.Finished && finished > maxFinished {
			finished--
			return true
		}
		return false
	})
}

// shortened returns an error of http.Client as it may be shown: without the URL, which may hold secrets, and without most of a
// long text.
func shortened(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", answerTime)
	}
	if text := []rune(err.Error()); len(text) > maxFailure {
		return errors.New(string(text[:maxFailure]) + "...")
	}
	return err
}

func abridge(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
