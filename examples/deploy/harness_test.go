// Package deploy_test starts the configurations of this directory in the real proxies, and uses a protected MCP server
// through them. It rewrites only what a machine has once: ports, the paths of certificates, and the host's name where a
// client can't be told its address.
package deploy_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	publicName = "mcp.example.com" // of the host, in the configurations
	prefix     = "/team"           // that they strip
)

// A proxy is a program that stands in front of an MCP server.
type proxy struct {
	name           string
	file, replicas string // its configurations, for one server and for two with MCP sessions
	addServer      edit   // a second server, without stickiness
	command        func(dir, config string) []string
}

var (
	nginx = &proxy{
		"nginx", "nginx/mcp.conf", "nginx/replicas.conf",
		edit{"server 127.0.0.1:3001;", "server 127.0.0.1:3001;\n    server 127.0.0.1:3002;"},
		func(dir, config string) []string {
			return []string{"nginx", "-p", dir, "-e", "stderr", "-c", nginxMain(dir, config)}
		},
	}
	haproxy = &proxy{
		"haproxy", "haproxy/haproxy.cfg", "haproxy/replicas.cfg",
		edit{"server a 127.0.0.1:3001", "server a 127.0.0.1:3001\n    server b 127.0.0.1:3002"},
		func(_, config string) []string { return []string{"haproxy", "-db", "-f", config} },
	}
	caddy = &proxy{
		"caddy", "caddy/Caddyfile", "",
		edit{},
		func(_, config string) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", config}
		},
	}
	proxies = []*proxy{nginx, haproxy, caddy}
)

// forEach runs test for every proxy, in parallel, if the proxies are to be started at all.
func forEach(t *testing.T, proxies []*proxy, test func(t *testing.T, p *proxy)) {
	t.Helper()
	if os.Getenv("MCPAUTH_PROXIES") != "1" {
		t.Skip("to run it, call make proxies, or install nginx, haproxy and caddy and set MCPAUTH_PROXIES=1")
	}
	t.Parallel()
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// nginxMain writes the file that includes the configuration, as /etc/nginx/nginx.conf does.
func nginxMain(dir, config string) string {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // the worker has to reach dir
	}
	main := user + "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, of := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += of + "_temp_path " + of + ";\n"
	}
	path := filepath.Join(dir, "nginx.conf")
	_ = os.WriteFile(path, []byte(main+"include "+config+";\n}\n"), 0o600) // nginx says when it is not there
	return path
}

// An edit replaces text of a configuration.
type edit struct{ old, new string }

// setup says what stands behind a proxy, and how its configuration differs from the file.
type setup struct {
	host  string // publicName by default
	file  string // the proxy's own by default
	edits []edit
	start func(t *testing.T, base string) []*backend // one backend by default
}

// A site is a proxy with what stands behind it.
type site struct {
	origin, url string       // of the endpoint
	client      *http.Client // HTTP/2
	http1       *http.Client
	dir         string // with ca.pem
	backends    []*backend
	log         *log
}

// clients returns the clients, by what they speak.
func (s *site) clients() map[string]*http.Client {
	return map[string]*http.Client{"HTTP/2": s.client, "HTTP/1.1": s.http1}
}

// open starts a proxy and its backends, until the end of the test.
func open(t *testing.T, p *proxy, s setup) *site {
	t.Helper()
	for range 5 {
		if opened := s.try(t, p); opened != nil {
			return opened
		}
	}
	t.Fatal("no free port")
	return nil
}

// try returns nil when another program took the port.
func (s setup) try(t *testing.T, p *proxy) *site {
	t.Helper()
	certificates, err := issue()
	if err != nil {
		t.Fatal(err)
	}
	dir, port, host := t.TempDir(), freePort(t), cmp.Or(s.host, publicName)
	certificates.write(t, dir)
	opened := &site{origin: "https://" + host, dir: dir, log: new(log)}
	if host != publicName {
		opened.origin += ":" + port
	}
	base := opened.origin + prefix
	opened.url = base + "/mcp"
	start := s.start
	if start == nil {
		start = func(t *testing.T, base string) []*backend { return []*backend{newBackend(t, base, "a", false)} }
	}
	opened.backends = start(t, base)
	config := filepath.Join(dir, filepath.Base(cmp.Or(s.file, p.file)))
	if err := os.WriteFile(config, []byte(s.rewrite(t, p, dir, host, port, opened.backends)), 0o600); err != nil {
		t.Fatal(err)
	}
	opened.client, opened.http1 = newClient(certificates, port, true), newClient(certificates, port, false)
	t.Cleanup(opened.client.CloseIdleConnections)
	t.Cleanup(opened.http1.CloseIdleConnections)
	if !run(t, p.command(dir, config), dir, port, opened.log) {
		return nil
	}
	return opened
}

// rewrite returns the configuration with the edits, for the ports and files of this test.
func (s setup) rewrite(t *testing.T, p *proxy, dir, host, port string, backends []*backend) string {
	t.Helper()
	text, err := os.ReadFile(cmp.Or(s.file, p.file))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, e := range s.edits {
		if !strings.Contains(config, e.old) {
			t.Fatalf("%s has no %q", cmp.Or(s.file, p.file), e.old)
		}
		config = strings.ReplaceAll(config, e.old, e.new)
	}
	rewritten := strings.NewReplacer(
		":3001", ":"+backends[0].port, ":3002", ":"+backends[len(backends)-1].port,
		"listen 443", "listen 127.0.0.1:"+port, "bind :443", "bind 127.0.0.1:"+port, // nginx, HAProxy
		"\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n", // Caddy
		"grace_period 10s", "grace_period 1s",
		"\n"+publicName+" {", "\nhttps://"+host+":"+port+" {",
		"/etc/ssl/certs/mcp.example.com.pem", dir+"/chain.pem", "/etc/ssl/private/mcp.example.com.key", dir+"/key.pem",
		"/etc/caddy/mcp.example.com.pem", dir+"/chain.pem", "/etc/caddy/mcp.example.com.key", dir+"/key.pem",
		"/etc/haproxy/mcp.example.com.pem", dir+"/both.pem",
		"server_name "+publicName, "server_name "+host,
	).Replace(config)
	if strings.Contains(regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(rewritten, ""), "/etc/") {
		t.Fatalf("a path was not rewritten:\n%s", rewritten)
	}
	return rewritten
}

// newClient returns a client that trusts the CA and finds the public name at the proxy.
func newClient(c *certificates, port string, http2 bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: c.pool},
		ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == publicName+":443" {
				address = "127.0.0.1:" + port
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	return &http.Client{Transport: transport}
}

// guard runs a program until its own stdin ends, and so not for longer than the test.
const guard = `exec 3<&0; "$@" <&- 3<&- & pid=$!; (cat <&3; kill $pid) >/dev/null 2>&1 & wait $pid`

// run starts a program and returns true when it listens, or false when it could not because of another program.
func run(t *testing.T, command []string, dir, port string, log *log) bool {
	t.Helper()
	program, err := exec.LookPath(command[0])
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/" + command[0])
	}
	if err != nil {
		t.Fatalf("%v; make proxies installs it", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", append([]string{"-c", guard, "sh", program}, command[1:]...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // a signal ends it
		close(ended)
	}()
	t.Cleanup(func() {
		_ = stdin.Close() // Wait may have closed it
		<-ended
		if t.Failed() {
			t.Logf("%s says:\n%s", command[0], log)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		select {
		case <-ended:
			if strings.Contains(strings.ToLower(log.String()), "address already in use") {
				return false
			}
			t.Fatalf("%s has ended:\n%s", command[0], log)
		case <-time.After(20 * time.Millisecond):
		}
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port); err == nil {
			_ = conn.Close()
			return true
		}
	}
	t.Fatalf("%s does not listen:\n%s", command[0], log)
	return false
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}

// log is what a program says.
type log struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}
