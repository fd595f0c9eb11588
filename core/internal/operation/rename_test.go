package operation_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// TestRename gives other names to some operations, and leaves everything else.
func TestRename(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, want string }{
		{call(`{"name":"a"}`), call(`{"name":"a"}`)},
		{call(`{"name":"old"}`), call(`{"name":"new&"}`)},
		{call(` { "n\u0061me" : "\u006fld" , "arguments":{"name":"old"}, "uri":"old"}`), call(` { "n\u0061me" : "new&" , "arguments":{"name":"old"}, "uri":"old"}`)},
		{"[" + call(`{"name":"old"}`) + " ," + call(`{"name":"b"}`) + "," + call(`{"name":"old"}`) + "] ", "[" + call(`{"name":"new&"}`) + " ," + call(`{"name":"b"}`) + "," + call(`{"name":"new&"}`) + "] "},
		{`{"method":"old","params":{"name":"old"}}`, `{"method":"old","params":{"name":"old"}}`},
		{`{"params":{"name":"old","ref":{"uri":"old","name":"old","type":"ref/prompt"}},"method":"completion/complete"}`, `{"params":{"name":"old","ref":{"uri":"old","name":"new&","type":"ref/prompt"}},"method":"completion/complete"}`},
		{`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["old","x","old"]}}}`, `{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["new&","x","new&"]}}}`},
	} {
		got, places, err := operation.Rename(c.body, rename)
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.body, got, err, c.want)
		}
		if n := strings.Count(got, "new&"); len(places) != n {
			t.Errorf("%s: %d places for %d names", c.body, len(places), n)
		}
		for _, p := range places {
			if name, end := c.body[p.Start-1:p.End+1], c.body[p.ParamsEnd-1:p.ParamsEnd]+c.body[p.MessageEnd-1:p.MessageEnd]; name != `"old"` && name != `"\u006fld"` || end != "}}" {
				t.Errorf("%s: place %+v, of %s", c.body, p, name)
			}
		}
	}
	for _, body := range []string{"", "{", call(`{"name":"old"}`) + "x", call(`{"name":"old","name":"b"}`)} {
		if got, _, err := operation.Rename(body, rename); err == nil {
			t.Errorf("%s became %s", body, got)
		}
	}
}

func rename(op operation.Operation) string {
	if op.Name == "old" {
		return "new&"
	}
	return ""
}

// FuzzRename renames all operations of a body that can be read. What it asks for then are the new names, of the same kinds and
// with the same arguments; and giving nothing a new name changes nothing.
func FuzzRename(f *testing.F) {
	for _, body := range []string{
		call(`{"name":"a","arguments":{"x":1}}`), "[" + call(`{"name":"a"}`) + "," + call(`{"name":"b"}`) + "]",
		`{"method":"resources/read","params":{"uri":"u"}}`,
		`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u","v"]}}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"}}}`, `{"method":"x"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		same, _, err := operation.Rename(body, func(operation.Operation) string { return "" })
		var want []operation.Operation
		readErr := operation.Read(body, func(op operation.Operation) error {
			if op.Kind != operation.KindListen && op.Kind != operation.KindUnknown {
				op.Name = "new"
			}
			want = append(want, op)
			return nil
		})
		if (err == nil) != (readErr == nil) || err == nil && same != body {
			t.Fatalf("%q became %q, %v; Read says %v", body, same, err, readErr)
		}
		if err != nil {
			return
		}
		renamed, _, err := operation.Rename(body, func(operation.Operation) string { return "new" })
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		var got []operation.Operation
		if err := operation.Read(renamed, func(op operation.Operation) error { got = append(got, op); return nil }); err != nil {
			t.Fatalf("%q became %q: %v", body, renamed, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q became %q, which asks for\n%v, want\n%v", body, renamed, got, want)
		}
		if strings.Count(renamed, `"`) != strings.Count(body, `"`) && !strings.Contains(body, `\`) {
			t.Fatalf("%q became %q", body, renamed)
		}
	})
}
