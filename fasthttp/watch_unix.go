//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package mcpauthfasthttp

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// watch calls gone, on another goroutine, when the other end of conn closes it. Nothing is read from conn, so that what a
// client sends ahead of time stays there for the next request; but until stop has returned, no other code can read from it.
func watch(conn net.Conn, gone func()) (stop func()) {
	raw := rawConn(conn)
	if raw == nil || conn.SetReadDeadline(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The runtime asks again whenever something arrives, the end included.
		err := raw.Read(func(fd uintptr) bool { return disconnected(int(fd)) })
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			gone()
		}
	}()
	return func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // wakes the goroutine
		<-done
		_ = conn.SetReadDeadline(time.Time{}) // fasthttp sets its own before each request
	}
}

// closedByClient reports whether the other end of conn has closed it by now.
func closedByClient(conn net.Conn) (closed bool) {
	if raw := rawConn(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { closed = disconnected(int(fd)) })
	}
	return closed
}

// rawConn returns nil for a connection that has none.
func rawConn(conn net.Conn) syscall.RawConn {
	if sc, ok := innermost(conn).(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// disconnected reports whether the other end has closed the connection, also behind bytes that are still unread.
func disconnected(fd int) bool {
	var peek [1]byte
	n, _, err := syscall.Recvfrom(fd, peek[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return false
	case err != nil || n == 0:
		return true
	}
	// TCP_INFO of Linux and TCP_CONNECTION_INFO of macOS both start with a byte that is the connection's state.
	var option int
	var over []byte
	switch runtime.GOOS {
	case "linux":
		option, over = 11, []byte{7, 8, 9} // CLOSE, CLOSE_WAIT, LAST_ACK
	case "darwin":
		option, over = 0x106, []byte{0, 5, 8} // CLOSED, CLOSE_WAIT, LAST_ACK
	default:
		return false
	}
	info, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, option)
	if err != nil {
		return false
	}
	var bytes [4]byte
	binary.NativeEndian.PutUint32(bytes[:], uint32(info)) //nolint:gosec // a bit pattern
	return slices.Contains(over, bytes[0])
}
