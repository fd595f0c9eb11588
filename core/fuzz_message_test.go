package mcpauth

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
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
		var got []operation
		if readOperations(body, func(op operation) error { got = append(got, op); return nil }) != nil {
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
		var want []operation
		for _, message := range batch {
			want = append(want, judgeMessage(t, message)...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", body, got, want)
		}
	})
}

// judgeMessage is the straightforward reading of a message.
func judgeMessage(t *testing.T, message any) []operation {
	members, ok := message.(map[string]any)
	if !ok {
		t.Fatalf("%v was accepted as a message", message)
	}
	object := func(v any) map[string]any { o, _ := v.(map[string]any); return o }
	one := func(kind operationKind, name any) []operation {
		text, ok := name.(string)
		if !ok || text == "" {
			t.Fatalf("%v was accepted though it names nothing", message)
		}
		return []operation{{kind, text}}
	}
	params := object(members["params"])
	switch method, _ := members["method"].(string); method {
	case "tools/call":
		return one(toolCall, params["name"])
	case "prompts/get":
		return one(promptGet, params["name"])
	case "resources/read", "resources/subscribe":
		return one(resourceRead, params["uri"])
	case "completion/complete":
		ref := object(params["ref"])
		if ref["type"] == "ref/prompt" {
			return one(promptGet, ref["name"])
		}
		return one(resourceRead, ref["uri"])
	case "subscriptions/listen":
		uris, _ := object(params["notifications"])["resourceSubscriptions"].([]any)
		ops := []operation{{listening, ""}}
		for _, uri := range uris {
			ops = append(ops, one(resourceRead, uri)...)
		}
		return ops
	default:
		if isHarmless(method) {
			return nil
		}
		return []operation{{unknownMethod, method}}
	}
}

// FuzzResourcePattern checks that no spelling of a URI which a pattern matches leads around it.
func FuzzResourcePattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"files:///secret/{+path}", "files:///secret/a"},
		{"db://*", "db://x/../y"},
		{"a://b/{c}/d", "a://b/%2e%2e/d"},
		{"*", ""},
		{"note://Mine%20/{x}", `note://mine /\..\z`},
		{"files:///secret", "files:///x/../secret?y"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, uri string) {
		if len(pattern) > 256 || len(uri) > 1024 {
			return
		}
		policy, err := NewOperationPolicy(OperationScopes{Resources: map[string][]string{pattern: {"x"}}})
		if err != nil {
			return
		}
		nobody := new(Session)
		if policy.AllowsResource(nobody, uri) { // not matched
			return
		}
		for name, alias := range map[string]string{
			"a query":       withoutQuery(uri) + "?x",
			"a fragment":    withoutQuery(uri) + "#x",
			"another case":  strings.ToUpper(uri),
			"encoded":       encodeAll(uri),
			"a dot segment": strings.Replace(uri, "://", "://./", 1),
			"back and away": strings.Replace(uri, ":///", ":///x/../", 1),
			"nowhere":       strings.Replace(uri, ":///", ":////../", 1),
		} {
			if strings.Contains(uri, "?") || strings.Contains(uri, "#") || strings.Contains(pattern, "?") || strings.Contains(pattern, "#") {
				continue // there a query is part of the name
			}
			if (name == "encoded" || name == "another case") && (strings.Contains(uri, "%") || !isASCII(uri)) {
				continue // decoded once, and Unicode has letters without a way back
			}
			if (name == "a dot segment" || name == "back and away" || name == "nowhere") && hasDotSegment(uri) {
				continue // which leads elsewhere from there
			}
			if policy.AllowsResource(nobody, alias) {
				t.Errorf("%s: pattern %q matches %q, but not %q", name, pattern, uri, alias)
			}
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func encodeAll(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == ':' || c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}
