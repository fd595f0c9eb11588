package operation

import "strings"

// A URI is compared with a pattern in four forms, and matches if it does in one of them:
//
//  1. as it is;
//  2. decoded and folded;
//  3. that, with one slash for several, and none after a colon;
//  4. that, without the slash at its end.
//
// Comparing the text alone could be led around: to a server that hands the path to a file system, files:///%73ecret and, on
// some systems, files:///SECRET are files:///secret. Such spellings can't be refused, because the server chooses its URIs,
// and for a scheme of its own any of them may be the only one.
const (
	uriForms       = 4
	formNoEndSlash = uriForms - 1 // the index of the last form

	// coveringForms are those in which a URI has to match for CoverageFull. The last is not among them: without its slash,
	// files:///public/ does not match files:///public/{path}.
	coveringForms formSet = 1<<formNoEndSlash - 1
)

func formsOf(uri string) [uriForms]string {
	folded := fold(percentDecode(uri))
	slashed := oneSlash(folded)
	return [uriForms]string{uri, folded, slashed, strings.TrimSuffix(slashed, "/")}
}

// oneSlash writes several slashes in a row as one, whatever their direction, and drops those after a colon: where a server
// joins what comes after the scheme to a directory, docs:secret, docs:/secret and docs://secret are one resource.
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

// fold returns the same text for texts that differ in case only, or in what the parsers of URLs in browsers drop: white
// space and control characters around it, and tabs and line ends within.
func fold(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	s = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, s)
	return strings.ToLower(strings.ToUpper(s)) // ſ becomes an s by ToUpper alone
}

// percentDecode decodes once, as servers do when they open a URI, and keeps each % that two hexadecimal digits don't follow.
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

// hasDotSegment reports whether a server could find a dot segment (RFC 3986 §3.3) in s: encoded up to twice, between slashes
// of either direction or right after the scheme, and with white space and parameters around it that some servers drop.
//
// Dot segments are not resolved here. Where they lead depends on the server, and on whether it resolves them before or after
// decoding.
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

// isDotted reports whether s, without decoding, has a segment that consists of dots and white space after folding. It reads
// each byte once and folds nothing, because a URI may consist of nothing but segments.
func isDotted(s string) bool {
	var dot, control, other bool // what the segment holds so far; control: a control character behind a dot
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '\\', '?', '#', ';', ':':
			if dot && !other {
				return true
			}
			dot, control, other = false, false, false
		case '.':
			dot = true
			other = other || control // fold keeps control characters between dots
		case ' ', '\t', '\n', '\r':
		default:
			control = control || dot && c < ' '
			other = other || c > ' '
		}
	}
	return dot && !other
}
