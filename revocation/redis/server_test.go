package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	s := &server{t: t, dir: t.TempDir(), port: port, args: args}
	t.Cleanup(s.kill)
	s.run()
	return s
}

var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func (s *server) run() {
	s.t.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no", "--port", s.port}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("redis-server does not listen: ", err)
		}
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
