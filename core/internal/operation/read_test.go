package operation_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// read returns the operations of a body.
func read(body string) (ops []operation.Operation, err error) {
	err = operation.Read(body, func(op operation.Operation) error {
		op.Arguments = "" // see TestReadArguments
		ops = append(ops, op)
		return nil
	})
	return ops, err
}

func tool(names ...string) []operation.Operation      { return named(operation.KindTool, names) }
func prompt(names ...string) []operation.Operation    { return named(operation.KindPrompt, names) }
func resource(uris ...string) []operation.Operation   { return named(operation.KindResource, uris) }
func unknown(methods ...string) []operation.Operation { return named(operation.KindUnknown, methods) }

func listen(uris ...string) []operation.Operation {
	return append([]operation.Operation{{Kind: operation.KindListen}}, resource(uris...)...)
}

func named(kind operation.Kind, names []string) (ops []operation.Operation) {
	for _, name := range names {
		ops = append(ops, operation.Operation{Kind: kind, Name: name})
	}
	return ops
}

// call is a call of a tool with these parameters.
func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

// TestR64ReadOperations has bodies that can be read in one way only, and what they ask for.
func TestR64ReadOperations(t *testing.T) {
	t.Parallel()
	var none []operation.Operation
	for _, c := range []struct {
		body string
		want []operation.Operation
	}{
		{call(`{"name":"a"}`), tool("a")},
		{`{"params":{"name":"a"},"method":"tools/call"}`, tool("a")},
		{call(`{"n\u0061me":"\u0061"}`), tool("a")},
		{call(`{"_meta":{"name":"b","name":"c"},"arguments":{"Name":"b","name":"c","params":{}},"name":"a"}`), tool("a")},
		{"[" + call(`{"name":"a"}`) + "," + call(`{"name":"b"}`) + "]", tool("a", "b")},
		{`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p","uri":"u"}}`, prompt("p")},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"p","uri":"u"}}`, resource("u")},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"u"}}`, resource("u")},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"u"}}`, none},
		{`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","uri":"u"}}}`, prompt("p")},
		{`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"p","uri":"u"}}}`, resource("u")},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["u","v"]}}}`, listen("u", "v")},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":null}}}`, listen()},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":null}}`, listen()},
		{`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`, listen()},
		{`{"jsonrpc":"2.0","id":1,"method":"custom/run","params":[1]}`, unknown("custom/run")},
		{`{"jsonrpc":"2.0","id":1,"method":"TOOLS/CALL","params":{"name":"a"}}`, unknown("TOOLS/CALL")},
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"x","NAME":"y"}}}`, none},
		{`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, none},
		{`{"jsonrpc":"2.0","method":"notifications/tasks/status"}`, none},
		{`{"jsonrpc":"2.0","method":"notifications/whatever"}`, unknown("notifications/whatever")}, // which MCP does not have
		{`{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","x":1,"x":2}}`, none},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, none},
		{call(`{"name":"a","arguments":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`), tool("a")},
		{call(`{"name":"a","arguments":{"\ud83d":"cut \ud83d","\udc00\ud800":1}}`), tool("a")},
		{call(`{"name":"a","arguments":[` + strings.Repeat("[1],", 600) + `1]}`), tool("a")},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"name":"x"}}`, prompt("p")},
		{`{"jsonrpc":"2.0","method":"notificationsx"}`, unknown("notificationsx")},
		{"[" + strings.Repeat(call(`{"name":"a"}`)+",", 999) + call(`{"name":"a"}`) + "]", tool(slices.Repeat([]string{"a"}, 1000)...)},
		{"[" + strings.Repeat(`{"method":"ping"},`, 999) + call(`{"name":"a"}`) + "]", tool("a")},
		{call(`{"name":"` + strings.Repeat("a", 8<<10) + `"}`), tool(strings.Repeat("a", 8<<10))},
		{`{"method":"subscriptions/listen"}`, listen()},
		{`{"method":"subscriptions/listen","params":[]}`, listen()},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[]},"name":1}}`, listen()},
		{`{"method":"prompts/get","params":{"uri":["u"],"name":"p"}}`, prompt("p")},
		{`[{"id":1,"error":{}},{"method":"ping"}]`, none},
		{`[ {"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u"]}}} , ` + call(`{"name":"a"}`) + ` ] `, append(listen("u"), tool("a")...)},
		{`{"method":"tasks/result","params":{"taskId":"t"}}`, none},
		{`{"method":"tasks/other","params":{"taskId":"t"}}`, unknown("tasks/other")},
		{`{"method":" tools/call","params":{"name":"a"}}`, unknown(" tools/call")},
	} {
		if got, err := read(c.body); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%.200s: %v, %v, want %v", c.body, got, err, c.want)
		}
	}
}

// TestR64ReadErrors has bodies that ask for nothing that can be named, or that two servers could read in two ways.
func TestR64ReadErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		want error
	}{
		{call(`{"name":"a","name":"b"}`), strictjson.ErrDuplicate},
		{call(`{"name":"a","REF":{}}`), operation.ErrLookalike},
		{call(`{"name":"a","Notifications":{}}`), operation.ErrLookalike},
		{`{"method":"ping","ID":1}`, operation.ErrLookalike},
		{`{"method":"ping","Result":1}`, operation.ErrLookalike},
		{`{"method":"ping","errOr":1}`, operation.ErrLookalike},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"u","URI":"v"}}}`, operation.ErrLookalike},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[1,"u"]}}}`, operation.ErrNoName},
		{call(`{"name":"a","n\u0061me":"b"}`), strictjson.ErrDuplicate},
		{call(`{"name":"a"},"params":{"name":"b"}`), strictjson.ErrDuplicate},
		{`{"method":"ping","method":"tools/call","params":{"name":"a"}}`, strictjson.ErrDuplicate},
		{call(`{"NAME":"a"}`), operation.ErrLookalike},
		{call(`{"name":"a","Name":"b"}`), operation.ErrLookalike},
		{call(`{"name":"a","Uri":"b"}`), operation.ErrLookalike},
		{`{"method":"tools/call","Params":{"name":"a"}}`, operation.ErrLookalike},
		{`{"method":"tools/call","paramſ":{"name":"a"}}`, operation.ErrLookalike},
		{`{"method":"ping","METHOD":"tools/call","params":{"name":"a"}}`, operation.ErrLookalike},
		{`{"jſonrpc":"2.0","method":"ping"}`, operation.ErrLookalike},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","Name":"q"}}}`, operation.ErrLookalike},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","TYPE":"ref/resource","name":"p"}}}`, operation.ErrLookalike},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/other","name":"p"}}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{"ref":"p"}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourcesubscriptions":["u"]}}}`, operation.ErrLookalike},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"u"}}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u",1]}}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":[]}}`, operation.ErrNoName},
		{call(`{}`), operation.ErrNoName},
		{call(`{"name":null}`), operation.ErrNoName},
		{call(`{"name":["a"]}`), operation.ErrNoName},
		{call(`{"name":""}`), operation.ErrNoName},
		{call(`["a"]`), operation.ErrNoName},
		{call(`"a"`), operation.ErrNoName},
		{call(`null`), operation.ErrNoName},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, operation.ErrNoName},
		{`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"u"}}`, operation.ErrNoName},
		{"[" + strings.Repeat(call(`{"name":"a"}`)+",", 1000) + call(`{"name":"a"}`) + "]", operation.ErrTooMany},
		{"[" + strings.Repeat(`{"method":"ping"},`, 1000) + call(`{"name":"a"}`) + "]", operation.ErrTooMany},
		{call(`{"name":"` + strings.Repeat("a", 8<<10+1) + `"}`), operation.ErrTooMany},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a"` + strings.Repeat(`,"a"`, 1000) + `]}}}`, operation.ErrTooMany},
		{`{"method":1}`, strictjson.ErrType},
		{`{"method":null}`, strictjson.ErrType},
		{`[]`, operation.ErrEmptyBatch},
		{`[[` + call(`{"name":"a"}`) + `]]`, strictjson.ErrType},
		{`[1]`, strictjson.ErrType},
		{`null`, strictjson.ErrType},
		{`"tools/call"`, strictjson.ErrType},
		{``, strictjson.ErrType},
		{` `, strictjson.ErrType},
		{call(`{"name":"a"}`) + call(`{"name":"b"}`), strictjson.ErrSyntax},
		{call(`{"name":"a"}`) + `x`, strictjson.ErrSyntax},
		{"\ufeff" + call(`{"name":"a"}`), strictjson.ErrType},
		{call(`{"name":"\ud800"}`), strictjson.ErrUTF8},
		{call("{\"name\":\"a\xff\"}"), strictjson.ErrUTF8},
		{call("{\"name\":\"a\",\"arguments\":{\"x\":\"\xff\"}}"), strictjson.ErrUTF8},
		{call(`{"name":"a","arguments":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`), strictjson.ErrDepth},
		{call(`{"name":"a","arguments":{"x":01}}`), strictjson.ErrSyntax},
		{call(`{"name":"a",}`), strictjson.ErrSyntax},
		{call(`{'name':'a'}`), strictjson.ErrSyntax},
		{call(`{"name":"a"/**/}`), strictjson.ErrSyntax},
		{`{"method":"prompts/get","params":{"uri":"p"}}`, operation.ErrNoName},
		{`{"method":"resources/subscribe","params":{"uri":{}}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{"ref":null}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{"ref":{"type":["ref/prompt"],"name":"p"}}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"p"}}}`, operation.ErrNoName},
		{`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","uri":"u"}}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u",""]}}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u"],"resourceSubscriptions":["v"]}}}`, strictjson.ErrDuplicate},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":{}}}}`, operation.ErrNoName},
		{`{"method":"subscriptions/listen","params":{"notifications":"u"}}`, operation.ErrNoName},
		{`[{"method":"ping"},[]]`, strictjson.ErrType},
		{`[{"method":"ping"},]`, strictjson.ErrType},
	} {
		if got, err := read(c.body); err != c.want { //nolint:errorlint // they are never wrapped
			t.Errorf("%.200s: %v, %v, want %v", c.body, got, err, c.want)
		}
	}
}

// TestR64ArgumentsCostNothing calls a tool with arguments of 2 MiB, and counts what reading them allocates.
func TestR64ArgumentsCostNothing(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":"` + strings.Repeat(`\n`, 1<<20) + `"}}}`
	if got := testing.AllocsPerRun(10, func() {
		if err := operation.Read(body, func(operation.Operation) error { return nil }); err != nil {
			t.Error(err)
		}
	}); got > 8 {
		t.Errorf("%v allocations", got)
	}
}
