package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// redisStore returns a store in a redis-server of its own, which keeps its files in directory, and the function that ends it.
// The store is nil where there is no redis-server.
func redisStore(directory string) (store mcpauthrevocation.Store, end func(), err error) {
	program, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, func() {}, nil
	}
	if err == nil {
		err = os.Mkdir(directory, 0o700)
	}
	if err != nil {
		return nil, nil, err
	}
	socket := filepath.Join(directory, "socket")
	server := exec.CommandContext(context.Background(), program, "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "yes") //nolint:gosec // as found
	server.Stdout = io.Discard
	if err := server.Start(); err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	end = func() {
		_ = client.Close()
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
	}
	quiet := slog.New(slog.DiscardHandler)
	inRedis, err := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{Client: client, Logger: quiet})
	for deadline := time.Now().Add(10 * time.Second); err == nil && inRedis.Ready(context.Background()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			err = errors.New("redis-server does not answer")
		}
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return inRedis, end, nil
}
