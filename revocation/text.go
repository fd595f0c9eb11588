package mcpauthrevocation

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxText is how long a text of entries may be, unless a single entry is longer.
const maxText = 64 << 10

// MarshalEntries returns entries as texts of JSON, in order, for a [Store] that keeps text. A text has at most 64 KiB, however
// many entries there are, so that each can be read in one piece.
func MarshalEntries(entries []Entry) (texts [][]byte, err error) {
	var text []byte
	for i := range entries {
		one, err := json.Marshal(&entries[i])
		if err != nil {
			return nil, err
		}
		if len(text) > 0 && len(text)+len(one) > maxText-2 {
			texts = append(texts, append(text, ']'))
			text = nil
		}
		separator := byte(',')
		if len(text) == 0 {
			separator = '['
		}
		text = append(append(text, separator), one...)
	}
	if len(text) > 0 {
		texts = append(texts, append(text, ']'))
	}
	return texts, nil
}

// UnmarshalEntries returns the entries of a text of [MarshalEntries]. It returns all that can be read, and an error about the
// others: those of another version must not take their neighbours with them. What the entries say is checked by the list.
func UnmarshalEntries(text []byte) (entries []Entry, err error) {
	if json.Unmarshal(text, &entries) == nil {
		return entries, nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	var errs []error
	entries = nil
	for i, one := range all {
		var e Entry
		if err := json.Unmarshal(one, &e); err != nil {
			errs = append(errs, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}
