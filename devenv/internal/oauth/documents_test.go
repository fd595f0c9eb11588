package oauth

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheckDocumentURL(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"https://app.example/client.json":      true,
		"https://app.example/%7Ea/client.json": true,
		"http://127.0.0.1:5/client.json":       true,
		"http://[::1]:5/client.json":           true,
		"http://localhost/client.json?v=1":     true,
		"http://app.localhost/client.json":     true,

		"http://app.example/client.json":          false,
		"http://10.0.0.1/client.json":             false,
		"http://localhost.evil.example/c.json":    false,
		"https://app.example":                     false,
		"https://app.example/":                    false,
		"https:///client.json":                    false,
		"https://:443/client.json":                false,
		"https://u:p@app.example/client.json":     false,
		"https://u@app.example/client.json":       false,
		"https://@app.example/client.json":        false,
		"https://app.example/client.json#f":       false,
		"https://app.example/client.json#":        false,
		"https://app.example/a/../client.json":    false,
		"https://app.example/./client.json":       false,
		"https://app.example/a/..":                false,
		"https://app.example/%2e%2e/client":       false,
		"https://app.example/.%2E/client":         false,
		"https://app.example/a%2f..%2fclient":     false,
		"https://app.example\\@evil.example/c":    false,
		"https://app.example/a b":                 false,
		"https://app.example/\u00e4":              false,
		"https://app.example:99999/client.json":   false,
		"https://app.example:/client.json":        false,
		"HTTPS://app.example/client.json":         false,
		"ftp://127.0.0.1/client.json":             false,
		"file:///etc/passwd":                      false,
		"javascript://127.0.0.1/x":                false,
		"://":                                     false,
		"http://127.0.0.1:3002/keys":              false, // the environment itself
		"http://localhost:3002/keys":              false,
		"http://127.0.0.1:03002/keys":             false,
		"https://x/" + strings.Repeat("a", 1<<12): false,
	} {
		if err := checkDocumentURL(id, "3002"); (err == nil) != ok {
			t.Errorf("checkDocumentURL(%q) = %v", id, err)
		}
	}
}

// The owner of a name decides where it leads. Here an internet name leads to this machine, where a server listens.
func TestDocumentIsNotFetchedFromWhereANameMayNotLead(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	host.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	host.StartTLS()
	t.Cleanup(host.Close)
	_, port, err := net.SplitHostPort(host.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, leadsTo := range map[string]net.IP{
		"client.example":    net.IPv4(127, 0, 0, 1),
		"router.example":    net.IPv4(192, 168, 0, 1),
		"cloud.example":     net.IPv4(169, 254, 169, 254),
		"wildcard.example":  net.IPv4(0, 0, 0, 0),
		"localhost.example": net.IPv4(127, 0, 0, 1),
	} {
		d := newDocuments("http://127.0.0.1:3002", false, slog.New(slog.DiscardHandler))
		d.dialer.Resolver = resolver(t, leadsTo)
		_, err := d.fetch(t.Context(), "https://"+name+":"+port+"/client.json")
		if err == nil || !strings.Contains(err.Error(), "leads to "+leadsTo.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reached.Load() {
		t.Error("the server was reached")
	}
}

// resolver answers every question with one IPv4 address (RFC 1035 §4.1).
func resolver(t *testing.T, ip net.IP) *net.Resolver {
	t.Helper()
	server, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			question := 12 + strings.IndexByte(string(query[12:n]), 0) + 5 // header, name, type and class
			if question > n || question < 16 {
				continue
			}
			answer := append([]byte(nil), query[:question]...)
			answer[2], answer[3] = 0x84, 0                        // an authoritative response
			copy(answer[6:12], []byte{0, 0, 0, 0, 0, 0})          // no records yet
			if binary.BigEndian.Uint16(query[question-4:]) == 1 { // type A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				answer = append(answer, ip.To4()...)
			}
			_, _ = server.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// roundTripper answers without a network, for synctest.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDocumentsAreFetchedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetches := make(map[string]int)
		d := newDocuments("http://127.0.0.1:3002", false, slog.New(slog.DiscardHandler))
		d.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			fetches[r.URL.String()]++
			answer := httptest.NewRecorder()
			if strings.Contains(r.URL.Path, "missing") {
				answer.WriteHeader(http.StatusNotFound)
			}
			_, _ = answer.WriteString(`{"client_id":"` + r.URL.String() + `","redirect_uris":["https://app.example/cb"]}`)
			return answer.Result(), nil
		})
		fetch := func(id string) error {
			_, err := d.fetch(t.Context(), id)
			return err
		}
		const id, missing = "https://app.example/client.json", "https://app.example/missing.json"
		for range 3 {
			if err := fetch(id); err != nil {
				t.Fatal(err)
			}
			if fetch(missing) == nil {
				t.Fatal("fetched a missing document")
			}
		}
		if fetches[id] != 1 || fetches[missing] != 3 {
			t.Errorf("fetches = %v, want 1 of the document, 3 of the missing one", fetches)
		}
		for i := range maxDocuments - 2 {
			if err := fetch("https://app.example/" + strconv.Itoa(i)); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := fetch("https://app.example/x"); err == nil || !strings.Contains(err.Error(), "within a minute") || fetches["https://app.example/x"] != 0 {
			t.Errorf("one too many: %v", err)
		}
		if err := fetch(id); err != nil {
			t.Errorf("the one that is known, while there are too many: %v", err)
		}
		time.Sleep(documentMaxAge)
		if err := fetch(id); err != nil || fetches[id] != 2 || len(d.recent) != 1 {
			t.Errorf("a minute later: %v, %d fetches, %d kept", err, fetches[id], len(d.recent))
		}
	})
}

func TestDocumentThatNeverEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDocuments("http://127.0.0.1:3002", false, slog.New(slog.DiscardHandler))
		d.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		if _, err := d.fetch(t.Context(), "https://app.example/client.json"); err == nil || time.Since(start) != documentTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// The request that began a fetch may be canceled; the others still need the document.
func TestDocumentOutlivesTheFirstRequest(t *testing.T) {
	t.Parallel()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"client_id":"http://` + r.Host + r.URL.Path + `","redirect_uris":["https://app.example/cb"]}`))
	}))
	t.Cleanup(host.Close)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	d := newDocuments("http://127.0.0.1:3002", false, slog.New(slog.DiscardHandler))
	if _, err := d.fetch(gone, host.URL+"/client.json"); err != nil {
		t.Error(err)
	}
}
