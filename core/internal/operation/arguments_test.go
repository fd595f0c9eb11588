package operation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "map[]", ` { "a" : 1.50 } `: "map[a:1.5]", `{"a":true,"b":false,"c":[],"d":""}`: "map[a:true b:false c:[] d:]", `{"a":{"b":[1,{"c":null}]},"c":"\u00e9"}`: "map[a:map[b:[1 map[c:<nil>]]] c:é]",
		`null`: "map[]", `{"a":[{"b":1},{"b":2}]}`: "map[a:[map[b:1] map[b:2]]]",
		`{"a":1,"a":1}`: "", `{"a":1,"A":1}`: "", `{"x":{"é":1,"É":1}}`: "", `{"k":1,"K":1}`: "", `n`: "", `null null`: "", `[{}]`: "", `"a"`: "", `1`: "", `{"a":1`: "", `{"a":1}{}`: "", ``: "",
		`{"a":"\udc00"}`: "", "{\"a\":\"\xff\"}": "", strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600): "",
	} {
		values, err := operation.Arguments(text)
		if got := fmt.Sprint(values); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%.60q: %s, %v; want %q", text, got, err, want)
		}
	}
}

// TestArgumentsNumbers has numbers that readers of float64, of integers and of decimals understand alike, and others. Each is
// returned in one spelling.
func TestArgumentsNumbers(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 400)
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "-0.0": "0", "0e999": "0", "0e-99999999999999999999": "0", "7": "7", "-12": "-12", "999999999999999": "999999999999999",
		"1.0": "1", "1e0": "1", "10e-1": "1", "0.1e1": "1", "-1E+2": "-100", "5e4": "50000", "100000000000000000000": "100000000000000000000", "1e20": "100000000000000000000",
		"9007199254740991": "9007199254740991", "9007199254740992": "9007199254740992", "9007199254740993": "", "-9007199254740993": "", "9007199254740994": "9007199254740994",
		"9007199254740993.0": "", "9007199254740993e0": "", "9007199254740992.5": "", "90071992547409930e-1": "",
		"1152921504606846976":      "", // 2^60: a reader of float64 that writes it out again makes 1152921504606847000 of it
		"1152921504606847000":      "", // and this is 2^60 to that reader
		"1000000000000000000":      "1000000000000000000",
		"9223372036854775807":      "", // the largest int64
		"18446744073709551615":     "", // and uint64
		"12345678901234567890":     "",
		"0.1":                      "0.1",
		"0.10":                     "0.1",
		"-1.50":                    "-1.5",
		"100.25":                   "100.25",
		"0.30000000000000004":      "0.30000000000000004",
		"0.300000000000000040":     "0.30000000000000004",
		"0.300000000000000044":     "",
		"3.14159265358979323846":   "",
		"1.0000000000000001":       "",
		"0.1000000000000000055511": "",
		"1e21":                     "1e+21",
		"1.5e300":                  "1.5e+300",
		"1.7976931348623157e308":   "1.7976931348623157e+308",
		"0.000001":                 "0.000001",
		"1e-7":                     "1e-07",
		"5e-324":                   "5e-324",
		"4e-324":                   "", // it becomes 5e-324
		"1e-400":                   "", // it becomes 0
		"1e-99999999999999999999":  "",
		"1" + zeros + "e-400":      "1",
		"0." + zeros + "1e401":     "1",
		"1" + zeros + "1e-401":     "",
		strings.Repeat("9", 17):    "",
		strings.Repeat("9", 300):   "",
	} {
		values, err := operation.Arguments(`{"n":[` + text + `]}`)
		if got := fmt.Sprint(values["n"]); (err == nil) != (want != "") || err == nil && got != "["+want+"]" {
			t.Errorf("%.60s: %s, %v; want %q", text, got, err, want)
		}
	}
}

// TestArgumentsNames has members with the names that a caller looks for, and with those names in another case.
func TestArgumentsNames(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`{"id":1,"kind":2}`: true, `{}`: true, `{"i":1}`: true, `{"ids":[{"id":1},{"id":2}],"x":"ID"}`: true, `{"Other":1}`: true,
		`{"ID":1}`: false, `{"\u0049d":1}`: false, `{"\u0069d":1}`: true, `{"x":{"ID":1}}`: false, `{"x":[[{"iD":1}]]}`: false, `{"\u212aind":2}`: false, `{"KIND":2}`: false,
	} {
		if _, err := operation.Arguments(text, "id", "kind"); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := operation.Arguments(text); err != nil {
			t.Errorf("%s without names: %v", text, err)
		}
	}
}

// FuzzArguments checks that accepted arguments mean the same to encoding/json.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[true,null,"x"],"c":{"d":1e5}}`, `{"a":[9007199254740993,1e22,0.1,-0,1.50e-7]}`, `{"a":1,"A":2}`, `{"ſ":1,"s":2}`, `{"":{}}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := operation.Arguments(text)
		if err != nil {
			return
		}
		checkMeaning(t, text, values)
		checkNames(t, text, values)
	})
}

// checkMeaning fails if encoding/json reads other values in text, with numbers as float64 or as they are written.
func checkMeaning(t *testing.T, text string, values map[string]any) {
	t.Helper()
	var asFloats, asWritten map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := errors.Join(json.Unmarshal([]byte(text), &asFloats), decoder.Decode(&asWritten)); err != nil {
		t.Errorf("%q: encoding/json has %v", text, err)
		return
	}
	if got := convert(values, float); !reflect.DeepEqual(got, convert(asFloats, float)) {
		t.Errorf("%q: %v, encoding/json has %v", text, got, asFloats)
	}
	if got := convert(values, exact); !reflect.DeepEqual(got, convert(asWritten, exact)) {
		t.Errorf("%q: %v, encoding/json has %v", text, got, asWritten)
	}
}

// convert returns a copy of a value with other numbers.
func convert(value any, number func(any) any) any {
	switch value := value.(type) {
	case map[string]any:
		if value == nil {
			return nil
		}
		converted := make(map[string]any)
		for name, element := range value {
			converted[name] = convert(element, number)
		}
		return converted
	case []any:
		converted := make([]any, len(value))
		for i, element := range value {
			converted[i] = convert(element, number)
		}
		return converted
	}
	return number(value)
}

func float(value any) any {
	if n, ok := value.(json.Number); ok {
		value, _ = n.Float64()
	}
	if value == 0.0 {
		return 0.0 // and not -0
	}
	return value
}

// exact returns a fraction for a number, and its text if its exponent would make the fraction too long.
func exact(value any) any {
	n, ok := value.(json.Number)
	if !ok {
		return value
	}
	if f, err := n.Float64(); err != nil || f == 0 || math.Abs(f) > 1e100 || math.Abs(f) < 1e-100 {
		return f
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return n
	}
	return r.String()
}

// checkNames fails if two members of an object differ only in case.
func checkNames(t *testing.T, text string, value any) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			checkNames(t, text, element)
		}
	case map[string]any:
		for name, element := range value {
			checkNames(t, text, element)
			for other := range value {
				if name != other && strings.EqualFold(name, other) {
					t.Errorf("%q has %q and %q", text, name, other)
				}
			}
		}
	}
}

// TestReadArguments has calls whose arguments come with the operation, byte for byte.
func TestReadArguments(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"method":"tools/call","params":{"arguments": {"a" : [1 ,"x"]} ,"name":"t"}}`:         `{"a" : [1 ,"x"]}`,
		`{"method":"prompts/get","params":{"name":"t","arguments":null}}`:                      `null`,
		`{"method":"tools/call","params":{"name":"t"}}`:                                        ``,
		`{"method":"resources/read","params":{"uri":"a://t","arguments":{"a":1}}}`:             ``, // a resource has none
		`[{"method":"ping"},{"params":{"name":"t","arguments":{}},"method":"tools/call"}]`:     `{}`,
		`{"method":"tools/call","params":{"name":"t","arguments":{},"_meta":{"arguments":1}}}`: `{}`,
	} {
		var got []string
		err := operation.Read(body, func(op operation.Operation) error {
			got = append(got, op.Arguments)
			return nil
		})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, %v; want %q", body, got, err, want)
		}
	}
	for _, params := range []string{`{"name":"t","arguments":{},"arguments":{}}`, `{"name":"t","Arguments":{}}`, `{"name":"t","arguments":{},"ARGUMENTS":{}}`} {
		if err := operation.Read(`{"method":"tools/call","params":`+params+`}`, func(operation.Operation) error { return nil }); err == nil {
			t.Errorf("%s is read", params)
		}
	}
}
