package operation_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "map[]", ` { "a" : 1.50 } `: "map[a:1.50]", `{"a":{"b":[1,{"c":null}]},"c":"\u00e9"}`: "map[a:map[b:[1 map[c:<nil>]]] c:é]",
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

// FuzzArguments checks that accepted arguments mean the same to encoding/json.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[true,null,"x"],"c":{"d":1e5}}`, `{"a":1,"A":2}`, `{"ſ":1,"s":2}`, `{"":{}}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := operation.Arguments(text)
		if err != nil {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var other map[string]any
		if err := decoder.Decode(&other); err != nil || !reflect.DeepEqual(values, other) {
			t.Errorf("%q: %v, encoding/json has %v, %v", text, values, other, err)
		}
		checkNames(t, text, values)
	})
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
