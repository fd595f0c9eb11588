package keys

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (s *site) document(resourceID, internal string, logger *slog.Logger) *Document {
	return NewDocument(Source{
		EnvironmentURL: testEnvironment, InternalURL: internal, ResourceID: resourceID, Issuers: []string{testEnvironment, testEnvironment + "/resources/res_1"},
		Client: &http.Client{Transport: s}, Now: time.Now, Logger: logger, Quote: strconv.Quote,
	})
}

// gets asks for the document, and checks what comes, and how long that took. want is "" for none.
func gets(t *testing.T, doc *Document, want string, took time.Duration) {
	t.Helper()
	began := time.Now()
	got, err := doc.Get(context.Background())
	if down := (*Unavailable)(nil); got != want || (err == nil) != (want != "") || err != nil && (!errors.As(err, &down) || down.RetryAfter <= 0) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if passed := time.Since(began); passed != took {
		t.Errorf("it took %v, want %v", passed, took)
	}
}

const (
	testDocument = `{"issuer":"https://env.example/resources/res_1","registration_endpoint":"https://env.example/register","x":1}`
	nextDocument = `{"issuer":"https://env.example"}`
)

// TestDocumentAges goes through a day of a document: it is fetched once, refreshed in the background, and outlives an outage.
func TestDocumentAges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &site{answers: map[string]func(*http.Request) (int, string){testMetadata: text(testDocument)}, delays: map[string]time.Duration{"": time.Second}}
		doc := s.document("res_1", "", slog.New(slog.NewTextHandler(&log, nil)))
		for range 50 {
			go gets(t, doc, testDocument, time.Second) // all share one fetch
		}
		time.Sleep(time.Second)
		synctest.Wait()
		gets(t, doc, testDocument, 0)
		if asked := s.take(); asked != "1" {
			t.Errorf("asked for %q", asked)
		}

		time.Sleep(refreshAge)
		s.answers[testMetadata] = text(nextDocument)
		gets(t, doc, testDocument, 0) // which is refreshed meanwhile
		time.Sleep(2 * time.Second)
		gets(t, doc, nextDocument, 0)
		time.Sleep(maxAge)
		s.answers[testMetadata] = text(testDocument)
		gets(t, doc, testDocument, time.Second) // too old for an answer at once
		if asked := s.take(); asked != "1 1" {
			t.Errorf("asked for %q", asked)
		}

		s.answers = nil // an outage, of which requests see nothing
		time.Sleep(maxAge)
		gets(t, doc, testDocument, 2*time.Second) // two sources, once
		gets(t, doc, testDocument, 0)
		time.Sleep(time.Minute)
		gets(t, doc, testDocument, 0)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "the document from before stays in use") || strings.Contains(log.String(), "get 503") {
			t.Errorf("%s", &log)
		}
		time.Sleep(staleAge)
		gets(t, doc, "", 2*time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "clients that ask for it get 503") {
			t.Errorf("%s", &log)
		}
		gets(t, doc, "", 0)
		s.answers = map[string]func(*http.Request) (int, string){testAppended: text(nextDocument)}
		time.Sleep(maxBackoff)
		gets(t, doc, nextDocument, 2*time.Second)
	})
}

// TestDocumentBackoff counts the fetches of an environment that is down: 50 requests a second for a minute cost some six.
func TestDocumentBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		doc := s.document("res_1", "", slog.New(slog.DiscardHandler))
		for range 50 * 60 {
			gets(t, doc, "", 0)
			time.Sleep(time.Second / 50)
		}
		if n := len(strings.Fields(s.take())); n != 2*5 { // after 0, 2, 6, 14, 30 s, two documents each
			t.Errorf("asked %d times", n)
		}
	})
}

// TestDocumentWaits has an environment that never answers: a request waits for 5 s, one that is given up for less, and none
// of them ends the fetch for the others.
func TestDocumentWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{delays: map[string]time.Duration{"": time.Hour}}
		doc := s.document("res_1", "", slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := doc.Get(ctx); err == nil {
			t.Error("no error")
		}
		gets(t, doc, "", waitTimeout)
		time.Sleep(fetchTimeout)
		synctest.Wait()
		if asked := s.take(); asked != "1 2" {
			t.Errorf("asked for %q", asked)
		}
	})
}

// TestDocumentIsChecked has documents that must not be handed on: the next source is asked.
func TestDocumentIsChecked(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		`{"issuer":"https://evil.example","registration_endpoint":"https://evil.example"}`, `{"issuer":"https://env.example/"}`, `{}`, `[]`, ``, `null`,
		`{"issuer":"https://env.example","issuer":"https://evil.example"}`, `{"ISSUER":"https://env.example"}`, `{"issuer":["https://env.example"]}`,
		testDocument + `x`, strings.Repeat(" ", maxDocumentBytes) + testDocument, `<html>`, "\ufeff" + testDocument,
	} {
		s := &site{answers: map[string]func(*http.Request) (int, string){
			testMetadata: text(document), testAppended: text(nextDocument), testOpenID: text(nextDocument),
		}}
		got, err := s.document("res_1", "", slog.New(slog.DiscardHandler)).Get(t.Context())
		if got != nextDocument || err != nil {
			t.Errorf("%.80q: got %.80q, %v", document, got, err)
		}
	}
}

// TestDocumentSources takes sources away. The document of OpenID Connect is not asked for about a resource.
func TestDocumentSources(t *testing.T) {
	t.Parallel()
	const bare = "/.well-known/oauth-authorization-server"
	for _, c := range []struct {
		resourceID string
		has        []string
		want       bool
		asked      string
	}{
		{"res_1", []string{testMetadata, testOpenID}, true, "1"},
		{"res_1", []string{testAppended}, true, "1 2"},
		{"res_1", []string{testOpenID, bare}, false, "1 2"},
		{"", []string{bare, testOpenID}, true, bare},
		{"", []string{testOpenID, testMetadata}, true, bare + " 3"},
	} {
		s := &site{answers: make(map[string]func(*http.Request) (int, string))}
		for _, path := range c.has {
			s.answers[path] = text(nextDocument)
		}
		_, err := s.document(c.resourceID, "", slog.New(slog.DiscardHandler)).Get(t.Context())
		if asked := s.take(); (err == nil) != c.want || asked != c.asked {
			t.Errorf("%q with %v: asked for %q, %v", c.resourceID, c.has, asked, err)
		}
	}
}

// TestDocumentFaults has an http.Client that panics, and one that ends its goroutine.
func TestDocumentFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*http.Request) (int, string){
		"panic":  func(*http.Request) (int, string) { panic("of the transport") },
		"goexit": func(*http.Request) (int, string) { runtime.Goexit(); return 0, "" },
	} {
		s := &site{answers: map[string]func(*http.Request) (int, string){testMetadata: fault}}
		if _, err := s.document("res_1", "", slog.New(slog.DiscardHandler)).Get(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDocumentClock sets the clock back by a year: the document is fetched again, and used meanwhile.
func TestDocumentClock(t *testing.T) {
	t.Parallel()
	s := &site{answers: map[string]func(*http.Request) (int, string){testMetadata: text(testDocument)}}
	doc := s.document("res_1", "", slog.New(slog.DiscardHandler))
	gets := func(want string) {
		t.Helper()
		if got, err := doc.Get(t.Context()); got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	gets(testDocument)
	doc.now = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
	s.answers[testMetadata] = text(nextDocument)
	gets(nextDocument)
}

// TestInternalAddress asks an internal address alone, for the document and for keys, although documents name the public one.
func TestInternalAddress(t *testing.T) {
	t.Parallel()
	const internal = "http://scalekit.internal:8080"
	hosts := make(map[string]bool)
	note := func(answer func(*http.Request) (int, string)) func(*http.Request) (int, string) {
		return func(r *http.Request) (int, string) {
			hosts[r.URL.Scheme+"://"+r.URL.Host] = true
			return answer(r)
		}
	}
	s := &site{answers: map[string]func(*http.Request) (int, string){
		testMetadata: note(metadataFor("/elsewhere?a=b%2Fc")), "/elsewhere": note(func(r *http.Request) (int, string) {
			if r.URL.RawQuery != "a=b%2Fc" {
				t.Errorf("%s", r.URL)
			}
			return keySetOf("a")(r)
		}),
	}}
	if _, err := s.document("res_1", internal, slog.New(slog.DiscardHandler)).Get(t.Context()); err != nil {
		t.Error(err)
	}
	set := New(Source{
		EnvironmentURL: testEnvironment, InternalURL: internal, ResourceID: "res_1", Issuers: []string{testEnvironment},
		Client: &http.Client{Transport: s}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Quote: strconv.Quote,
	})
	expect(t, set, "a", "a")
	if len(hosts) != 1 || !hosts[internal] {
		t.Errorf("asked %v", hosts)
	}
}
