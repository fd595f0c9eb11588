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
	// reverseDomain matches a private-use scheme as RFC 8252 §7.1 requires it: the domain name of the app's maker, reversed.
	reverseDomain = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)

	// appSchemes are schemes without a dot that MCP clients are known to use.
	appSchemes = []string{
		"claude", "cursor", "cursor-dev", "goose", "kiro", "raycast", "trae", "vscode", "vscode-insiders", "vscodium", "warp",
		"windsurf", "windsurf-next", "zed",
	}
)

// checkRedirectURI allows https, http on loopback, and the private-use schemes of native apps (RFC 8252 §7). It lists what
// is allowed, because a list of schemes that browsers treat in a dangerous way (view-source:, blob:, intent:, ms-settings:)
// would never be complete.
func checkRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case len(uri) > maxURLBytes:
		return errors.New("is too long")
	case err != nil || !u.IsAbs():
		return errors.New("is not an absolute URL")
	case !isPlain(uri):
		return errors.New("has characters that have to be percent-encoded in a URL")
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
			return errors.New("is http, which is allowed only on loopback; use https")
		}
		return nil
	case slices.Contains(appSchemes, u.Scheme), reverseDomain.MatchString(u.Scheme):
		return nil
	}
	return errors.New("has a scheme that is not allowed; use https, http on loopback, or a reverse domain name as in com.example.app:/callback")
}

// isPlain reports whether uri has only characters that every parser reads in the same way. A backslash, for example, ends
// the host in browsers but not in other parsers.
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

// allowsRedirect compares as RFC 9700 §2.1 requires: exactly, except for the port of a loopback address, which a native
// client only knows once it listens (RFC 8252 §7.3). A URI that could not be registered is never allowed.
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
