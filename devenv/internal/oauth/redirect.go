package oauth

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

const maxURLBytes = 2048

var (
	// reverseDomain is a private-use scheme as RFC 8252 §7.1 wants it: a domain name of the app's maker, from the end.
	reverseDomain = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)

	// appSchemes are schemes without a dot that MCP clients are known to use.
	appSchemes = []string{
		"claude", "cursor", "cursor-dev", "goose", "kiro", "raycast", "trae", "vscode", "vscode-insiders", "vscodium", "warp",
		"windsurf", "windsurf-next", "zed",
	}
)

// checkRedirectURI allows https, http on loopback, and the private-use schemes of native apps (RFC 8252 §7). It is a
// list of what is allowed because what browsers do with other schemes (view-source:, blob:, intent:, ms-settings:) has no
// end.
func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case len(uri) > maxURLBytes:
		return errors.New("is too long")
	case err != nil || !u.IsAbs():
		return errors.New("is not an absolute URL")
	case !isPlain(uri):
		return errors.New("has characters that a URL has percent-encoded")
	case strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case u.User != nil:
		return errors.New("has a user name")
	case u.Opaque != "":
		return errors.New("has no slash after the scheme")
	case !hasValidPort(u):
		return errors.New("has a port that does not exist")
	}
	switch {
	case u.Scheme == "https":
		if u.Hostname() == "" {
			return errors.New("has no host")
		}
		return nil
	case u.Scheme == "http":
		if !netaddr.IsLoopback(u.Hostname()) {
			return errors.New("is http, but not on loopback")
		}
		return nil
	case slices.Contains(appSchemes, u.Scheme), reverseDomain.MatchString(u.Scheme):
		return nil
	}
	return errors.New("has a scheme that is not allowed: use https, http on loopback, or a reverse domain name as in com.example.app:/callback")
}

// isPlain reports whether uri has only characters that every parser reads in the same way. A backslash, for one, ends
// the host in browsers and nowhere else.
func isPlain(uri string) bool {
	return !strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\\\"<>^`{|}", r) })
}

func hasValidPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && strconv.FormatUint(port, 10) == u.Port()
}

// allowsRedirect compares as RFC 9700 §2.1 has it: exactly, but for the port of a loopback address, which a native
// client only knows once it listens (RFC 8252 §7.3). What could not be registered is never allowed.
func allowsRedirect(registered []string, asked string) bool {
	if checkRedirectURI(asked) != nil {
		return false
	}
	if slices.Contains(registered, asked) {
		return true
	}
	portless, ok := withoutLoopbackPort(asked)
	return ok && slices.ContainsFunc(registered, func(uri string) bool {
		have, ok := withoutLoopbackPort(uri)
		return ok && have == portless
	})
}

func withoutLoopbackPort(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || !netaddr.IsLoopback(u.Hostname()) || u.User != nil || strings.Contains(uri, "#") {
		return "", false
	}
	u.Host = u.Hostname()
	return u.String(), true
}
