package mcpauth

import (
	"errors"
	"math"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// What a strictReader refuses, each a constant so that a hostile document costs no allocation.
var (
	errJSONSyntax    = errors.New("malformed JSON")
	errJSONType      = errors.New("a JSON value of another type than expected")
	errJSONDuplicate = errors.New("a JSON object with a repeated member")
	errJSONDepth     = errors.New("JSON nested too deeply")
	errJSONSize      = errors.New("JSON objects with too many members, or too long names of members")
	errJSONUTF8      = errors.New("JSON that is not UTF-8")
	errJSONNumber    = errors.New("a JSON number beyond what a float64 holds")
)

const (
	maxJSONDepth   = 16
	maxJSONMembers = 256
)

// A strictReader reads one JSON document (RFC 8259) in one pass, without building it.
//
// It is stricter than encoding/json, which keeps the last of repeated members, matches names without regard to case,
// and replaces broken UTF-8: each of those lets two programs read different claims in one token. Here a repeated
// member anywhere is an error, names are compared exactly after unescaping, and the strings returned are substrings
// of the document wherever nothing in them is escaped.
type strictReader struct {
	s     string
	i     int
	depth int
	names []string // the members so far of all objects that are open
	stack [24]string

	members int  // the most that an object may have
	deepest int  // the most that values may nest
	lenient bool // what members are called means nothing: they may repeat, and be many

	membersLeft, nameBytesLeft int // what all objects may have together, beside those that are read leniently
}

func newStrictReader(document string) *strictReader {
	r := &strictReader{s: document, members: maxJSONMembers, deepest: maxJSONDepth, membersLeft: math.MaxInt, nameBytesLeft: math.MaxInt}
	r.names = r.stack[:0]
	return r
}

// space skips white space and returns the byte that follows, or 0 at the end.
func (r *strictReader) space() byte {
	for r.i < len(r.s) {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

// end makes sure that nothing follows the document.
func (r *strictReader) end() error {
	if r.space(); r.i != len(r.s) {
		return errJSONSyntax
	}
	return nil
}

// object reads an object. member is called after each name and has to read the value.
func (r *strictReader) object(member func(name string) error) error {
	if r.space() != '{' {
		return errJSONType
	}
	if r.depth++; r.depth > r.deepest {
		return errJSONDepth
	}
	r.i++
	first := len(r.names)
	if r.space() == '}' {
		r.i++
		r.depth--
		return nil
	}
	for {
		if r.space() != '"' {
			return errJSONSyntax
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		if !r.lenient {
			open := r.names[first:]
			r.membersLeft--
			r.nameBytesLeft -= len(name)
			if len(open) >= r.members || r.membersLeft < 0 || r.nameBytesLeft < 0 {
				return errJSONSize
			}
			if slices.Contains(open, name) {
				return errJSONDuplicate
			}
			r.names = append(r.names, name)
		}
		if r.space() != ':' {
			return errJSONSyntax
		}
		r.i++
		if err := member(name); err != nil {
			return err
		}
		switch r.space() {
		case ',':
			r.i++
		case '}':
			r.i++
			r.depth--
			r.names = r.names[:first]
			return nil
		default:
			return errJSONSyntax
		}
	}
}

// name reads the name of a member. Where it means nothing it is "".
func (r *strictReader) name() (string, error) {
	if r.lenient {
		return "", r.skipString()
	}
	return r.string()
}

// array reads an array. element has to read each element.
func (r *strictReader) array(element func() error) error {
	if r.space() != '[' {
		return errJSONType
	}
	if r.depth++; r.depth > r.deepest {
		return errJSONDepth
	}
	r.i++
	if r.space() == ']' {
		r.i++
		r.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch r.space() {
		case ',':
			r.i++
		case ']':
			r.i++
			r.depth--
			return nil
		default:
			return errJSONSyntax
		}
	}
}

// skip reads a value of any type.
func (r *strictReader) skip() error {
	switch c := r.space(); {
	case c == '"':
		return r.skipString()
	case c == '{':
		return r.object(func(string) error { return r.skip() })
	case c == '[':
		return r.array(r.skip)
	case c == '-' || '0' <= c && c <= '9':
		_, err := r.number()
		return err
	default:
		for _, literal := range [...]string{"true", "false", "null"} {
			if len(r.s)-r.i >= len(literal) && r.s[r.i:r.i+len(literal)] == literal {
				r.i += len(literal)
				return nil
			}
		}
		return errJSONSyntax
	}
}

// raw reads a value of any type and returns its text.
func (r *strictReader) raw() (string, error) {
	r.space()
	start := r.i
	err := r.skip()
	return r.s[start:r.i], err
}

// string reads a string.
func (r *strictReader) string() (string, error) {
	if r.space() != '"' {
		return "", errJSONType
	}
	r.i++
	start := r.i
	ascii := true
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c == '"':
			s := r.s[start:r.i]
			r.i++
			if !ascii && !utf8.ValidString(s) {
				return "", errJSONUTF8
			}
			return s, nil
		case c == '\\':
			return r.escaped(start, true)
		case c < ' ':
			return "", errJSONSyntax
		default:
			ascii = ascii && c < utf8.RuneSelf
			r.i++
		}
	}
	return "", errJSONSyntax
}

// skipString reads a string that nobody wants to see.
func (r *strictReader) skipString() error {
	r.i++
	_, err := r.escaped(r.i, false)
	return err
}

// escaped reads the rest of a string that began at start and may have an escape at r.i, and returns the string if it is
// to be kept.
func (r *strictReader) escaped(start int, keep bool) (string, error) {
	var few [utf8.UTFMax]byte
	b := few[:0]
	if keep {
		b = append(b, r.s[start:r.i]...)
	}
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		if !keep {
			b = b[:0]
		}
		switch {
		case c == '"':
			if !utf8.ValidString(r.s[start : r.i-1]) { // which escapes don't change
				return "", errJSONUTF8
			}
			return string(b), nil
		case c < ' ':
			return "", errJSONSyntax
		case c != '\\':
			b = append(b, c)
			continue
		}
		if r.i == len(r.s) {
			return "", errJSONSyntax
		}
		c = r.s[r.i]
		r.i++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			u, ok := r.hex4()
			if !ok {
				return "", errJSONSyntax
			}
			if utf16.IsSurrogate(u) && (keep || !r.lenient) { // as in text that was cut in the middle of an emoji
				// A surrogate counts only as half of a pair; alone it is no character.
				if r.i+2 > len(r.s) || r.s[r.i] != '\\' || r.s[r.i+1] != 'u' {
					return "", errJSONUTF8
				}
				r.i += 2
				low, ok := r.hex4()
				if !ok {
					return "", errJSONSyntax
				}
				if u = utf16.DecodeRune(u, low); u == utf8.RuneError {
					return "", errJSONUTF8
				}
			}
			b = utf8.AppendRune(b, u)
		default:
			return "", errJSONSyntax
		}
	}
	return "", errJSONSyntax
}

func (r *strictReader) hex4() (rune, bool) {
	if r.i+4 > len(r.s) {
		return 0, false
	}
	var u rune
	for _, c := range []byte(r.s[r.i : r.i+4]) {
		switch {
		case '0' <= c && c <= '9':
			u = u<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			u = u<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			u = u<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	r.i += 4
	return u, true
}

// strings reads an array of strings, or, if one is allowed instead, a single string.
func (r *strictReader) strings(single bool) ([]string, error) {
	if single && r.space() == '"' {
		s, err := r.string()
		return []string{s}, err
	}
	var list []string
	err := r.array(func() error {
		s, err := r.string()
		list = append(list, s)
		return err
	})
	return list, err
}
