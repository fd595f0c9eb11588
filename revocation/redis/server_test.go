package mcpauthrevocationredis_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server is a real redis-server on a free port, in a directory of its own.
type server struct {
	t    testing.TB
	dir  string
	port string
	args []string
	cmd  *exec.Cmd
}

// start starts a server that ends with the test, and waits for it.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("MCPAUTH_REDIS") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no redis-server: install it (apt-get install redis-server) to run this test")
	}
	s := &server{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(s.kill)
	for range 20 {
		s.port = freePort(t)
		if s.listens() {
			return s
		}
		s.kill() // another program took the port
	}
	t.Fatal("redis-server does not listen")
	return nil
}

// freePort returns a port that was free a moment ago. It is none of those that the system gives to connections, so that a
// server gets it again after it was killed.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20_000 + rand.IntN(10_000))
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func (s *server) run() {
	s.t.Helper()
	if !s.listens() {
		s.t.Fatal("redis-server does not listen")
	}
}

// listens starts the server, and reports whether it says that it listens. What answers at the port could be another one.
func (s *server) listens() bool {
	s.t.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no", "--port", s.port}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	said := make(chan bool, 2)
	go func() {
		listens := false
		for lines := bufio.NewScanner(out); lines.Scan(); { // up to its end, so that the server is never held up
			if !listens && strings.Contains(lines.Text(), "Ready to accept connections") {
				listens = true
				said <- true
			}
		}
		said <- false
	}()
	select {
	case listens := <-said:
		return listens
	case <-time.After(patience):
		return false
	}
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

// kill ends the server as kill -9 does.
func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
		s.cmd = nil
	}
}

// lose removes the server's files.
func (s *server) lose() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) client(change func(*redis.Options)) *redis.Client {
	options := &redis.Options{Addr: s.addr(), MaxRetries: -1}
	if change != nil {
		change(options)
	}
	client := redis.NewClient(options)
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// set changes a setting of the running server.
func (s *server) set(client *redis.Client, name, value string) {
	s.t.Helper()
	if err := client.ConfigSet(context.Background(), name, value).Err(); err != nil {
		s.t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
}
