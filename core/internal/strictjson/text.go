package strictjson

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Text reads a string, and returns it without its escapes.
func (r *Reader) Text() (string, error) {
	if r.space() != '"' {
		return "", ErrType
	}
	r.i++
	start := r.i
	ascii := r.skipPlain()
	if r.i == len(r.s) {
		return "", ErrSyntax
	}
	if r.s[r.i] != '"' {
		return r.escaped(start, ascii)
	}
	text := r.s[start:r.i]
	r.i++
	if !ascii && !utf8.ValidString(text) {
		return "", ErrUTF8
	}
	return text, nil
}

// skipString reads a string whose value is not needed.
func (r *Reader) skipString() error {
	r.i++
	start := r.i
	ascii := true
	for {
		ascii = r.skipPlain() && ascii
		if r.i == len(r.s) {
			return ErrSyntax
		}
		c := r.s[r.i]
		r.i++
		switch c {
		case '"':
			if !ascii && !utf8.ValidString(r.s[start:r.i-1]) { // escapes don't change that
				return ErrUTF8
			}
			return nil
		case '\\':
			if _, err := r.escape(r.lenient); err != nil {
				return err
			}
		default:
			return ErrSyntax
		}
	}
}

// escaped reads the rest of a string that began at start and has an escape or a control character at r.i. ascii is what
// skipPlain reported of what is in front of it.
func (r *Reader) escaped(start int, ascii bool) (string, error) {
	var few [32]byte
	b := append(few[:0], r.s[start:r.i]...)
	for {
		if r.i == len(r.s) {
			return "", ErrSyntax
		}
		c := r.s[r.i]
		r.i++
		switch c {
		case '"':
			if !ascii && !utf8.ValidString(r.s[start:r.i-1]) { // escapes don't change that
				return "", ErrUTF8
			}
			return string(b), nil
		case '\\':
			u, err := r.escape(false)
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, u)
		default:
			return "", ErrSyntax
		}
		plain := r.i
		ascii = r.skipPlain() && ascii
		b = append(b, r.s[plain:r.i]...)
	}
}

// escape reads an escape behind its backslash, and returns the character that it stands for. With alone, half of a surrogate
// pair may stand alone.
func (r *Reader) escape(alone bool) (rune, error) {
	if r.i == len(r.s) {
		return 0, ErrSyntax
	}
	c := r.s[r.i]
	r.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
	default:
		return 0, ErrSyntax
	}
	u, ok := r.hex4()
	if !ok {
		return 0, ErrSyntax
	}
	if alone || !utf16.IsSurrogate(u) {
		return u, nil
	}
	// A surrogate is valid only as half of a pair.
	if r.i+2 > len(r.s) || r.s[r.i] != '\\' || r.s[r.i+1] != 'u' {
		return 0, ErrUTF8
	}
	r.i += 2
	low, ok := r.hex4()
	if !ok {
		return 0, ErrSyntax
	}
	if u = utf16.DecodeRune(u, low); u == utf8.RuneError {
		return 0, ErrUTF8
	}
	return u, nil
}

// skipPlain skips what stands for itself in a string: all up to a quote, a backslash, a control character or the end of the
// document. ascii reports that it holds nothing but ASCII; it may be false also because of what follows.
//
// Most bytes of a document are in its strings, so it looks at eight at a time. A byte of a sum or difference below gets its
// top bit when that of x is plain and not; borrows only reach bytes behind the first such one.
func (r *Reader) skipPlain() (ascii bool) {
	const (
		each = 0x0101010101010101 // times a byte: eight of them
		top  = 0x80 * each
	)
	s, i, seen := r.s, r.i, uint64(0)
	for ; i+8 <= len(s); i += 8 {
		x := eightBytes(s[i : i+8])
		seen |= x
		control, quote, backslash := x-' '*each, x^'"'*each-each, x^'\\'*each-each
		if stop := (control | quote | backslash) &^ x & top; stop != 0 {
			r.i = i + bits.TrailingZeros64(stop)/8
			return seen&top == 0
		}
	}
	for ; i < len(s) && s[i] != '"' && s[i] != '\\' && s[i] >= ' '; i++ {
		seen |= uint64(s[i])
	}
	r.i = i
	return seen&top == 0
}

// eightBytes returns the first eight bytes of s, the first of them as the lowest. The compiler makes one load of it.
func eightBytes(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func (r *Reader) hex4() (rune, bool) {
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

// Texts reads an array of strings. A string alone is read as an array of one.
func (r *Reader) Texts() ([]string, error) {
	if r.Peek() == KindText {
		s, err := r.Text()
		return []string{s}, err
	}
	var list []string
	err := r.Array(func() error {
		s, err := r.Text()
		list = append(list, s)
		return err
	})
	return list, err
}
