package keys

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	testEnvironment = "https://env.example"
	testMetadata    = "/.well-known/oauth-authorization-server/resources/res_1" // the first source; the others follow
	testAppended    = "/resources/res_1/.well-known/oauth-authorization-server"
	testOpenID      = "/.well-known/openid-configuration"
)

// A site is an environment behind an http.RoundTripper of its own, without sockets, so that synctest's clock moves. Each
// path is answered by a function of the request; a path without one is 404.
type site struct {
	mu      sync.Mutex
	answers map[string]func(*http.Request) (int, string)
	delays  map[string]time.Duration // of paths; "" is that of all others
	asked   []askedFor
	open    int // requests without an answer yet
}

type askedFor struct {
	path string
	at   time.Time
}

func text(document string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return http.StatusOK, document }
}

func metadataFor(path string) func(*http.Request) (int, string) {
	return text(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, testEnvironment, testEnvironment+path))
}

// keySetOf returns a key set with those ids, all of which have the same key.
func keySetOf(kids ...string) func(*http.Request) (int, string) {
	var keys []any
	for _, kid := range kids {
		keys = append(keys, map[string]any{
			"kty": "RSA", "kid": kid, "n": base64.RawURLEncoding.EncodeToString(publicKeys["a"].N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(publicKeys["a"].E)).Bytes()),
		})
	}
	document, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return text(string(document))
}

func newSite(delay time.Duration) *site {
	return &site{
		answers: map[string]func(*http.Request) (int, string){testMetadata: metadataFor("/keys"), "/keys": keySetOf("a")},
		delays:  map[string]time.Duration{"": delay},
	}
}

func (s *site) set(path string, delay time.Duration, answer func(*http.Request) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path], s.delays[path] = answer, delay
}

func (s *site) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, askedFor{req.URL.Path, time.Now()})
	answer := s.answers[req.URL.Path]
	delay, ok := s.delays[req.URL.Path]
	if !ok {
		delay = s.delays[""]
	}
	s.open++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	status, document := http.StatusNotFound, ""
	if answer != nil {
		status, document = answer(req)
	}
	return &http.Response{
		StatusCode: status, Request: req, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(document)),
	}, nil
}

// take returns the paths that were asked for since the last call, in order.
func (s *site) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for _, a := range s.asked {
		paths = append(paths, map[string]string{testMetadata: "1", testAppended: "2", testOpenID: "3"}[a.path])
		if last := &paths[len(paths)-1]; *last == "" {
			*last = a.path
		}
	}
	s.asked = nil
	return strings.Join(paths, " ")
}

func (s *site) keySet() *Set {
	return New(Source{
		EnvironmentURL: testEnvironment, ResourceID: "res_1", Issuers: []string{testEnvironment},
		Client: &http.Client{Transport: s}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Quote: strconv.Quote,
	})
}

// within looks a kid up, and checks the result, how long that took, and what was asked for.
func (s *site) within(t *testing.T, ks *Set, kid, want string, took time.Duration, asked string) {
	t.Helper()
	began := time.Now()
	expect(t, ks, kid, want)
	if got := time.Since(began); got != took {
		t.Errorf("%s: %v, want %v", kid, got, took)
	}
	synctest.Wait()
	if got := s.take(); got != asked {
		t.Errorf("%s: asked for %q, want %q", kid, got, asked)
	}
}
