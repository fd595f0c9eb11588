package keys

import (
	"fmt"
	"strings"
	"testing"
)

func TestR55KeySizes(t *testing.T) {
	t.Parallel()
	n := func(bytes int) string { return strings.Repeat("_", (bytes*8+5)/6) } // all bits are 1
	for bits, want := range map[int]bool{1536: false, 2048: true, 3072: true, 16384: false} {
		_, key := usableKey(`{"kty":"RSA","kid":"a","e":"AQAB","n":"` + n(bits/8) + `"}`)
		if (key != nil) != want {
			t.Errorf("%d bits: %v", bits, key != nil)
		}
	}
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `{"kty":"RSA","kid":"%d","e":"AQAB","n":"%s"},`, i, n(256))
	}
	keys, err := decodeKeySet(`{"keys":[` + strings.TrimSuffix(b.String(), ",") + `]}`)
	if len(keys) != maxKeys || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
