package mcpauth

import (
	"regexp"
	"strings"
)

// uriForms is the number of forms in which a resource's URI is compared with a pattern: as it is; decoded and folded; that
// with one slash for several, and none after a colon; and that without the slash at its end. What matches in one of them
// matches. The last form counts for scopes alone: in it files:///public/ is not listed by files:///public/{path}.
//
// A check of the text alone would be led around: to a server that hands the path to a file system, files:///%73ecret and,
// on some, files:///SECRET are files:///secret. Refusing such spellings was no way out, because the URI is the server's,
// and for a scheme of its own any of them may be the only one.
const (
	uriForms   = 4
	noEndSlash = uriForms - 1 // the index of the last form
	listForms  = 1<<noEndSlash - 1
)

func formsOf(uri string) [uriForms]string {
	folded := fold(percentDecode(uri))
	slashed := oneSlash(folded)
	return [uriForms]string{uri, folded, slashed, strings.TrimSuffix(slashed, "/")}
}

// oneSlash makes one slash of several in a row, whatever their direction, and none of those after a colon: where a server
// joins what comes after the scheme to a directory, docs:secret, docs:/secret and docs://secret are one.
func oneSlash(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if c == '\\' {
			c = '/'
		}
		if c != '/' || len(b) == 0 || b[len(b)-1] != '/' && b[len(b)-1] != ':' {
			b = append(b, c)
		}
	}
	return string(b)
}

// withoutQuery returns a URI up to its query or fragment, which a server may ignore.
func withoutQuery(uri string) string {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		return uri[:i]
	}
	return uri
}

// fold makes one of what differs in case, and drops what parsers of URLs in browsers drop.
func fold(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	s = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, s)
	return strings.ToLower(strings.ToUpper(s)) // of ſ only ToUpper makes an s
}

var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// percentDecode decodes once, as whoever opens a URI does, and leaves alone what encodes nothing.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, ok1 := hexDigit(s[i+1])
			low, ok2 := hexDigit(s[i+2])
			if ok1 && ok2 {
				b.WriteByte(high<<4 | low)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// hasDotSegment reports whether anybody could find a dot segment (RFC 3986 §3.3) in s: decoded or not, once or twice, with
// slashes of either direction or right after the scheme, and with the white space and parameters around it that some
// drop. Where such a URI leads depends on who walks it, and on whether before or after decoding, so that nobody here tries.
func hasDotSegment(s string) bool {
	for range 3 {
		if isDotted(s) {
			return true
		}
		if !strings.Contains(s, "%") {
			return false
		}
		s = percentDecode(s)
	}
	return false
}

// isDotted looks for a segment that is dots and white space after folding. It reads each byte once, and folds none: a URI
// may be all segments.
func isDotted(s string) bool {
	var dot, control, other bool // in the segment so far; control: one that fold keeps, behind a dot
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '\\', '?', '#', ';', ':':
			if dot && !other {
				return true
			}
			dot, control, other = false, false, false
		case '.':
			dot = true
			other = other || control
		case ' ', '\t', '\n', '\r':
		default:
			control = control || dot && c < ' '
			other = other || c > ' '
		}
	}
	return dot && !other
}
