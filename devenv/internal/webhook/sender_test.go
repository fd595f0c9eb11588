package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var waits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute}

// A receiver answers requests without a network, and notes when they came.
type receiver func(try int, r *http.Request) (*http.Response, error)

type attempts struct {
	mu   sync.Mutex
	at   []time.Duration // since the first
	ids  []string
	sigs []string
}

func status(code int) (*http.Response, error) {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// deliver sends one event to a receiver, and returns when it is finished.
func deliver(t *testing.T, receive receiver) (webhook.Delivery, *attempts) {
	t.Helper()
	noted, began := new(attempts), time.Now()
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		noted.mu.Lock()
		try := len(noted.at)
		noted.at = append(noted.at, time.Since(began))
		noted.ids, noted.sigs = append(noted.ids, r.Header.Get("webhook-id")), append(noted.sigs, r.Header.Get("webhook-signature"))
		noted.mu.Unlock()
		return receive(try, r)
	})}
	s := newSender(t, webhook.Config{URLs: []string{"http://user:pass@app.example/hook?key=k"}, Client: client, Waits: waits})
	s.Send(webhook.Event{ID: "evt_1", Type: "user.logout", OccurredAt: time.Now(), Data: map[string]any{}})
	for range 20 {
		synctest.Wait()
		if d := s.Deliveries(); d[0].Finished {
			return d[0], noted
		}
		time.Sleep(time.Minute) // of the bubble
	}
	t.Fatal("the delivery does not end")
	return webhook.Delivery{}, nil
}

func newSender(t *testing.T, config webhook.Config) *webhook.Sender {
	t.Helper()
	config.Secret, config.EnvironmentID, config.Logger = secret, "env_1", slog.New(slog.DiscardHandler)
	if config.Changed == nil {
		config.Changed = func() {}
	}
	s, err := webhook.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestTries(t *testing.T) {
	t.Parallel()
	never := func(_ int, r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for name, tc := range map[string]struct {
		receive   receiver
		at        []time.Duration
		status    int
		failure   string
		delivered bool
	}{
		"200":     {func(int, *http.Request) (*http.Response, error) { return status(200) }, []time.Duration{0}, 200, "", true},
		"204":     {func(int, *http.Request) (*http.Response, error) { return status(204) }, []time.Duration{0}, 204, "", true},
		"299":     {func(int, *http.Request) (*http.Response, error) { return status(299) }, []time.Duration{0}, 299, "", true},
		"400":     {func(int, *http.Request) (*http.Response, error) { return status(400) }, []time.Duration{0, 5 * time.Second, 35 * time.Second, 155 * time.Second}, 400, "", false},
		"302":     {func(int, *http.Request) (*http.Response, error) { return status(302) }, []time.Duration{0, 5 * time.Second, 35 * time.Second, 155 * time.Second}, 302, "", false},
		"refused": {func(int, *http.Request) (*http.Response, error) { return nil, errors.New("refused") }, []time.Duration{0, 5 * time.Second, 35 * time.Second, 155 * time.Second}, 0, "refused", false},
		"silent":  {never, []time.Duration{0, 15 * time.Second, 55 * time.Second, 185 * time.Second}, 0, "no answer within 10s", false},
		"503 once": {func(try int, _ *http.Request) (*http.Response, error) {
			return status([]int{503, 204}[try])
		}, []time.Duration{0, 5 * time.Second}, 204, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, noted := deliver(t, tc.receive)
				if d.Status != tc.status || d.Failure != tc.failure || d.Delivered != tc.delivered || d.Tries != len(tc.at) {
					t.Errorf("delivery = %+v", d)
				}
				if !reflect.DeepEqual(noted.at, tc.at) {
					t.Errorf("tries at %v, want %v", noted.at, tc.at)
				}
				for i, id := range noted.ids { // the same event, signed anew
					if id != "evt_1" || i > 0 && noted.sigs[i] == noted.sigs[0] {
						t.Errorf("try %d has the id %s and the signature %s", i, id, noted.sigs[i])
					}
				}
				if d.Target != "http://app.example/hook" {
					t.Errorf("target = %s, want it without user and query", d.Target)
				}
			})
		})
	}
}

// await waits for a value from another goroutine.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	const patience = 30 * time.Second // only a failing test waits that long
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %v", what, patience)
	}
	return value
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	bodies := make(chan []byte, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
		}
		bodies <- body
	}))
	t.Cleanup(server.Close)
	s := newSender(t, webhook.Config{URLs: []string{server.URL + "/1", server.URL + "/2"}, Client: server.Client()})
	at := time.Date(2026, 11, 26, 8, 0, 0, 123456789, time.FixedZone("", 3600))
	s.Send(webhook.Event{ID: "evt_1", Type: "a.b", OccurredAt: at, OrganizationID: "org_1", Object: "O", DisplayName: "N", Data: map[string]any{"id": 1}})
	first, second := await(t, "the first body", bodies), await(t, "the second body", bodies)
	if !bytes.Equal(first, second) {
		t.Errorf("two bodies: %s and %s", first, second)
	}
	var got map[string]any
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"spec_version": "1", "id": "evt_1", "type": "a.b", "occurred_at": "2026-11-26T07:00:00.123456789Z", "environment_id": "env_1",
		"organization_id": "org_1", "object": "O", "display_name": "N", "data": map[string]any{"id": 1.0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("envelope = %v", got)
	}
}

// A redirect is an answer that is not 2xx. Its target gets nothing.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	followed, finished := false, make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.Handle("/from", http.RedirectHandler("/to", http.StatusTemporaryRedirect))
	mux.HandleFunc("/to", func(http.ResponseWriter, *http.Request) { followed = true })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s := newSender(t, webhook.Config{
		URLs: []string{server.URL + "/from"}, Client: server.Client(),
		Changed: func() { finished <- struct{}{} },
	})
	s.Send(webhook.Event{ID: "evt_1"})
	await(t, "the delivery", finished)
	if d := s.Deliveries()[0]; d.Delivered || d.Status != http.StatusTemporaryRedirect || followed {
		t.Errorf("delivery = %+v, followed = %v", d, followed)
	}
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, webhook.Config{
			URLs: []string{"http://silent.example", "http://broken.example"}, Waits: waits,
			Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "broken.example" {
					return status(500)
				}
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			})},
		})
		s.Send(webhook.Event{ID: "evt_1"})
		synctest.Wait()
		began := time.Now()
		s.Close()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Close took %v", waited)
		}
		s.Send(webhook.Event{ID: "evt_2"})
		if n := len(s.Deliveries()); n != 2 {
			t.Errorf("%d deliveries, want those of the event before Close", n)
		}
	})
}

func TestFinishedDeliveriesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, webhook.Config{
			URLs:   []string{"http://app.example"},
			Client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return status(204) })},
		})
		for i := range 250 {
			s.Send(webhook.Event{ID: fmt.Sprintf("evt_%d", i)})
			synctest.Wait()
		}
		d := s.Deliveries()
		if len(d) != 100 || d[0].EventID != "evt_249" || d[99].EventID != "evt_150" {
			t.Errorf("%d deliveries, from %s to %s", len(d), d[0].EventID, d[len(d)-1].EventID)
		}
	})
}

// TestFailureIsShort has a receiver whose answer is not HTTP: little of it is in the delivery, and in the log.
func TestFailureIsShort(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, strings.Repeat("é", 100<<10)+"\r\n\r\n")
			_ = conn.Close()
		}
	}()
	changed := make(chan struct{}, 10)
	s := newSender(t, webhook.Config{
		URLs: []string{"http://" + listener.Addr().String()}, Client: new(http.Client), Changed: func() { changed <- struct{}{} },
	})
	s.Send(webhook.Event{ID: "evt_1", Type: "user.logout", OccurredAt: time.Now(), Data: map[string]any{}})
	await(t, "the delivery", changed)
	d := s.Deliveries()[0]
	if n := len([]rune(d.Failure)); !d.Finished || n < 20 || n > 210 || !strings.HasPrefix(d.Failure, "net/http: HTTP/1.x transport connection broken") {
		t.Errorf("a failure of %d characters: %.100s", n, d.Failure)
	}
}
