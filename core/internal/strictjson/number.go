package strictjson

import "strings"

// Number reads a number that encoding/json accepts as a float64, and returns its text.
func (r *Reader) Number() (string, error) {
	if r.Peek() != KindNumber {
		return "", ErrType
	}
	start, exponent := r.i, 0
	if r.s[r.i] == '-' {
		r.i++
	}
	leadingZero := r.i < len(r.s) && r.s[r.i] == '0'
	if n := r.digits(); n == 0 || leadingZero && n > 1 {
		return "", ErrSyntax
	}
	if r.i < len(r.s) && r.s[r.i] == '.' {
		r.i++
		if r.digits() == 0 {
			return "", ErrSyntax
		}
	}
	if r.i < len(r.s) && (r.s[r.i] == 'e' || r.s[r.i] == 'E') {
		r.i++
		if r.i < len(r.s) && (r.s[r.i] == '+' || r.s[r.i] == '-') {
			r.i++
		}
		if exponent = r.digits(); exponent == 0 {
			return "", ErrSyntax
		}
	}
	text := r.s[start:r.i]
	const sure = 200 // up to this many digits always fit, with an exponent of up to two digits
	if (exponent > 2 || len(text) > sure) && !fitsFloat64(text) {
		// encoding/json refuses the whole document for such a number.
		return "", ErrNumber
	}
	return text, nil
}

// fitsFloat64 reports whether a JSON number is within the range of float64. strconv.ParseFloat would tell too, but takes up
// to 25 µs for a number between two floats, which is seconds for a body full of them. Unlike strconv, it refuses the last
// few of the numbers that are above the largest float64 and would be rounded down to it.
func fitsFloat64(text string) bool {
	const largest = "17976931348623157" // e308: the largest float64 begins with these digits
	text = strings.TrimPrefix(text, "-")
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits, more := strings.TrimLeft(whole, "0"), fraction
	magnitude := int64(len(digits)) // the number is less than 10 to this power, and at least a tenth of that
	if digits == "" {
		digits, more = strings.TrimLeft(fraction, "0"), ""
		magnitude = int64(len(digits) - len(fraction))
	}
	if digits == "" {
		return true // zero, whatever its exponent
	}
	shift := int64(0)
	for _, c := range []byte(strings.TrimLeft(exponent, "+-")) {
		shift = min(shift*10+int64(c-'0'), 1<<40) // no document has enough digits to make up for more
	}
	if strings.HasPrefix(exponent, "-") {
		shift = -shift
	}
	if magnitude += shift; magnitude != 309 {
		return magnitude < 309
	}
	if len(digits) < len(largest) {
		digits += more[:min(len(more), len(largest))]
	}
	return digits[:min(len(digits), len(largest))] <= largest
}

func (r *Reader) digits() int {
	start := r.i
	for r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i - start
}
