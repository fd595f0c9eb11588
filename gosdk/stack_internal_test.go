package mcpauthgosdk

import (
	"testing"
	"unsafe"
)

// TestMakeRoom sees the runtime move the stack of a new goroutine once, in makeRoom, and not again for a call that needs
// what makeRoom promised.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	moved := make(chan [2]bool)
	go func() {
		var here byte
		start := addressOf(&here)
		makeRoom(false)
		roomy := addressOf(&here)
		needMuch(1)
		moved <- [2]bool{start != roomy, roomy != addressOf(&here)}
	}()
	if got := <-moved; got != [2]bool{true, false} {
		t.Errorf("the stack moved in makeRoom: %v, and after it: %v", got[0], got[1])
	}
}

// addressOf returns where the stack has p at the moment.
//
//go:noinline
func addressOf(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) } // to be compared, never followed

//go:noinline
func needMuch(n int) byte {
	var frame [callStack - 1<<10]byte
	frame[n] = 1
	return frame[len(frame)-n]
}
