// Package netaddr says where a host name or an address leads: to this machine, to the internet, or to neither.
package netaddr

import (
	"net/netip"
	"regexp"
	"slices"
)

// localhost matches the name localhost and all names below it, which never leave the machine (RFC 6761 §6.3).
var localhost = regexp.MustCompile(`(?i)^([a-z0-9_-]+\.)*localhost$`)

// IsLoopback reports whether host, without port and brackets, is certain to be this machine. It resolves nothing.
func IsLoopback(host string) bool {
	if localhost.MatchString(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// notPublic lists the blocks of the IANA special-purpose address registries that no method of netip.Addr covers. It includes
// blocks that embed IPv4 addresses: a gateway that is not ours decides where those lead.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers; also addresses of cloud metadata services
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("::/96"),           // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),  // local NAT64
	netip.MustParsePrefix("100::/64"),        // discard
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
	netip.MustParsePrefix("5f00::/16"),       // segment routing
	netip.MustParsePrefix("fec0::/10"),       // site-local
}

// IsPublic reports whether addr is a host on the internet: not this machine, not in a private network, and not in a reserved
// block.
func IsPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsGlobalUnicast() && addr.Zone() == "" && !addr.IsPrivate() &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}
