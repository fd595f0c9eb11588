package mcpauth

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// TestR92MessageBounds has bodies at each of the bounds that OperationScopes.MaxBodyBytes names, and one beyond.
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
	call := func(size int) func(int) string {
		return func(int) string {
			return `{"method":"tools/call","params":{"name":"` + strings.Repeat("a", size) + `"}}`
		}
	}
	read := func(int) string {
		return `{"method":"resources/read","params":{"uri":"` + strings.Repeat("u", 1<<10) + `"}}`
	}
	empty := func(int) string { return `{}` }
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"messages":                       {batch(1000, empty), nil},
		"one message more":               {batch(1001, empty), errTooMany},
		"members":                        {batch(64, params(255, 4)), nil},
		"one member more":                {"[" + batch(64, params(255, 4))[1:len(batch(64, params(255, 4)))-1] + `,{"id":1}]`, strictjson.ErrSize},
		"members in one object":          {params(256, 4)(0), nil},
		"one more in one object":         {params(257, 4)(0), strictjson.ErrSize},
		"bytes of members' names":        {params(127, 2<<10)(0), nil},
		"more bytes of members' names":   {params(128, 2<<10)(0), strictjson.ErrSize},
		"what a tool gets is not bound":  {lenient, nil},
		"a name":                         {call(8 << 10)(0), nil},
		"a longer name":                  {call(8<<10 + 1)(0), errTooMany},
		"names in all":                   {batch(32, call(8<<10)), nil},
		"URIs in all":                    {batch(256, read), nil},
		"more names in all":              {batch(33, call(8<<10)), errTooMany},
		"more URIs in all":               {batch(257, read), errTooMany},
		"more unknown methods in all":    {batch(33, func(int) string { return `{"method":"` + strings.Repeat("m", 8<<10) + `"}` }), errTooMany},
		"known methods name nothing":     {batch(1000, func(int) string { return `{"method":"ping"}` }), nil},
		"responses and notifications":    {batch(1000, func(i int) string { return [...]string{`{"id":1,"result":{}}`, `{"method":"notifications/x"}`}[i%2] }), nil},
		"more responses":                 {batch(1001, func(int) string { return `{"id":1,"result":{}}` }), errTooMany},
		"errors of the visitor are told": {`{"method":"tools/call","params":{"name":"refuse"}}`, errComparisons},
	} {
		if err := readOperations(c.body, func(op operation) error {
			if op.name == "refuse" {
				return errComparisons
			}
			return nil
		}); err != c.want { //nolint:errorlint // they are never wrapped
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestR92ComparisonsAreBounded counts the work that URIs and patterns make together, and sees it end at its bound.
func TestR92ComparisonsAreBounded(t *testing.T) {
	t.Parallel()
	policies := make(map[string]*OperationPolicy)
	for _, pattern := range []string{"files:///n%d/x", "files:///n%d/{x}", "files:///{x}/n%d", "files:///{x}/needle%d/{y}", "files:///{a}b{b}c{c}d{d}/%d"} {
		resources := make(map[string][]string)
		for i := range 1000 {
			resources[fmt.Sprintf(pattern, i)] = []string{strconv.Itoa(i)}
		}
		policy, err := NewOperationPolicy(OperationScopes{Resources: resources})
		if err != nil {
			t.Fatal(err)
		}
		policies[pattern] = policy
	}
	for pattern, policy := range policies {
		for _, c := range []struct {
			uri  string
			pass int // so many of them at least
		}{
			{"files:///n1/x", 125},
			{"files:///n1/x?y", 60},
			{"files:///" + strings.Repeat("x", 1000), 1},
			{"files:///" + strings.Repeat("needl/", 1360) + "?", 0},
			{"files:///" + strings.Repeat("b", 8000), 0},
		} {
			n := needed{policy: policy, comparisons: maxComparisons}
			passed := 0
			for n.add(operation{resourceRead, c.uri}) == nil && passed < 1000 {
				passed++
			}
			// Of one rule, the last, the work is known only when it is done.
			if most := 2 * uriForms * (2 + len(c.uri)); n.comparisons < -most {
				t.Errorf("%s with %.20s...: %d comparisons beyond the bound, more than the %d of one rule", pattern, c.uri, -n.comparisons, most)
			}
			if searched := strings.Contains(pattern, "needle"); searched && len(c.uri) > 8000 && passed > 0 {
				t.Errorf("%s with %.20s...: %d pass, each of which is searched 8,000 times", pattern, c.uri, passed)
			}
			if passed < c.pass || passed > maxComparisons/(uriForms*1000) {
				t.Errorf("%s with %.20s...: %d pass, want at least %d", pattern, c.uri, passed, c.pass)
			}
		}
	}
}

// TestR92ScopesAreAddedOnce asks a thousand times for what needs a thousand scopes, and in vain looks for a copy of them.
func TestR92ScopesAreAddedOnce(t *testing.T) {
	resources := map[string][]string{"all://*": nil}
	for i := range 1000 {
		resources["a://"+strconv.Itoa(i)] = []string{"s" + strconv.Itoa(i)}
		resources["all://*"] = append(resources["all://*"], "s"+strconv.Itoa(i))
	}
	policy, err := NewOperationPolicy(OperationScopes{Resources: resources, Tools: map[string][]string{"t": {"s1", "other"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"all://x", "a://../x"} {
		if got := testing.AllocsPerRun(1, func() {
			n := needed{policy: policy, comparisons: math.MaxInt}
			for range 100 {
				if err := n.add(operation{resourceRead, uri}); err != nil {
					t.Error(err)
				}
			}
			if len(n.scopes) != 1000 || n.added != nil {
				t.Errorf("%s: %d scopes, compared=%v", uri, len(n.scopes), n.added != nil)
			}
		}); got > 1000 {
			t.Errorf("%s: %v allocations", uri, got)
		}
	}
	n := needed{policy: policy, comparisons: math.MaxInt}
	for _, op := range []operation{{toolCall, "t"}, {resourceRead, "a://5"}, {resourceRead, "all://x"}, {toolCall, "t"}, {resourceRead, "a://../"}} {
		if err := n.add(op); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(n.scopes[:4], " "); len(n.scopes) != 1001 || got != "s1 other s5 s0" || !n.unlisted {
		t.Errorf("%d scopes, first %q, unlisted=%v", len(n.scopes), got, n.unlisted)
	}
}

// TestR92DotSegments compares isDotted, which reads a URI once, with what a dot segment is by definition.
func TestR92DotSegments(t *testing.T) {
	t.Parallel()
	byDefinition := func(s string) bool {
		for range 3 {
			for segment := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(`/\?#;:`, r) }) {
				if strings.Trim(fold(segment), ". ") == "" && strings.Contains(segment, ".") {
					return true
				}
			}
			s = percentDecode(s)
		}
		return false
	}
	pieces := []string{"/", ".", " ", "\t", "\x01", "a", "%2e", "%25", "%", "2e", ";", `\`, "ſ", "\u00a0", "\xff"}
	var try func(s string, more int)
	try = func(s string, more int) {
		if got := hasDotSegment(s); got != byDefinition(s) {
			t.Errorf("%q: %v", s, got)
		}
		if more > 0 {
			for _, piece := range pieces {
				try(s+piece, more-1)
			}
		}
	}
	try("", 4)
	try("a:/.", 4)
	try("%252", 3)
}
