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
		ok          bool
		log         string
	}{
		{"127.0.0.1:3002", "", true, ""},
		{"[::1]:3002", "", true, ""},
		{"192.0.2.1:3002", "", false, ""},
		{"0.0.0.0:3002", "", false, ""},
		{"[::]:3002", "", false, ""},
		{"127.0.0.1:3002", "devenv", true, "set Addr"},
		{"192.0.2.1:3002", "devenv", true, "everyone who reaches it can sign in as any user"},
		{"[::]:3002", "localhost", true, "everyone who reaches it can sign in as any user"},
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
		if got := log.String(); !strings.Contains(got, tc.log) || (got == "") != (tc.log == "") {
			t.Errorf("%s with %q: log %q", tc.addr, tc.names, log.String())
		}
	}
}
