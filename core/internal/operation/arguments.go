package operation

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

var (
	errNoObject = errors.New("arguments that are not an object")
	errInexact  = errors.New("a number with more digits than a float64 keeps")
)

// Arguments decodes the arguments of an operation, nil for null. Numbers are json.Number, each in one spelling: 1.0 and 1e0
// are 1.
//
// It accepts only what every JSON reader understands alike. On every level, repeated members are an error, and so are
// members whose names differ only in case, because some readers take both for the same. names are those that the caller
// looks for: a member whose name differs from one of them only in case is an error, too. So is a number that a reader of
// float64 would round, because a reader of integers or decimals has another one.
func Arguments(text string, names ...string) (map[string]any, error) {
	r := argumentsReader{strictjson.NewReader(text, limits), names}
	if kind := r.Peek(); kind != strictjson.KindObject && kind != strictjson.KindNull {
		return nil, errNoObject
	}
	value, err := r.value()
	if err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	values, _ := value.(map[string]any) // nil for null
	return values, nil
}

type argumentsReader struct {
	*strictjson.Reader
	names []string
}

// value reads a value of any type.
func (r argumentsReader) value() (value any, err error) {
	switch r.Peek() {
	case strictjson.KindObject:
		return r.object()
	case strictjson.KindArray:
		values := []any{}
		err = r.Array(func() error {
			element, err := r.value()
			values = append(values, element)
			return err
		})
		return values, err
	case strictjson.KindText:
		return r.Text()
	case strictjson.KindNumber:
		text, err := r.Number()
		if err != nil {
			return nil, err
		}
		return number(text)
	case strictjson.KindBool:
		text, err := r.Raw()
		return text == "true", err
	default:
		return nil, r.Skip()
	}
}

func (r argumentsReader) object() (map[string]any, error) {
	values, folded := make(map[string]any), make(map[string]bool)
	err := r.Object(func(name string) (err error) {
		fold := strings.ToLower(strings.ToUpper(name)) // in this order ſ and s are the same
		if folded[fold] {
			return ErrLookalike
		}
		folded[fold] = true
		for _, looked := range r.names {
			if name != looked && strings.EqualFold(name, looked) {
				return ErrLookalike
			}
		}
		values[name], err = r.value()
		return err
	})
	return values, err
}

// number returns the one spelling of a JSON number that all readers keep as it is: those of float64, which may write it out
// again and read it as an integer, those of integers, and those of decimals.
func number(text string) (json.Number, error) {
	const (
		sure    = 15 // so many digits are an exact integer in any case
		longest = 17 // digits that tell one float64 from the others
	)
	if len(text) <= sure && strings.Trim(text, "0123456789") == "" {
		return json.Number(text), nil
	}
	digits, exponent := decimal(text)
	switch {
	case digits == "":
		return "0", nil
	case len(digits) > longest: // ParseFloat would take long for many of them
		return "", errInexact
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", errInexact
	}
	same := func(text string) bool {
		d, e := decimal(text)
		return d == digits && e == exponent
	}
	magnitude := math.Abs(f)
	if !same(strconv.FormatFloat(f, 'e', -1, 64)) {
		return "", errInexact
	}
	if exponent >= 0 && magnitude < 1<<64 && !same(strconv.FormatUint(uint64(magnitude), 10)) {
		return "", errInexact
	}
	format := byte('f')
	if magnitude >= 1e21 || magnitude < 1e-6 { // where encoding/json begins to write an exponent
		format = 'e'
	}
	return json.Number(strconv.FormatFloat(f, format, -1, 64)), nil
}

// decimal returns the digits of a JSON number, without zeros at either end, and the power of ten of the last one. Zero has no
// digits.
func decimal(text string) (digits string, exponent int64) {
	mantissa := strings.TrimPrefix(text, "-")
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		power := mantissa[i+1:]
		mantissa = mantissa[:i]
		for _, c := range []byte(strings.TrimLeft(power, "+-")) {
			exponent = min(exponent*10+int64(c-'0'), 1<<40) // no text has enough digits to make up for more
		}
		if power[0] == '-' {
			exponent = -exponent
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= int64(len(fraction))
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	return trimmed, exponent + int64(len(digits)-len(trimmed))
}
