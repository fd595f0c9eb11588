package strictjson

import (
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
	ascii := true
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c == '"':
			s := r.s[start:r.i]
			r.i++
			if !ascii && !utf8.ValidString(s) {
				return "", ErrUTF8
			}
			return s, nil
		case c == '\\':
			return r.escaped(start, true)
		case c < ' ':
			return "", ErrSyntax
		default:
			ascii = ascii && c < utf8.RuneSelf
			r.i++
		}
	}
	return "", ErrSyntax
}

// skipString reads a string whose value is not needed.
func (r *Reader) skipString() error {
	r.i++
	_, err := r.escaped(r.i, false)
	return err
}

// escaped reads the rest of a string that began at start and may have an escape at r.i. It returns the string if keep is
// true.
func (r *Reader) escaped(start int, keep bool) (string, error) {
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
			if !utf8.ValidString(r.s[start : r.i-1]) { // escapes don't change that
				return "", ErrUTF8
			}
			return string(b), nil
		case c < ' ':
			return "", ErrSyntax
		case c != '\\':
			b = append(b, c)
			continue
		}
		if r.i == len(r.s) {
			return "", ErrSyntax
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
				return "", ErrSyntax
			}
			if utf16.IsSurrogate(u) && (keep || !r.lenient) {
				// A surrogate is valid only as half of a pair.
				if r.i+2 > len(r.s) || r.s[r.i] != '\\' || r.s[r.i+1] != 'u' {
					return "", ErrUTF8
				}
				r.i += 2
				low, ok := r.hex4()
				if !ok {
					return "", ErrSyntax
				}
				if u = utf16.DecodeRune(u, low); u == utf8.RuneError {
					return "", ErrUTF8
				}
			}
			b = utf8.AppendRune(b, u)
		default:
			return "", ErrSyntax
		}
	}
	return "", ErrSyntax
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
