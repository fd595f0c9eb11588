package devenv

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// What the system made of Addr decides, whatever was asked for: no test may listen there, so the address is made up.
func TestListenerBeyondLoopback(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		addr, names string
		ok, warned  bool
	}{
		{"127.0.0.1:3002", "", true, false},
		{"[::1]:3002", "", true, false},
		{"192.0.2.1:3002", "", false, false},
		{"0.0.0.0:3002", "", false, false},
		{"[::]:3002", "", false, false},
		{"127.0.0.1:3002", "devenv", true, false},
		{"192.0.2.1:3002", "devenv", true, true},
		{"[::]:3002", "localhost", true, true},
	} {
		var log bytes.Buffer
		config := Config{DangerouslyAllowNetwork: strings.Fields(tc.names), Logger: slog.New(slog.NewTextHandler(&log, nil))}
		addr, err := net.ResolveTCPAddr("tcp", tc.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := config.checkListener(addr); (err == nil) != tc.ok || err != nil && !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s with %q: %v", tc.addr, tc.names, err)
		}
		if warned := strings.Contains(log.String(), "everyone who reaches it can sign in as any user"); warned != tc.warned {
			t.Errorf("%s with %q: log %q", tc.addr, tc.names, log.String())
		}
	}
}
