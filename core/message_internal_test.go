package mcpauth

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestR64ReadOperations(t *testing.T) {
	t.Parallel()
	tool := func(names ...string) (ops []operation) {
		for _, name := range names {
			ops = append(ops, operation{toolCall, name})
		}
		return ops
	}
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	for _, c := range []struct {
		body string
		want []operation // nil when it is refused
	}{
		{call(`{"name":"a"}`), tool("a")},
		{`{"params":{"name":"a"},"method":"tools/call"}`, tool("a")},
		{call(`{"n\u0061me":"\u0061"}`), tool("a")},
		{call(`{"_meta":{"name":"b","name":"c"},"arguments":{"Name":"b","name":"c","params":{}},"name":"a"}`), tool("a")},
		{"[" + call(`{"name":"a"}`) + "," + call(`{"name":"b"}`) + "]", tool("a", "b")},
		{`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p","uri":"u"}}`, []operation{{promptGet, "p"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"p","uri":"u"}}`, []operation{{resourceRead, "u"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"u"}}`, []operation{{resourceRead, "u"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"u"}}`, []operation{}},
		{`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","uri":"u"}}}`, []operation{{promptGet, "p"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"p","uri":"u"}}}`, []operation{{resourceRead, "u"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["u","v"]}}}`, []operation{{listening, ""}, {resourceRead, "u"}, {resourceRead, "v"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":null}}}`, []operation{{listening, ""}}},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":null}}`, []operation{{listening, ""}}},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`, []operation{{listening, ""}}},
		{`{"jsonrpc":"2.0","id":1,"method":"custom/run","params":[1]}`, []operation{{unknownMethod, "custom/run"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"TOOLS/CALL","params":{"name":"a"}}`, []operation{{unknownMethod, "TOOLS/CALL"}}},
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"x","NAME":"y"}}}`, []operation{}},
		{`{"jsonrpc":"2.0","method":"notifications/whatever"}`, []operation{}},
		{`{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","x":1,"x":2}}`, []operation{}},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, []operation{}},
		{call(`{"name":"a","arguments":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`), tool("a")},
		{call(`{"name":"a","arguments":{"\ud83d":"cut \ud83d","\udc00\ud800":1}}`), tool("a")},

		{call(`{"name":"a","arguments":[` + strings.Repeat("[1],", 600) + `1]}`), tool("a")},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"name":"x"}}`, []operation{{promptGet, "p"}}},
		{`{"jsonrpc":"2.0","method":"notificationsx"}`, []operation{{unknownMethod, "notificationsx"}}},

		{call(`{"name":"a","name":"b"}`), nil},
		{call(`{"name":"a","REF":{}}`), nil},
		{call(`{"name":"a","Notifications":{}}`), nil},
		{`{"method":"ping","ID":1}`, nil},
		{`{"method":"ping","Result":1}`, nil},
		{`{"method":"ping","errOr":1}`, nil},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"u","URI":"v"}}}`, nil},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[1,"u"]}}}`, nil},
		{call(`{"name":"a","n\u0061me":"b"}`), nil},
		{call(`{"name":"a"},"params":{"name":"b"}`), nil},
		{`{"method":"ping","method":"tools/call","params":{"name":"a"}}`, nil},
		{call(`{"NAME":"a"}`), nil},
		{call(`{"name":"a","Name":"b"}`), nil},
		{call(`{"name":"a","Uri":"b"}`), nil},
		{`{"method":"tools/call","Params":{"name":"a"}}`, nil},
		{`{"method":"tools/call","paramſ":{"name":"a"}}`, nil},
		{`{"method":"ping","METHOD":"tools/call","params":{"name":"a"}}`, nil},
		{`{"jſonrpc":"2.0","method":"ping"}`, nil},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","Name":"q"}}}`, nil},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","TYPE":"ref/resource","name":"p"}}}`, nil},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/other","name":"p"}}}`, nil},
		{`{"method":"completion/complete","params":{"ref":"p"}}`, nil},
		{`{"method":"completion/complete","params":{}}`, nil},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourcesubscriptions":["u"]}}}`, nil},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"u"}}}`, nil},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u",1]}}}`, nil},
		{`{"method":"subscriptions/listen","params":{"notifications":[]}}`, nil},
		{call(`{}`), nil},
		{call(`{"name":null}`), nil},
		{call(`{"name":["a"]}`), nil},
		{call(`{"name":""}`), nil},
		{call(`["a"]`), nil},
		{call(`"a"`), nil},
		{call(`null`), nil},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, nil},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"u"}}`, nil},
		{"[" + strings.Repeat(call(`{"name":"a"}`)+",", 999) + call(`{"name":"a"}`) + "]", tool(slices.Repeat([]string{"a"}, 1000)...)},
		{"[" + strings.Repeat(call(`{"name":"a"}`)+",", 1000) + call(`{"name":"a"}`) + "]", nil},
		{"[" + strings.Repeat(`{"method":"ping"},`, 999) + call(`{"name":"a"}`) + "]", tool("a")},
		{"[" + strings.Repeat(`{"method":"ping"},`, 1000) + call(`{"name":"a"}`) + "]", nil},
		{call(`{"name":"` + strings.Repeat("a", 8<<10) + `"}`), tool(strings.Repeat("a", 8<<10))},
		{call(`{"name":"` + strings.Repeat("a", 8<<10+1) + `"}`), nil},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a"` + strings.Repeat(`,"a"`, 1000) + `]}}}`, nil},
		{`{"method":1}`, nil},
		{`{"method":null}`, nil},
		{`[]`, nil},
		{`[[` + call(`{"name":"a"}`) + `]]`, nil},
		{`[1]`, nil},
		{`null`, nil},
		{`"tools/call"`, nil},
		{``, nil},
		{` `, nil},
		{call(`{"name":"a"}`) + call(`{"name":"b"}`), nil},
		{call(`{"name":"a"}`) + `x`, nil},
		{"\ufeff" + call(`{"name":"a"}`), nil},
		{call(`{"name":"\ud800"}`), nil},
		{call("{\"name\":\"a\xff\"}"), nil},
		{call("{\"name\":\"a\",\"arguments\":{\"x\":\"\xff\"}}"), nil},
		{call(`{"name":"a","arguments":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`), nil},
		{call(`{"name":"a","arguments":{"x":01}}`), nil},
		{call(`{"name":"a",}`), nil},
		{call(`{'name':'a'}`), nil},
		{call(`{"name":"a"/**/}`), nil},
	} {
		got := []operation{}
		if err := readOperations(c.body, func(op operation) error { got = append(got, op); return nil }); err != nil {
			if c.want != nil {
				t.Errorf("%.200s: %v", c.body, err)
			}
		} else if c.want == nil {
			t.Errorf("%.200s: accepted, with %v", c.body, got)
		} else if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.200s: %v, want %v", c.body, got, c.want)
		}
	}
}

// TestR64ArgumentsCostNothing shows that what a tool is called with is read over.
func TestR64ArgumentsCostNothing(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":"` + strings.Repeat(`\n`, 1<<20) + `"}}}`
	if got := testing.AllocsPerRun(10, func() {
		if err := readOperations(body, func(operation) error { return nil }); err != nil {
			t.Error(err)
		}
	}); got > 8 {
		t.Errorf("%v allocations", got)
	}
}
