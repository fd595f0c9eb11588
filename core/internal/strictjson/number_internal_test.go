package strictjson

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

// TestR92NumbersAreNotConverted compares fitsFloat64 with strconv.ParseFloat, which takes some µs for a hostile number.
func TestR92NumbersAreNotConverted(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 400)
	for _, number := range []string{
		"0", "-0", "1", "0e999", "-0.0e999999999999999999999", "1e308", "1e309", "-1e309", "9e307", "1.7976931348623157e308", "1.7976931348623158e308",
		"17976931348623157e292", "17976931348623158e292", "17976931348623159e292", "179769313486231570e291", "1.8e308", "0.18e309", "0.17e309", "0.0017e311", "1.79e308", "1.79769e+308", "0.179769313486231581e309",
		"1" + zeros, "1" + zeros + "e-400", "1" + zeros + "e-92", "1" + zeros + "e-91", "1" + zeros + ".5e-100", "0." + zeros + "1e708", "0." + zeros + "1e709", "0." + zeros + "1e710", "1e99999999999999999999", "1e-99999999999999999999",
		"17" + zeros[:307], "17" + zeros[:308], "18" + zeros[:307], "12.5e307", "17.9e307", "18.0e307", "1e-400", "1e0000000000000000000308", "1e00000000000000000309", "1e+308", "1e+309",
	} {
		_, err := strconv.ParseFloat(number, 64)
		if got := fitsFloat64(number); got != (err == nil) && !strings.HasPrefix(number, "1.7976931348623158") && !strings.HasPrefix(number, "17976931348623158") {
			t.Errorf("%.40s (%d digits): %v, while strconv says %v", number, len(number), got, err)
		}
		if err != nil && fitsFloat64(number) {
			t.Errorf("%.40s is accepted", number)
		}
		r := NewReader(number, Limits{})
		if _, err := r.Number(); (err == nil) != fitsFloat64(number) {
			t.Errorf("%.40s: the reader says %v", number, err)
		}
	}
}

// FuzzNumber checks that encoding/json accepts every number that passes, and that those refused are beyond float64, or
// nearly.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"1e308", "0.00017976931348623157e312", "-179769313486231570814527423731704356798070e268", "1e-5", "17976931348623158e292"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, number string) {
		number = strings.TrimLeft(number, " \t\r\n")
		r := NewReader(number, Limits{})
		_, err := r.Number()
		if r.i != len(number) || err != nil && err != ErrNumber { //nolint:errorlint // they are never wrapped
			return
		}
		switch value, parsed := strconv.ParseFloat(number, 64); {
		case err == nil && parsed != nil:
			t.Errorf("%q passes, and strconv says %v", number, parsed)
		case err != nil && parsed == nil && math.Abs(value) != math.MaxFloat64:
			t.Errorf("%q is refused, and is %g", number, value)
		}
	})
}
