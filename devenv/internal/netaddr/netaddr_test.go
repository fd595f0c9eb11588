package netaddr_test

import (
	"net/netip"
	"testing"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "app.localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"::ffff:127.0.0.1": true,

		"": false, ".localhost": false, "a..localhost": false, "localhost.": false, "evillocalhost": false,
		"localhost.evil.example": false, "127.0.0.1.evil.example": false, "127.1": false, "2130706433": false,
		"0x7f.0.0.1": false, "0.0.0.0": false, "::": false, "[::1]": false, "::1%lo": false, "10.0.0.1": false, "a/.localhost": false,
	} {
		if got := netaddr.IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v", host, got)
		}
	}
}

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "172.15.0.1": true, "172.32.0.1": true, "::ffff:8.8.8.8": true, "2606:4700::1111": true,

		"0.0.0.0": false, "127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.0.1": false,
		"169.254.169.254": false, "100.100.100.200": false, "192.0.2.1": false, "198.18.0.1": false, "224.0.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "::": false, "::1": false, "fe80::1": false, "fc00::1": false,
		"fd00:ec2::254": false, "ff02::1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false, "fec0::1": false,
	} {
		if got := netaddr.IsPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsPublic(%s) = %v", addr, got)
		}
	}
	if netaddr.IsPublic(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}
