package operation_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// callWith returns the call of a tool with an id.
func callWith(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"t"}}`
}

// TestCallID returns ids as they stand in the body.
func TestCallID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		`1`, `0`, `-0`, `-7`, `1.50`, `1e3`, `1E+2`, `9007199254740993`, `123456789012345678901234567890`,
		`"a"`, `""`, `"\u0061\n\/\"\\"`, `"é 日本 😀"`, `"\ud83d\ude00"`, `"\ud83d"`, `"</script>&"`, `" 1 "`,
		`"` + strings.Repeat("x", 8<<10-2) + `"`,
	} {
		if got, ok := operation.CallID(callWith(" " + id + "\t")); !ok || got != id {
			t.Errorf("%.50s: %.50s, %t", id, got, ok)
		}
	}
	for _, body := range []string{
		" \r\n" + callWith("1") + "\t",
		`{"params":{"arguments":{"name":1,"name":2},"name":"t"},"method":"tools/call","id":1,"jsonrpc":"2.0"}`,
		`{"jsonrpc":"\u0032.0","i\u0064":1,"method":"tools\/call","params":{"name":"t","_meta":{"id":2}},"more":{"id":3}}`,
	} {
		if got, ok := operation.CallID(body); !ok || got != "1" {
			t.Errorf("%s: %s, %t", body, got, ok)
		}
	}
}

// TestCallIDOfOtherBodies has everything that is not one call, or could be read in two ways.
func TestCallIDOfOtherBodies(t *testing.T) {
	t.Parallel()
	one := callWith("1")
	for _, body := range []string{
		"", " ", "null", "1", `"x"`, "[]", "[" + one + "]", "[" + one + "," + one + "]", one + one, one + "x", one[:len(one)-1],
		callWith("null"), callWith("true"), callWith("{}"), callWith("[1]"), callWith("01"), callWith("1."), callWith("+1"), callWith("1e999"), callWith(`"`), callWith(`"\x"`),
		callWith("\"\xff\""), callWith(`"` + strings.Repeat("x", 8<<10) + `"`), callWith("1" + strings.Repeat("0", 100<<10)),
		strings.Replace(one, `"id":1,`, "", 1),
		strings.Replace(one, `"id":1,`, `"id":1,"id":1,`, 1),
		strings.Replace(one, `"id":1,`, `"id":1,"ID":2,`, 1),
		strings.Replace(one, `"id":1,`, `"id":1,"\u0069d":2,`, 1),
		strings.Replace(one, `"2.0"`, `"1.0"`, 1), strings.Replace(one, `"2.0"`, `2.0`, 1), strings.Replace(one, `"jsonrpc":"2.0",`, ``, 1),
		strings.Replace(one, "tools/call", "tools/list", 1), strings.Replace(one, "tools/call", "prompts/get", 1), strings.Replace(one, "tools/call", "Tools/call", 1),
		strings.Replace(one, `{"name":"t"}`, `{"name":"t","NAME":"u"}`, 1), strings.Replace(one, `{"name":"t"}`, `{"name":"t","name":"t"}`, 1),
		strings.Replace(one, `{"name":"t"}`, `{}`, 1), strings.Replace(one, `{"name":"t"}`, `[1]`, 1), strings.Replace(one, `{"name":"t"}`, `{"name":1}`, 1),
		strings.Replace(one, `"id":1,`, `"id":1,"result":{},`, 1), strings.Replace(one, `"id":1,`, `"id":1,"error":{},`, 1),
		strings.Replace(one, `"id":1,`, `"id":1,"Method":"ping",`, 1), strings.Replace(one, `"params"`, `"Params"`, 1),
	} {
		if got, ok := operation.CallID(body); ok || got != "" {
			t.Errorf("%.80s: %.50s, %t", body, got, ok)
		}
	}
}

// FuzzCallID checks that what has an id is one operation, a tool, and that encoding/json reads the same id.
func FuzzCallID(f *testing.F) {
	for _, body := range []string{callWith("1"), callWith(`"\u0061"`), callWith("1.50"), "[" + callWith("1") + "]", call(`{"name":"a"}`)} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		id, ok := operation.CallID(body)
		if !ok {
			return
		}
		tools := 0
		err := operation.Read(body, func(op operation.Operation) error {
			if op.Kind == operation.KindTool {
				tools++
			}
			return nil
		})
		var message struct{ ID json.RawMessage }
		if err != nil || tools != 1 || json.Unmarshal([]byte(body), &message) != nil || string(message.ID) != id || !json.Valid([]byte(id)) {
			t.Errorf("%q: id %q, but %v, %d tools, id %q", body, id, err, tools, message.ID)
		}
	})
}
