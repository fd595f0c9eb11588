package strictjson_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// TestRepeatedNames has documents of nested objects with up to 60 members, one of which is repeated or has the name of a member
// of another object. Only the former is refused.
func TestRepeatedNames(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		depth := 1 + random.IntN(4)
		repeating, other := random.IntN(depth), random.IntN(depth)
		var b strings.Builder
		for level := range depth {
			members := 1 + random.IntN(60)
			fmt.Fprintf(&b, `{"in":`)
			for i := range members {
				fmt.Fprintf(&b, `0,"m%d_%d":`, level, i)
			}
		}
		b.WriteString("0")
		for level := depth - 1; level >= 0; level-- {
			if level == repeating {
				fmt.Fprintf(&b, `,"m%d_0":0`, other)
			}
			b.WriteString("}")
		}
		var want error
		if repeating == other {
			want = strictjson.ErrDuplicate
		}
		if err := read(b.String(), strictjson.Limits{}, (*strictjson.Reader).Skip); !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", b.String(), err, want)
		}
	}
}

// TestReadingOnTheStack checks that a reader of a few members costs its caller no allocation.
func TestReadingOnTheStack(t *testing.T) { //nolint:paralleltest // allocations are counted for the whole process
	document := object(24)
	if n := testing.AllocsPerRun(100, func() {
		r := strictjson.NewReader(document, strictjson.Limits{})
		if err := r.Object(func(string) error { return r.Skip() }); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
