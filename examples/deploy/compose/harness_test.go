// Package compose_test runs compose.yaml without Docker: the programs that its Dockerfile builds are processes on loopback, each
// with an address of its own, so that the ports and the URLs stay those of the file. What a container network adds is the names
// of the containers: the server finds them by a proxy, as it finds nothing else by it.
package compose_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const (
	root   = "../../.." // of the repository
	public = "http://localhost:3001/mcp"
)

// A file is what compose.yaml says. Nothing else may be in it, because this test would not follow it.
type file struct {
	Services map[string]*service `yaml:"services"`
}

type service struct {
	Build struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
}

func read(t *testing.T) file {
	t.Helper()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f file
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// replace changes one argument of a command.
func (s *service) replace(t *testing.T, old, replacement string) {
	t.Helper()
	i := slices.Index(s.Command, old)
	if i < 0 {
		t.Fatalf("%v has no %s", s.Command, old)
	}
	s.Command = slices.Replace(s.Command, i, i+1, strings.Fields(replacement)...)
}

var build = regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*)$`)

var built string // where the programs are, or "" when none were needed

// programs builds them as the Dockerfile does, once for all tests.
var programs = sync.OnceValues(func() (dir string, err error) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return "", err
	}
	match := build.FindStringSubmatch(string(text))
	if match == nil || !strings.Contains(match[1], " -o /out/ ") || !bytes.Contains(text, []byte("COPY --from=build /out/ /usr/local/bin/\n")) {
		return "", errors.New("the Dockerfile builds in another way than this test knows")
	}
	if dir, err = os.MkdirTemp("", "mcpauth-compose-"); err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("sh", "-c", strings.Replace(match[1], "/out/", dir+"/", 1))
	cmd.Dir = root
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOWORK=") })
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// A network is that of the containers, and the machine that they run on.
type network struct {
	addresses map[string]string // of the containers, by name
	published map[string]string // by the port of the machine, the address in a container
	hosts     []string          // names that lead to the machine, as localhost does

	mu    sync.Mutex
	asked map[string]bool // the hosts that the containers have asked for
	proxy *httptest.Server
}

func newNetwork(t *testing.T, f file, hosts ...string) *network {
	t.Helper()
	if testing.Short() {
		t.Skip("this test runs in the workspace only: alone, it would build the same programs again")
	}
	n := &network{addresses: make(map[string]string), published: make(map[string]string), hosts: append(hosts, "localhost"), asked: make(map[string]bool)}
	for name, s := range f.Services {
		n.addresses[name] = freeAddress(t)
		for _, port := range s.Ports {
			parts := strings.Split(port, ":")
			if len(parts) != 3 || parts[0] != "127.0.0.1" {
				t.Fatalf("%s is published to more than this machine: %s", name, port)
			}
			n.published[parts[1]] = net.JoinHostPort(n.addresses[name], parts[2])
		}
	}
	inside := &http.Transport{DialContext: n.dialInside, DisableKeepAlives: true}
	n.proxy = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: inside})
	t.Cleanup(n.proxy.Close)
	return n
}

// freeAddress returns an address of this machine that no other test uses: on Linux, all of 127.0.0.0/8 are.
func freeAddress(t *testing.T) string {
	t.Helper()
	address := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	if err != nil {
		t.Skipf("this system has no address %s on loopback: %v", address, err)
	}
	_ = listener.Close()
	return address
}

// dialInside is the network as a container sees it.
func (n *network) dialInside(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.asked[addr] = true
	n.mu.Unlock()
	address, ok := n.addresses[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(address, port))
}

// machine is the network as clients and browsers on the machine see it.
func (n *network) machine(t *testing.T) *http.Transport {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if slices.Contains(n.hosts, host) {
			inside, ok := n.published[port]
			if !ok {
				return nil, fmt.Errorf("%s: the port is not published", addr)
			}
			addr = inside
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// start runs the command of a container with the variables of the file and no others. The error is what the program says when it
// ends before it is ready.
func (n *network) start(t *testing.T, name string, s *service, ready string) error {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("0.0.0.0", n.addresses[name])
	var args []string
	for _, arg := range s.Command[1:] {
		args = append(args, here.Replace(arg))
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, s.Command[0]), args...)
	cmd.Env = []string{"HTTP_PROXY=" + n.proxy.URL}
	for variable, value := range s.Environment {
		cmd.Env = append(cmd.Env, variable+"="+here.Replace(value))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), ready) {
			continue
		}
		drained := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, stdout)
			close(drained)
		}()
		t.Cleanup(func() { // t.Context is done
			<-drained
			err := cmd.Wait()
			if cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("%s: %v", name, err)
			}
			if t.Failed() {
				t.Logf("%s says:\n%s", name, &stderr)
			}
		})
		return nil
	}
	_ = cmd.Wait()
	return errors.New(stderr.String())
}

func (n *network) up(t *testing.T, f file) {
	t.Helper()
	if err := errors.Join(n.start(t, "devenv", f.Services["devenv"], "export BASE_URL"), n.start(t, "server", f.Services["server"], "MCP server: "+public)); err != nil {
		t.Fatal(err)
	}
}
