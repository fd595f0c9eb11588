package mcpauth

import (
	"regexp"
	"slices"
	"strings"
)

// uriForms is the number of forms in which a resource's URI is compared with a pattern: as it is; decoded and folded; and
// that with its dot segments walked in the three ways in which servers walk them. What matches in one of them matches.
//
// A check of the text alone would be led around: to a server that hands the path to a file system,
// files:///public/../secret, files:///%73ecret and, on some, files:///SECRET are one file. Refusing such spellings was no
// way out, because the URI is the server's, and for a scheme of its own any of them may be the only one.
const uriForms = 5

func formsOf(uri string) [uriForms]string {
	folded := fold(percentDecode(uri))
	segments := strings.FieldsFunc(folded, isSlash)
	return [uriForms]string{
		uri, folded,
		walkDots(folded, segments, 1), // of a path that begins with what looks like a host, as path.Clean does
		walkDots(folded, segments, 2), // of the path behind the host
		walkDots(folded, strings.Split(strings.ReplaceAll(folded, `\`, "/"), "/"), 3), // RFC 3986 §5.2.4: between two slashes there is a segment
	}
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

// withoutQuery returns a URI up to its query or fragment, which a server may ignore.
func withoutQuery(uri string) string {
	if i := strings.IndexAny(uri, "?#"); i >= 0 {
		return uri[:i]
	}
	return uri
}

var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// percentDecode decodes once, as whoever opens a URI does, and leaves alone what encodes nothing.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
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

// walkDots walks the dot segments of s, which lead no higher than to the given number of segments, of which the scheme is
// the first. Of several slashes, in whichever direction they lean, it makes one.
func walkDots(s string, segments []string, floor int) string {
	if len(segments) == 0 {
		return s[:min(1, len(s))]
	}
	kept := make([]string, 0, len(segments))
	for i, segment := range segments {
		switch {
		case i > 0 && segment == ".":
		case i > 0 && segment == "..":
			kept = kept[:max(len(kept)-1, min(floor, len(kept)))]
		default:
			kept = append(kept, segment)
		}
	}
	walked := strings.Join(slices.DeleteFunc(kept, func(segment string) bool { return segment == "" }), "/")
	if s != "" && isSlash(rune(s[0])) {
		walked = "/" + walked
	}
	if last := segments[len(segments)-1]; s != "" && isSlash(rune(s[len(s)-1])) || last == "." || last == ".." {
		walked = strings.TrimSuffix(walked, "/") + "/"
	}
	return walked
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

func hasDotSegment(s string) bool {
	for _, segment := range strings.FieldsFunc(percentDecode(s), isSlash) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
