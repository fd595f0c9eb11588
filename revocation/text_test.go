package mcpauthrevocation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestEntriesAsText has few, many and large entries: the texts are short, and have all entries in order.
func TestEntriesAsText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 10, 0, 0, 123456789, time.UTC)
	for name, c := range map[string]struct {
		entries int
		id      string
		texts   int
	}{
		"none": {0, "", 0}, "one": {1, "x", 1}, "many": {40_000, "usr_", 70}, "large": {100, strings.Repeat("<", 2000), 20},
	} {
		var entries []mcpauthrevocation.Entry
		for i := range c.entries {
			e := mcpauthrevocation.Member(c.id+fmt.Sprint(i), "org_1")
			e.At, e.EventID = at, "evt_1"
			entries = append(entries, e)
		}
		texts, err := mcpauthrevocation.MarshalEntries(entries)
		if err != nil || len(texts) < c.texts || len(texts) > c.texts*2 {
			t.Errorf("%s: %d texts, %v", name, len(texts), err)
		}
		var read []mcpauthrevocation.Entry
		for _, text := range texts {
			some, err := mcpauthrevocation.UnmarshalEntries(text)
			if len(text) > 64<<10 || err != nil {
				t.Errorf("%s: a text of %d bytes, %v", name, len(text), err)
			}
			read = append(read, some...)
		}
		if !slices.Equal(read, entries) {
			t.Errorf("%s: other entries came back", name)
		}
	}
}

// TestEntriesOfAnotherVersion has texts in which something can't be read: the rest counts, and the error says so.
func TestEntriesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	const good = `{"kind":"session","id":"%s","at":"2026-01-01T00:00:00Z"}`
	one, two := fmt.Sprintf(good, "ses_1"), fmt.Sprintf(good, "ses_2")
	for text, want := range map[string]struct {
		ids string
		err bool
	}{
		"[" + one + "," + two + "]":                                {"ses_1 ses_2", false},
		"[" + one + `,{"kind":"session","id":5},` + two + "]":      {"ses_1 ses_2", true},
		"[" + one + `,{"kind":"session","at":"soon"},` + two + "]": {"ses_1 ses_2", true},
		"[" + one + `,{},` + two + "]":                             {"ses_1  ses_2", false}, // the same
		"[" + strings.Replace(one, "{", `{"until":[1],`, 1) + "]":  {"ses_1", false},
		`[{"kind":"device","id":"x","at":"2026-01-01T00:00:00Z"}]`: {"x", false}, // the list refuses the kind
		"[" + one + "," + two:                                      {"", true},
		`{"kind":"session","id":"ses_1"}`:                          {"", true},
		"":                                                         {"", true},
		"[]":                                                       {"", false},
	} {
		entries, err := mcpauthrevocation.UnmarshalEntries([]byte(text))
		var ids []string
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
		if strings.Join(ids, " ") != want.ids || (err != nil) != want.err {
			t.Errorf("%s: %q, %v", text, ids, err)
		}
	}
}
