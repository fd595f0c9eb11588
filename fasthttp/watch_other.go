//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package mcpauthfasthttp

import "net"

// watch does nothing: here a disconnected client is noticed when writing to it fails.
func watch(net.Conn, func()) (stop func()) { return func() {} }

// closedByClient knows nothing.
func closedByClient(net.Conn) bool { return false }
