package mcpauth

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// abridge shortens what an administrator typed to what tells it from other settings, because it may be a secret in the
// wrong place. Of a web address scheme and host are shown, of all else a known prefix and four characters. Text with an @
// is not shown at all: it may hold a password, which may begin anywhere.
func abridge(s string) string {
	if strings.Contains(s, "@") {
		return redacted
	}
	for _, scheme := range [...]string{"https://", "http://"} {
		if host, ok := strings.CutPrefix(s, scheme); ok {
			return scheme + abridgeHost(host)
		}
	}
	shown := 0
	for _, prefix := range [...]string{"res_", "conn_", "skc_", "m2m_", "m2morg_", "usr_", "org_", "ses_", "tkn_", "snk_"} {
		if strings.HasPrefix(s, prefix) {
			shown = len(prefix)
		}
	}
	return s[:shown] + firstRunes(s[shown:])
}

// abridgeExcept is abridge, and redacts text that contains secret.
func abridgeExcept(secret Secret, s string) string {
	held := strings.ToLower(strings.TrimSpace(secret.Reveal()))
	if held != "" && strings.Contains(strings.ToLower(s), held) {
		return redacted
	}
	return abridge(s)
}

// abridgeHost shortens what a URL has behind its scheme to the host and the character that ends it.
func abridgeHost(s string) string {
	const longest = 253 // octets of a name (RFC 1035 §2.3.4)
	end := strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune(`/?#\`, r) || r <= ' ' || isControl(r) })
	host, rest := s, ""
	if end >= 0 {
		host, rest = s[:end], s[end:]
	}
	if len(host) > longest || len(host) > 20 && !strings.ContainsAny(host, ".:") { // which is hardly a host
		return firstRunes(host)
	}
	name, port := host, "" // with its colon
	if strings.HasPrefix(host, "[") {
		inside, behind, _ := strings.Cut(host[1:], "]")
		if addr, err := netip.ParseAddr(inside); err != nil || addr.Zone() != "" {
			return firstRunes(host)
		}
		name, port = "["+inside+"]", behind
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i:]
	}
	if strings.Trim(port, ":0123456789") != "" || len(port) > len(":65535") {
		return name + ":..."
	}
	if len(rest) > 1 {
		rest = rest[:1] + "..."
	}
	return host + rest
}

// firstRunes returns four characters of s, and dots for the rest.
func firstRunes(s string) string {
	end := 0
	for range 4 {
		_, size := utf8.DecodeRuneInString(s[end:])
		end += size
	}
	if end == len(s) {
		return s
	}
	return s[:end] + "..."
}

// quoteForError quotes what is left of s when it is abridged.
func quoteForError(s string) string { return strconv.Quote(abridge(s)) }
