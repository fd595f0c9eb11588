package operation

import (
	"strconv"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// Rename returns body with other names for some of its operations, which is what name returns for them; "" leaves an
// operation as it is. Everything else in body stays, byte for byte. name is called as [Read] calls its function, and not for
// KindListen and KindUnknown, which have no name. New names have to be printable ASCII.
func Rename(body string, name func(Operation) string) (string, error) {
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
		}
		return nil
	}
	r := reader{strictjson.NewReader(body, strictjson.Limits{Depth: maxDepth, AllMembers: maxMembers, AllNameBytes: maxMemberBytes})}
	if err := r.body(v); err != nil {
		return "", err
	}
	b.WriteString(body[written:])
	return b.String(), r.End()
}
