package mcpauthgosdk

// callStack is how many bytes of free stack a call gets.
const callStack = 8 << 10

// makeRoom grows the goroutine's stack to callStack. The go-sdk runs every call in a goroutine of its own, whose stack is
// small at first. Whenever it is full, the runtime copies it, frame by frame, to one of twice the size, and the go-sdk's
// work for a call fills it several times, with many frames. Here there are few frames yet, and one copy is enough, which
// saves about as much time as authentication takes.
//
//go:noinline
func makeRoom(use bool) {
	if !use { // at every call: entering the function grows the stack, and returning here saves clearing room
		return
	}
	var room [callStack]byte
	fill(&room)
}

//go:noinline
func fill(room *[callStack]byte) { room[0]++ }
