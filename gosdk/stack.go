package mcpauthgosdk

// callStack is how much stack a call finds free, in bytes.
const callStack = 8 << 10

// makeRoom sees to it. The go-sdk runs every call in a goroutine of its own, whose stack is small at first. Each time it
// is full, the runtime copies it to one of twice the size, frame by frame, and what the go-sdk does for a call fills it
// again and again, far down. Here there are few frames yet, and one copy is enough: that saves about as much time as
// authentication takes.
//
//go:noinline
func makeRoom(use bool) {
	if !use { // always: the runtime goes by the size of the frame, and memory that is not used need not be cleared
		return
	}
	var room [callStack]byte
	fill(&room)
}

//go:noinline
func fill(room *[callStack]byte) { room[0]++ }
