package mcpauth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a text that neither printing nor logging shows: fmt, log/slog and encoding/json write [redacted], or nothing
// when there is none. The zero value holds none.
//
// It holds a pointer, because fmt calls no methods of unexported fields of other structs; there it prints an address. For
// the same reason compare two secrets by what [Secret.Reveal] returns, and not by ==.
type Secret struct{ text *string }

// NewSecret returns a secret that holds text. That of "" is the zero value.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text, "" when there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns [redacted], or "" when there is no secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return redacted
}

// Format writes what String returns, for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String does. encoding/json uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText makes s hold text, so that a Config can be read from a file.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// LogValue gives a logger what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// marshalAttrs returns attributes as an object of JSON.
func marshalAttrs(attrs []slog.Attr) ([]byte, error) {
	members := make(map[string]any)
	for _, a := range attrs {
		members[a.Key] = a.Value.Any()
	}
	return json.Marshal(members)
}
