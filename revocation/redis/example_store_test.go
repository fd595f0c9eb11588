package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// All replicas use the same server and key.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"}) // of a server with appendonly yes
	defer func() { _ = client.Close() }()
	store, err := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{Client: client})
	if err != nil {
		fmt.Println(err)
		return
	}
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store})
	fmt.Println(list != nil, err, store.Keeps())
	// Output: true <nil> 25h0m0s
}

// A list calls the methods of its store. They fail while there is no server.
func ExampleNew_unreachable() {
	redis.SetLogger(silent{})
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	store, _ := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{Client: client, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(store.Append(ctx, []mcpauthrevocation.Entry{mcpauthrevocation.Session("ses_1")}) != nil)
	fmt.Println(store.Ready(ctx) != nil)
	fmt.Println(store.Follow(ctx, "", func(mcpauthrevocation.Batch) {}) != nil)
	// Output:
	// true
	// true
	// true
}

// silent has go-redis not write to standard error.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
