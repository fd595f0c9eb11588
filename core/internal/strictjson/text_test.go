package strictjson_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// TestTextAndRaw reads strings, lists of them, and the text of values.
func TestTextAndRaw(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`""`: "", `"a"`: "a", `"ä😀"`: "ä😀", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"x\u00e9\uD83D\uDE00y"`: "xé😀y", `"\u0000"`: "\x00",
	} {
		r := strictjson.NewReader(document, strictjson.Limits{})
		if got, err := r.Text(); got != want || err != nil || r.End() != nil {
			t.Errorf("%s: %q, %v", document, got, err)
		}
	}
	for _, document := range []string{`"\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"\ude00\ud83d"`, "\"\xff\"", "\"\\n\xff\""} {
		if got, err := strictjson.NewReader(document, strictjson.Limits{}).Text(); !errors.Is(err, strictjson.ErrUTF8) || got != "" {
			t.Errorf("%s: %q, %v", document, got, err)
		}
	}
	for document, want := range map[string][]string{`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: nil} {
		r := strictjson.NewReader(document, strictjson.Limits{})
		if got, err := r.Texts(); !slices.Equal(got, want) || err != nil || r.End() != nil {
			t.Errorf("%s: %q, %v", document, got, err)
		}
	}
	for _, document := range []string{`1`, `null`, `[1]`, `["a",null]`, `{}`} {
		if _, err := strictjson.NewReader(document, strictjson.Limits{}).Texts(); !errors.Is(err, strictjson.ErrType) {
			t.Errorf("%s: %v", document, err)
		}
	}
	const value = `{"a":1, "a": [ ] }`
	r := strictjson.NewReader(" "+value+" ", strictjson.Limits{})
	if got, err := r.Raw(); got != value || err != nil || r.End() != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestPlainText has each byte at each of several places of a string. A reader looks at eight bytes at a time.
func TestPlainText(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for place := range 36 {
			before, behind := strings.Repeat("x", place/2), strings.Repeat("b", 1+place%2*8) // less than eight bytes, and more
			document := `"` + before + string([]byte{byte(c)}) + behind + `"`
			want, end, wantErr := document[1:len(document)-1], len(document), error(nil)
			switch {
			case c == '"':
				want, end = before, len(before)+2
			case c == '\\':
				want = before + "\b" + behind[1:]
			case c < ' ':
				wantErr = strictjson.ErrSyntax
			case c >= 0x80:
				wantErr = strictjson.ErrUTF8
			}
			r, skipping := strictjson.NewReader(document, strictjson.Limits{}), strictjson.NewReader(document, strictjson.Limits{})
			got, err := r.Text()
			if skipped := skipping.Skip(); !errors.Is(err, wantErr) || !errors.Is(skipped, wantErr) {
				t.Fatalf("%q: %v, and skipped: %v; want %v", document, err, skipped, wantErr)
			}
			if wantErr == nil && (got != want || r.Offset() != end || skipping.Offset() != end) {
				t.Fatalf("%q: %q, up to %d, and skipped up to %d", document, got, r.Offset(), skipping.Offset())
			}
		}
	}
}

// FuzzText compares strings with those that encoding/json reads: they are equal, or refused because encoding/json would
// replace a part of them.
func FuzzText(f *testing.F) {
	for _, seed := range []string{`"a"`, `"\u00e9\ud83d\ude00"`, `"abcdefgh\"ijklmnop\\"`, "\"\x1f\"", "\"abcdefg\xff\"", `"\ud83d"`, `"\ud83d\ud83d\ude00"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		r := strictjson.NewReader(document, strictjson.Limits{})
		got, err := r.Text()
		if err == nil {
			err = r.End()
		}
		var want string
		valid := json.Unmarshal([]byte(document), &want) == nil && strings.HasPrefix(strings.TrimLeft(document, " \t\r\n"), `"`)
		switch {
		case err == nil && (!valid || got != want):
			t.Errorf("%q is read as %q; encoding/json says %q, %v", document, got, want, valid)
		case valid && err != nil && (!errors.Is(err, strictjson.ErrUTF8) || !strings.ContainsRune(want, '\uFFFD')):
			t.Errorf("%q is refused: %v", document, err)
		}
		loose := strictjson.NewReader(document, strictjson.Limits{})
		if skimmed := loose.Skim(); err == nil && (skimmed != nil || loose.Offset() > len(document) || loose.End() != nil) {
			t.Errorf("%q is read, and skimmed with %v", document, skimmed)
		}
	})
}
