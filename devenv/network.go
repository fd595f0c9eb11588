package devenv

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

// checkAddr refuses an address that is not loopback before anything listens there, unless the environment may be reached from a
// network.
func (c Config) checkAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port; give one like 127.0.0.1:3002", addr)
	}
	if len(c.DangerouslyAllowNetwork) == 0 && !netaddr.IsLoopback(host) {
		return fmt.Errorf("%q is not loopback, and anyone who reaches the environment can sign in as any user; use 127.0.0.1, ::1 or localhost, "+
			"or give the names for other containers in DangerouslyAllowNetwork (-dangerously-allow-network)", addr)
	}
	return nil
}

// checkNetwork refuses names that no Host header could have, and those that stand for more than one host.
func (c Config) checkNetwork() []error {
	var errs []error
	for i, name := range c.DangerouslyAllowNetwork {
		reason := hostMistake(name)
		if reason == "" && slices.Contains(c.DangerouslyAllowNetwork[:i], name) {
			reason = "was given before; give each name once"
		}
		if reason != "" {
			errs = append(errs, fmt.Errorf("devenv: DangerouslyAllowNetwork: %q (number %d) %s", name, i+1, reason))
		}
	}
	return errs
}

var (
	hostLabel = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	number    = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
)

const maxHostName = 253 // characters, RFC 1035 §2.3.4

// hostMistake says why host is neither an address nor a name as browsers write it into Host, or returns "".
func hostMistake(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		switch {
		case addr.IsUnspecified():
			return "stands for every address; listen there with Addr (-addr), and give the name by which others reach the environment, such as devenv"
		case addr.IsMulticast() || addr.Zone() != "" || addr.Is4In6() || addr.String() != host:
			return "is not an address as browsers write it; give the name by which others reach the environment, such as devenv"
		}
		return ""
	}
	labels := strings.Split(host, ".")
	switch {
	case host == "":
		return "is empty; give the name by which others reach the environment, such as devenv"
	case strings.Contains(host, "*"):
		return "is a pattern, and any website could have a name that it matches; give each name"
	case strings.ContainsAny(host, ":/@?#[]"):
		return "is more than a name; leave out scheme, port and path, as in devenv"
	case host != strings.ToLower(host):
		return "has capital letters, and browsers send none; write it in lower case"
	case len(host) > maxHostName || slices.ContainsFunc(labels, func(label string) bool { return !hostLabel.MatchString(label) }):
		return "is not the name of a host; give letters, digits, hyphens and dots in between, as in devenv, and international names with xn--"
	case number.MatchString(labels[len(labels)-1]):
		return "ends in a number, and browsers take it for an address; give a name such as devenv"
	}
	return ""
}

// onlyOwnHosts refuses requests for any host name but those on loopback and those of DangerouslyAllowNetwork. A website whose
// name was made to resolve to this address (DNS rebinding) would have the same origin as the sign-in page, and could click it.
func (e *Environment) onlyOwnHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if !netaddr.IsLoopback(host) && !slices.Contains(e.config.DangerouslyAllowNetwork, host) {
			e.config.Logger.DebugContext(r.Context(), "refused a request for another host name", "host", shorten(r.Host),
				"cure", "use localhost, or give the name of this environment in DangerouslyAllowNetwork (-dangerously-allow-network)")
			http.Error(w, "the local environment answers only to loopback names and to those of DangerouslyAllowNetwork "+
				"(-dangerously-allow-network); use localhost or 127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkListener refuses an address that is not loopback once more: the system may have resolved the name localhost to one.
func (c Config) checkListener(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	onLoopback := ok && tcp.IP.IsLoopback()
	switch named := len(c.DangerouslyAllowNetwork) > 0; {
	case !onLoopback && !named:
		return fmt.Errorf("devenv: Addr: %s is not loopback; use 127.0.0.1 or ::1", addr)
	case !onLoopback:
		c.Logger.Warn("the local environment listens beyond loopback; everyone who reaches it can sign in as any user", "addr", addr)
	case named:
		c.Logger.Info("the local environment has names for a network and listens on loopback alone; for other containers, set Addr (-addr), such as 0.0.0.0:3002", "addr", addr)
	}
	return nil
}
