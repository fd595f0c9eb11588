package deploy_test

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// authorized adds a token to each request, and ends it with until: the go-sdk's client itself waits for its stream without end.
type authorized struct {
	next  http.RoundTripper
	token string
	until context.Context //nolint:containedctx // a test's
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(a.until, cancel)
	req = req.Clone(ctx)
	req.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(req)
}

// connect opens an MCP session with the go-sdk's client. Each event of progress is confirmed to the tool.
func connect(ctx context.Context, site *site) (*mcp.ClientSession, error) {
	options := &mcp.ClientOptions{ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
		site.backends[0].seen <- struct{}{}
	}}
	return mcp.NewClient(&mcp.Implementation{Name: "deploy", Version: "1"}, options).Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: site.url, HTTPClient: &http.Client{Transport: authorized{site.client.Transport, token(site), ctx}},
	}, nil)
}

// A tool waits until the go-sdk's client has seen its progress.
func TestProgress(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		session, err := connect(ctx, open(t, p, setup{}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		call := &mcp.CallToolParams{Name: "steps"}
		call.SetProgressToken("progress")
		if result, err := session.CallTool(ctx, call); err != nil || result.IsError {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// steps reads a stream on which each event is sent when the one before was seen, for at most as long as given. It returns
// how many were seen.
func steps(t *testing.T, site *site, client *http.Client, atMost time.Duration) (seen int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	resp, err := probe(ctx, t, site, client, "steps")
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == "data: step" {
			seen++
			select {
			case site.backends[0].seen <- struct{}{}:
			case <-ctx.Done(): // it came so late that the handler waits no longer
				return seen
			}
		}
	}
	return seen
}

// probe sends a request to the probes of a backend.
func probe(ctx context.Context, t *testing.T, site *site, client *http.Client, probe string, headers ...string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, site.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(site))
	req.Header.Set("X-Probe", probe)
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	return client.Do(req)
}

func TestStreamsAreNotBuffered(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		for protocol, client := range site.clients() {
			if seen := steps(t, site, client, patience); seen != 3 {
				t.Errorf("%s: %d events were seen", protocol, seen)
			}
		}
	})
}

// quiet reads a stream, or an answer, before which the server is silent. It returns false when the end is missing.
func quiet(t *testing.T, site *site, kind string, silence time.Duration) bool {
	t.Helper()
	resp, err := probe(t.Context(), t, site, site.client, kind, "X-Quiet", silence.String())
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == "data: goodbye" {
			return true
		}
	}
	return false
}

// kinds are the two answers before which, or in which, a server may be silent.
var kinds = []string{"quiet", "quiet before the answer"}

// shortened are the timeouts of the configurations that are not about a silent server. With one second each, a stream goes on.
var shortened = map[*proxy][]edit{
	nginx: {{"    proxy_buffering off;", "    proxy_buffering off; proxy_send_timeout 1s; proxy_connect_timeout 1s; send_timeout 1s;\n" +
		"    client_body_timeout 1s; client_header_timeout 1s; keepalive_timeout 1s; resolver_timeout 1s; lingering_timeout 1s;"}},
	haproxy: {{"timeout connect 5s", "timeout connect 1s"}, {"timeout client 1m", "timeout client 1s"}, {"timeout http-request 10s", "timeout http-request 1s"}, {"timeout http-keep-alive 2m", "timeout http-keep-alive 1s"}},
	caddy:   {{"\tgrace_period 10s", "\tgrace_period 1s\n\tservers {\n\t\ttimeouts {\n\t\t\tread_header 1s\n\t\t\tidle 1s\n\t\t}\n\t}"}},
}

// Only the timeouts that the configurations raise cut a stream on which the server is silent.
func TestSilence(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{edits: shortened[p]})
		for _, kind := range kinds {
			if !quiet(t, site, kind, 3*time.Second) {
				t.Errorf("%s: it is cut", kind)
			}
		}
	})
}

// The defaults of nginx are 60 s, and what is in Debian's haproxy.cfg is 50 s.
func TestSilenceOfMoreThanAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 65 s")
	}
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		for _, kind := range kinds {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				if !quiet(t, site, kind, 65*time.Second) {
					t.Error("it is cut")
				}
			})
		}
	})
}

// leave starts a request and ends it from the client's side. It returns false when the handler does not notice.
func leave(t *testing.T, site *site, client *http.Client, kind string, atMost time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		resp, err := probe(ctx, t, site, client, kind)
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case <-site.backends[0].arrived:
	case <-time.After(patience):
		t.Fatal("the request does not arrive")
	}
	if kind == "leaves a stream" { // closing the body leaves it
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	select {
	case <-site.backends[0].left:
		return true
	case <-time.After(atMost):
		return false
	}
}

func TestClientLeaves(t *testing.T) {
	forEach(t, proxies, func(t *testing.T, p *proxy) {
		site := open(t, p, setup{})
		for protocol, client := range site.clients() {
			for _, kind := range []string{"leaves", "leaves a stream"} {
				if !leave(t, site, client, kind, patience) {
					t.Errorf("%s, %s: the handler does not notice", protocol, kind)
				}
			}
		}
	})
}
