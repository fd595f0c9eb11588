package operation_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// TestR92MessageBounds has bodies at each of the bounds that Rules.MaxBodyBytes documents, and one beyond.
func TestR92MessageBounds(t *testing.T) {
	t.Parallel()
	batch := func(n int, message func(int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = message(i)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	params := func(members, size int) func(int) string {
		return func(int) string {
			var b strings.Builder
			for i := range members {
				fmt.Fprintf(&b, `,"%0*d":1`, size, i)
			}
			return `{"params":{` + b.String()[1:] + `}}`
		}
	}
	lenient := `{"method":"tools/call","params":{"name":"a","arguments":{` + strings.Repeat(`"a":1,`, 20_000) + `"":1}}}`
	calls := func(size int) func(int) string {
		return func(int) string { return call(`{"name":"` + strings.Repeat("a", size) + `"}`) }
	}
	read := func(int) string {
		return `{"method":"resources/read","params":{"uri":"` + strings.Repeat("u", 1<<10) + `"}}`
	}
	listenTo := func(n int) string {
		return `{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["u"` + strings.Repeat(`,"u"`, n-1) + `]}}}`
	}
	empty := func(int) string { return `{}` }
	errVisitor := errors.New("the visitor's own")
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"messages":                      {batch(1000, empty), nil},
		"one message more":              {batch(1001, empty), operation.ErrTooMany},
		"members":                       {batch(64, params(255, 4)), nil},
		"one member more":               {"[" + batch(64, params(255, 4))[1:len(batch(64, params(255, 4)))-1] + `,{"id":1}]`, strictjson.ErrSize},
		"members in one object":         {params(256, 4)(0), nil},
		"one more in one object":        {params(257, 4)(0), strictjson.ErrSize},
		"bytes of members' names":       {params(127, 2<<10)(0), nil},
		"more bytes of members' names":  {params(128, 2<<10)(0), strictjson.ErrSize},
		"arguments count for nothing":   {lenient, nil},
		"a name":                        {calls(8 << 10)(0), nil},
		"a longer name":                 {calls(8<<10 + 1)(0), operation.ErrTooMany},
		"operations":                    {"[" + listenTo(999) + "," + calls(1)(0) + "]", nil},
		"one operation more":            {"[" + listenTo(1000) + "," + calls(1)(0) + "]", operation.ErrTooMany},
		"names in all and one byte":     {batch(33, func(i int) string { return calls([...]int{8 << 10, 1}[i/32])(i) }), operation.ErrTooMany},
		"names in all":                  {batch(32, calls(8<<10)), nil},
		"URIs in all":                   {batch(256, read), nil},
		"more names in all":             {batch(33, calls(8<<10)), operation.ErrTooMany},
		"more URIs in all":              {batch(257, read), operation.ErrTooMany},
		"more unknown methods in all":   {batch(33, func(int) string { return `{"method":"` + strings.Repeat("m", 8<<10) + `"}` }), operation.ErrTooMany},
		"known methods name nothing":    {batch(1000, func(int) string { return `{"method":"ping"}` }), nil},
		"responses and notifications":   {batch(1000, func(i int) string { return [...]string{`{"id":1,"result":{}}`, `{"method":"notifications/x"}`}[i%2] }), nil},
		"more responses":                {batch(1001, func(int) string { return `{"id":1,"result":{}}` }), operation.ErrTooMany},
		"an error of visit is returned": {`{"method":"tools/call","params":{"name":"refuse"}}`, errVisitor},
	} {
		if err := operation.Read(c.body, func(op operation.Operation) error {
			if op.Name == "refuse" {
				return errVisitor
			}
			return nil
		}); err != c.want { //nolint:errorlint // they are never wrapped
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
