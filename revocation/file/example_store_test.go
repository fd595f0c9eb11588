package mcpauthrevocationfile_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationfile "github.com/scalekit-mcp/mcpauth/revocation/file"
)

// What was revoked before a restart is in force after it.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "revoked")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for range 2 {
		store, err := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: filepath.Join(dir, "revoked.log")})
		if err != nil {
			fmt.Println(err)
			return
		}
		list, err := mcpauthrevocation.New(mcpauthrevocation.Config{Store: store, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		go list.Run(ctx) //nolint:errcheck // it ends with ctx
		for list.Ready(ctx) != nil {
			time.Sleep(time.Millisecond)
		}
		fmt.Println(list.Len())
		_ = list.Revoke(ctx, mcpauthrevocation.Session("ses_1"))
		cancel()
	}
	// Output:
	// 0
	// 1
}

// A list calls the methods of its store.
func ExampleNew_store() {
	dir, _ := os.MkdirTemp("", "revoked")
	defer func() { _ = os.RemoveAll(dir) }()
	store, _ := mcpauthrevocationfile.New(mcpauthrevocationfile.Config{Path: filepath.Join(dir, "revoked.log")})
	e := mcpauthrevocation.Session("ses_1")
	e.At = time.Now()
	fmt.Println(store.Append(context.Background(), []mcpauthrevocation.Entry{e}), store.Ready(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	_ = store.Follow(ctx, "", func(b mcpauthrevocation.Batch) { fmt.Println(b.Entries[0]); cancel() })
	// Output:
	// <nil> <nil>
	// session ses_1
}
