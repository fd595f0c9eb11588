package mcpauthgosdk

import (
	"context"
	"testing"
	"unsafe"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestAttachMakesRoom checks, behind Attach, that the runtime does not move the stack of a call that uses callStack bytes.
func TestAttachMakesRoom(t *testing.T) {
	t.Parallel()
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	moved := make(chan bool, 1)
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "ping" {
				var here byte
				before := addressOf(&here)
				needMuch(1)
				moved <- before != addressOf(&here)
			}
			return next(ctx, method, req)
		}
	})
	Attach(server) // last, so that it runs first
	here, there := mcp.NewInMemoryTransports()
	connected, err := server.Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close() //nolint:errcheck // the end of the test
	client, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // likewise
	if err := client.Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if <-moved {
		t.Error("the stack was moved again")
	}
}

// TestMakeRoom checks that makeRoom makes the runtime move the stack of a new goroutine.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	moved := make(chan bool)
	go func() {
		var here byte
		before := addressOf(&here)
		makeRoom(false)
		moved <- before != addressOf(&here)
	}()
	if !<-moved {
		t.Error("the stack was not moved")
	}
}

// addressOf returns the current address of p on the stack.
//
//go:noinline
func addressOf(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) } // only compared, never dereferenced

//go:noinline
func needMuch(n int) byte {
	var frame [callStack - 1<<10]byte
	frame[n] = 1
	return frame[len(frame)-n]
}
