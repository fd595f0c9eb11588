package mcpauth

import "strconv"

// number reads a number and returns its text.
func (r *strictReader) number() (string, error) {
	if c := r.space(); c != '-' && (c < '0' || c > '9') {
		return "", errJSONType
	}
	start, exponent := r.i, false
	if r.s[r.i] == '-' {
		r.i++
	}
	leadingZero := r.i < len(r.s) && r.s[r.i] == '0'
	if n := r.digits(); n == 0 || leadingZero && n > 1 {
		return "", errJSONSyntax
	}
	if r.i < len(r.s) && r.s[r.i] == '.' {
		r.i++
		if r.digits() == 0 {
			return "", errJSONSyntax
		}
	}
	if r.i < len(r.s) && (r.s[r.i] == 'e' || r.s[r.i] == 'E') {
		exponent = true
		r.i++
		if r.i < len(r.s) && (r.s[r.i] == '+' || r.s[r.i] == '-') {
			r.i++
		}
		if r.digits() == 0 {
			return "", errJSONSyntax
		}
	}
	text := r.s[start:r.i]
	const sure = 300 // digits that fit whatever they are
	if exponent || len(text) > sure {
		// encoding/json refuses the whole document for such a number, and with it all that Session.Claims returns.
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "", errJSONNumber
		}
	}
	return text, nil
}

func (r *strictReader) digits() int {
	start := r.i
	for r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i - start
}

// numericDate reads a NumericDate (RFC 7519 §2), an integer or a fraction of seconds, as milliseconds since 1970.
func (r *strictReader) numericDate() (int64, error) {
	const most = 253402300799 // the end of the year 9999, beyond which time.Time has no RFC 3339 form
	text, err := r.number()
	if err != nil {
		return 0, err
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 || n > most {
			return 0, errJSONType
		}
		return n * 1000, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= most) {
		return 0, errJSONType
	}
	return int64(f * 1000), nil
}
