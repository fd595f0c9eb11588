package mcpauth_test

import "unsafe"

// An aliased string shares its bytes with a buffer, as fiber's header values do.
type aliased struct {
	s string
	b []byte
}

func alias(s string) aliased {
	b := []byte(s)
	return aliased{unsafe.String(unsafe.SliceData(b), len(b)), b}
}
