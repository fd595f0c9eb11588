package operation

import (
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// A Place is where the name of an operation stands in a body: its text as it was sent, within the quotes. ParamsEnd and
// MessageEnd are where the parameters of its message end, and the message itself.
type Place struct{ Start, End, ParamsEnd, MessageEnd int }

// Rename returns body with other names for some of its operations, which is what name returns for them; "" leaves an
// operation as it is. Everything else in body stays, byte for byte. places are those of the names that were replaced, in
// body. name is called as [Read] calls its function, and not for KindListen and KindUnknown, which have no name. New names
// have to be printable ASCII.
func Rename(body string, name func(Operation) string) (renamed string, places []Place, err error) {
	var b strings.Builder
	written := 0
	v := new(visitor)
	v.visit = func(op Operation) error {
		if op.Kind == KindListen || op.Kind == KindUnknown {
			return nil
		}
		if renamed := name(op); renamed != "" {
			b.WriteString(body[written:v.name.start])
			b.WriteString(strconv.Quote(renamed))
			written = v.name.end
			places = append(places, Place{v.name.start + 1, v.name.end - 1, v.paramsEnd, v.messageEnd})
		}
		return nil
	}
	r := reader{strictjson.NewReader(body, limits)}
	if err := r.body(v); err != nil {
		return "", nil, err
	}
	b.WriteString(body[written:])
	return b.String(), places, r.End()
}
