package deploy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// short is how long a test waits for what does not come.
const short = 2 * time.Second

// A failure is what goes wrong when a line of a configuration is missing, or is another one. The comments of the
// configurations say it, too.
type failure struct {
	proxy *proxy
	name  string
	http1 bool // it needs a client that speaks HTTP/1.1, as that of the TypeScript SDK does
	edits []edit
	want  string // what is seen
	see   func(t *testing.T, site *site) string
}

func without(line string) []edit { return []edit{{line, ""}} }

// The one second in these lines stands for nginx's default of 60 s, and for the 50 s in Debian's haproxy.cfg.
var failures = []failure{
	{nginx, "buffering", true, without("proxy_buffering off;"), "0 events", events},
	{nginx, "buffering and HTTP/1.0", false, []edit{{"proxy_buffering off;", ""}, {"proxy_http_version 1.1;", ""}}, "0 events", events},
	{nginx, "request buffering", false, without("proxy_request_buffering off;"), "no answer", refusalOfAnOpenBody},
	{nginx, "header buffers", true, without("large_client_header_buffers 4 32k;"), "400", tokenOf(8 << 10)},
	{nginx, "header buffers of HTTP/2", false, without("large_client_header_buffers 4 32k;"), "no answer", tokenOf(12 << 10)},
	{nginx, "body size", false, without("client_max_body_size 5m;"), "413", largeBody},
	{nginx, "timeout", false, []edit{{"proxy_read_timeout 1h", "proxy_read_timeout 1s"}}, "cut", silence},
	{nginx, "timeout of a call", false, []edit{{"proxy_read_timeout 1h", "proxy_read_timeout 1s"}}, "504", silentCall},
	{nginx, "Host", false, without("proxy_set_header Host $host;"), "403", session},
	{nginx, "prefix", false, []edit{{"proxy_pass http://mcp/;", "proxy_pass http://mcp;"}}, "404", session},
	{nginx, "metadata", false, []edit{{"location /.well-known/", "location /unknown/.well-known/"}}, "404", metadata},
	{nginx, "HTTP/2", false, without(" http2"), "HTTP/1.1", protocol},

	{haproxy, "header buffers", true, without("tune.bufsize 32768"), "400", tokenOf(16 << 10)},
	{haproxy, "header buffers of HTTP/2", false, without("tune.bufsize 32768"), "no answer", tokenOf(16 << 10)},
	{haproxy, "timeout", false, []edit{{"timeout server 1h", "timeout server 1s"}}, "cut", silence},
	{haproxy, "timeout of a call", false, []edit{{"timeout server 1h", "timeout server 1s"}}, "504", silentCall},
	{haproxy, "a client that leaves", true, without("option abortonclose"), "not noticed", leaves("leaves")},
	{haproxy, "a client that leaves a stream", true, without("option abortonclose"), "not noticed", leaves("leaves a stream")},
	{haproxy, "compression", false, []edit{{"option abortonclose", "option abortonclose\n    compression algo gzip"}}, "late", inTime},
	{haproxy, "readiness", false, []edit{{"httpchk GET /healthz", "httpchk GET /unknown"}}, "503", session},
	{haproxy, "prefix", false, without(`http-request replace-path ^/team(/.*)$ \1`), "404", session},
	{haproxy, "metadata", false, without("use_backend mcp if { path_beg /.well-known/oauth-protected-resource/team/ }"), "503", metadata},
	{haproxy, "HTTP/2", false, without("alpn h2,http/1.1"), "HTTP/1.1", protocol},

	{caddy, "a client that leaves", false, []edit{{"header_up -Forwarded", "flush_interval -1"}}, "not noticed", leaves("leaves")},
	{caddy, "a client that leaves a stream", true, []edit{{"header_up -Forwarded", "flush_interval -1"}}, "not noticed", leaves("leaves a stream")},
	{caddy, "timeout", false, []edit{{"\tgrace_period 10s", "\tservers {\n\t\ttimeouts {\n\t\t\twrite 1s\n\t\t}\n\t}"}}, "cut", silence},
	{caddy, "prefix", false, []edit{{"handle_path ", "handle "}}, "404", session},
	{caddy, "metadata", false, []edit{{"handle /.well-known/", "handle /unknown/.well-known/"}}, "200, empty", metadata},
}

func TestWhatGoesWrongWithout(t *testing.T) {
	if os.Getenv("MCPAUTH_PROXIES") != "1" {
		t.Skip("to run it, call make proxies, or install nginx, haproxy and caddy and set MCPAUTH_PROXIES=1")
	}
	t.Parallel()
	for _, f := range failures {
		t.Run(f.proxy.name+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			if got := f.seen(t, nil); got == f.want {
				t.Errorf("with the line, too: %s", got)
			}
			if got := f.seen(t, f.edits); got != f.want {
				t.Errorf("without the line: %s, want %s", got, f.want)
			}
		})
	}
}

func (f failure) seen(t *testing.T, edits []edit) string {
	t.Helper()
	site := open(t, f.proxy, setup{edits: edits})
	if f.http1 {
		site.client = site.http1
	}
	return f.see(t, site)
}

func status(got answer) string { return got.Status[:3] }

func events(t *testing.T, site *site) string {
	return fmt.Sprint(steps(t, site, site.client, short), " events")
}

// inTime says whether all three events of a stream come, each of which waits until the one before was seen. On a machine that is
// busy, that may take some seconds.
func inTime(t *testing.T, site *site) string {
	if seen := steps(t, site, site.client, 5*short); seen < 3 {
		return "late"
	}
	return "in time"
}

func tokenOf(length int) func(t *testing.T, site *site) string {
	return func(t *testing.T, site *site) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+longToken(site.backends[0].env, length))
		resp, err := site.client.Do(req)
		if err != nil {
			return "no answer" // the connection is closed
		}
		_ = resp.Body.Close()
		return resp.Status[:3]
	}
}

func largeBody(t *testing.T, site *site) string {
	return status(ask(t, site.client, http.MethodPost, site.url, token(site), bytes.NewReader(make([]byte, 4<<20)), "X-Probe", "length"))
}

// refusalOfAnOpenBody waits for the answer to a request without a token whose body has not arrived yet.
func refusalOfAnOpenBody(t *testing.T, site *site) string {
	body, writer := io.Pipe()
	answered := make(chan string, 1)
	go func() { answered <- status(ask(t, site.client, http.MethodPost, site.url, "", body)) }()
	defer func() { _ = writer.Close() }()
	select {
	case got := <-answered:
		return got
	case <-time.After(short):
	}
	_ = writer.Close()
	<-answered
	return "no answer"
}

func silence(t *testing.T, site *site) string {
	if quiet(t, site, "quiet", short) {
		return "whole"
	}
	return "cut"
}

func silentCall(t *testing.T, site *site) string {
	return status(ask(t, site.client, http.MethodPost, site.url, token(site), nil, "X-Probe", "quiet before the answer", "X-Quiet", short.String()))
}

func session(t *testing.T, site *site) string {
	return status(ask(t, site.client, http.MethodPost, site.url, token(site), strings.NewReader(initialize)))
}

func metadata(t *testing.T, site *site) string {
	got := ask(t, site.client, http.MethodGet, site.origin+"/.well-known/oauth-protected-resource"+prefix+"/mcp", "", nil)
	if got.body == "" {
		return status(got) + ", empty"
	}
	return status(got)
}

func protocol(t *testing.T, site *site) string {
	return ask(t, site.client, http.MethodPost, site.url, "", nil).Proto
}

func leaves(probe string) func(t *testing.T, site *site) string {
	return func(t *testing.T, site *site) string {
		if leave(t, site, site.client, probe, short) {
			return "noticed"
		}
		return "not noticed"
	}
}
