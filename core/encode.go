package mcpauth

import (
	"bytes"
	"encoding/json"
)

// A member is one of a JSON object.
type member struct {
	name  string
	value any
}

// hasValue reports whether m says anything (RFC 9728 §2).
func (m member) hasValue() bool {
	switch value := m.value.(type) {
	case string:
		return value != ""
	case []string:
		return len(value) > 0
	}
	return true
}

// encodeObject encodes a JSON object of those members that have a value, in their order.
func encodeObject(members []member) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, m := range members {
		if !m.hasValue() {
			continue
		}
		if b.Len() > len("{") {
			b.WriteByte(',')
		}
		b.Write(encodeJSON(m.name))
		b.WriteByte(':')
		b.Write(encodeJSON(m.value))
	}
	b.WriteByte('}')
	return bytes.Clone(b.Bytes())
}

// encodeJSON encodes v, which is known to be encodable, without escaping the & of URLs.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("mcpauth: " + err.Error()) // unreachable: only our own values and checked metadata come here
	}
	return bytes.TrimSpace(b.Bytes())
}
