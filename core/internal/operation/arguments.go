package operation

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

var errNoObject = errors.New("arguments that are not an object")

// Arguments decodes the arguments of an operation, nil for null. Numbers are json.Number.
//
// It accepts only what every JSON reader understands alike. On every level, repeated members are an error, and so are
// members whose names differ only in case, because some readers take both for the same.
func Arguments(text string) (map[string]any, error) {
	r := argumentsReader{strictjson.NewReader(text, strictjson.Limits{Depth: maxDepth, AllMembers: maxMembers, AllNameBytes: maxMemberBytes})}
	if kind := r.Peek(); kind != strictjson.KindObject && kind != strictjson.KindNull {
		return nil, errNoObject
	}
	if err := r.value(); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var values map[string]any
	err := decoder.Decode(&values)
	return values, err
}

type argumentsReader struct{ *strictjson.Reader }

// value reads a value of any type.
func (r argumentsReader) value() error {
	switch r.Peek() {
	case strictjson.KindObject:
		folded := make(map[string]bool)
		return r.Object(func(name string) error {
			name = strings.ToLower(strings.ToUpper(name)) // in this order ſ and s are the same
			if folded[name] {
				return ErrLookalike
			}
			folded[name] = true
			return r.value()
		})
	case strictjson.KindArray:
		return r.Array(r.value)
	}
	return r.Skip()
}
