package operation_test

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// FuzzMessage checks that the operations of an accepted body are those that encoding/json finds in it by exact names. The
// differential test asks MCP servers the same.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":1,"name":2}}}`,
		`[{"method":"prompts/get","params":{"n\u0061me":"\ud83d\ude00"}},{"id":1,"result":{}}]`,
		`{"method":"resources/read","params":{"uri":"a://b","_meta":{"progressToken":1}}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"x","value":"y"}}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"a://{b}"}}}`,
		`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a://b",""]}}}`,
		`{"method":"notifications/x","paramſ":{"name":"a"}}`, `{"method":"tools/call","params":{"NAME":"a"}}`, `[]`, `{}`, ` [ { } ] `, `{"method":"x"} {"method":"y"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := read(body)
		if err != nil {
			return
		}
		if !utf8.ValidString(body) {
			t.Fatalf("%q is not UTF-8", body)
		}
		var document any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", body, err)
		}
		batch, ok := document.([]any)
		if !ok {
			batch = []any{document}
		}
		var want []operation.Operation
		for _, message := range batch {
			want = append(want, judgeMessage(t, message)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", body, got, want)
		}
	})
}

// asksForNothing lists the methods of MCP that are not operations.
var asksForNothing = []string{
	"initialize", "ping", "server/discover", "logging/setLevel", "resources/unsubscribe", "tools/list", "prompts/list", "resources/list",
	"resources/templates/list", "tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update",
	"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed",
	"notifications/message", "notifications/tools/list_changed", "notifications/prompts/list_changed",
	"notifications/resources/list_changed", "notifications/resources/updated", "notifications/subscriptions/acknowledged",
	"notifications/tasks/status", "notifications/elicitation/complete",
}

// judgeMessage is the straightforward reading of a message.
func judgeMessage(t *testing.T, message any) []operation.Operation {
	members, ok := message.(map[string]any)
	if !ok {
		t.Fatalf("%v was accepted as a message", message)
	}
	object := func(v any) map[string]any { o, _ := v.(map[string]any); return o }
	one := func(kind operation.Kind, name any) []operation.Operation {
		text, ok := name.(string)
		if !ok || text == "" {
			t.Fatalf("%v was accepted though it names nothing", message)
		}
		return []operation.Operation{{Kind: kind, Name: text}}
	}
	params := object(members["params"])
	switch method, _ := members["method"].(string); method {
	case "tools/call":
		return one(operation.KindTool, params["name"])
	case "prompts/get":
		return one(operation.KindPrompt, params["name"])
	case "resources/read", "resources/subscribe":
		return one(operation.KindResource, params["uri"])
	case "completion/complete":
		ref := object(params["ref"])
		if ref["type"] == "ref/prompt" {
			return one(operation.KindPrompt, ref["name"])
		}
		return one(operation.KindResource, ref["uri"])
	case "subscriptions/listen":
		uris, _ := object(params["notifications"])["resourceSubscriptions"].([]any)
		ops := listen()
		for _, uri := range uris {
			ops = append(ops, one(operation.KindResource, uri)...)
		}
		return ops
	default:
		if method == "" || slices.Contains(asksForNothing, method) {
			return nil
		}
		return one(operation.KindUnknown, method)
	}
}
