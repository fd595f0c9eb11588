package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// read reads a document with one of the methods, to its end.
func read(document string, limits strictjson.Limits, value func(r *strictjson.Reader) error) error {
	r := strictjson.NewReader(document, limits)
	if err := value(r); err != nil {
		return err
	}
	return r.End()
}

// TestSkipAndSkim reads documents with Skip, which refuses repeated names, and with Skim, which does not compare them.
func TestSkipAndSkim(t *testing.T) {
	t.Parallel()
	few := strictjson.Limits{Depth: 2, Members: 2, AllMembers: 4, AllNameBytes: 6}
	for _, c := range []struct {
		document      string
		limits        strictjson.Limits
		strict, loose error
	}{
		{` { "a" : [ 1 , true , false , null , "x" , { } , [ ] ] } `, strictjson.Limits{}, nil, nil},
		{`{"a":1,"a":2}`, strictjson.Limits{}, strictjson.ErrDuplicate, nil},
		{`{"a":1,"\u0061":2}`, strictjson.Limits{}, strictjson.ErrDuplicate, nil},
		{`{"x":{"a":1,"b":{"a":1},"a":2}}`, strictjson.Limits{}, strictjson.ErrDuplicate, nil},
		{`{"a":1,"A":2,"b":{"a":1}}`, strictjson.Limits{}, nil, nil},
		{`["\ud83d"]`, strictjson.Limits{}, strictjson.ErrUTF8, nil},
		{`{"\ud83d":1}`, strictjson.Limits{}, strictjson.ErrUTF8, nil},
		{"[\"\xff\"]", strictjson.Limits{}, strictjson.ErrUTF8, strictjson.ErrUTF8},
		{"[\"\\n\xff\"]", strictjson.Limits{}, strictjson.ErrUTF8, strictjson.ErrUTF8},
		{"[\"\n\"]", strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`[1e999]`, strictjson.Limits{}, strictjson.ErrNumber, strictjson.ErrNumber},
		{``, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`{`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`[1,]`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`{"a":1,}`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`{"a" 1}`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`{a:1}`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`[1 2]`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`{} {}`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`nul`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`"\x"`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`"\u12g4"`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},
		{`"a`, strictjson.Limits{}, strictjson.ErrSyntax, strictjson.ErrSyntax},

		{strings.Repeat("[", 16) + strings.Repeat("]", 16), strictjson.Limits{}, nil, nil},
		{strings.Repeat("[", 17) + strings.Repeat("]", 17), strictjson.Limits{}, strictjson.ErrDepth, strictjson.ErrDepth},
		{object(256), strictjson.Limits{}, nil, nil},
		{object(257), strictjson.Limits{}, strictjson.ErrSize, nil},
		{`[[{}]]`, few, strictjson.ErrDepth, strictjson.ErrDepth},
		{`[[],{},[]]`, few, nil, nil},
		{`{"a":1,"b":2}`, few, nil, nil},
		{`{"a":1,"b":2,"c":3}`, few, strictjson.ErrSize, nil},
		{`[{"a":1,"b":2},{"a":1,"b":2}]`, few, nil, nil},
		{`[{"a":1,"b":2},{"a":1,"b":2},{"a":1}]`, few, strictjson.ErrSize, nil},
		{`[{"aaa":1},{"\u0061bb":1}]`, few, nil, nil},
		{`[{"aaa":1},{"aabb":1}]`, few, strictjson.ErrSize, nil},
	} {
		if err := read(c.document, c.limits, (*strictjson.Reader).Skip); !errors.Is(err, c.strict) {
			t.Errorf("%.40q skipped: %v, want %v", c.document, err, c.strict)
		}
		if err := read(c.document, c.limits, (*strictjson.Reader).Skim); !errors.Is(err, c.loose) {
			t.Errorf("%.40q skimmed: %v, want %v", c.document, err, c.loose)
		}
	}
}

// object returns an object with n members.
func object(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"%d":0`, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// TestSkimEndsWithItsValue checks that reading is strict again after a skimmed value, also when that nests.
func TestSkimEndsWithItsValue(t *testing.T) {
	t.Parallel()
	err := read(`{"loose":{"a":[{"b":1,"b":2}],"a":1},"strict":{"a":1,"a":2}}`, strictjson.Limits{}, func(r *strictjson.Reader) error {
		return r.Object(func(name string) error {
			if name == "loose" {
				return r.Skim()
			}
			return r.Skip()
		})
	})
	if !errors.Is(err, strictjson.ErrDuplicate) {
		t.Errorf("%v", err)
	}
}

// TestPeek peeks at each kind of value, and then reads it with each method: those for another kind return ErrType.
func TestPeek(t *testing.T) {
	t.Parallel()
	for document, kind := range map[string]strictjson.Kind{
		`{}`: strictjson.KindObject, `[]`: strictjson.KindArray, `"a"`: strictjson.KindText, `-1`: strictjson.KindNumber, `0`: strictjson.KindNumber, `9`: strictjson.KindNumber,
		`true`: strictjson.KindBool, `false`: strictjson.KindBool, `null`: strictjson.KindNull, ``: strictjson.KindNone, `+1`: strictjson.KindNone, `]`: strictjson.KindNone,
	} {
		r := strictjson.NewReader(" \t\r\n"+document, strictjson.Limits{})
		if got := r.Peek(); got != kind || r.Peek() != kind {
			t.Errorf("%q is of the kind %d, want %d", document, got, kind)
		}
		if err := r.Skip(); (err == nil) != (kind != strictjson.KindNone) || err == nil && r.End() != nil {
			t.Errorf("%q: %v", document, err)
		}
		for of, method := range map[strictjson.Kind]func(r *strictjson.Reader) error{
			strictjson.KindObject: func(r *strictjson.Reader) error { return r.Object(func(string) error { return nil }) },
			strictjson.KindArray:  func(r *strictjson.Reader) error { return r.Array(func() error { return nil }) },
			strictjson.KindText:   func(r *strictjson.Reader) error { _, err := r.Text(); return err },
			strictjson.KindNumber: func(r *strictjson.Reader) error { _, err := r.Number(); return err },
		} {
			err := read(document, strictjson.Limits{}, method)
			if of == kind && err != nil || of != kind && !errors.Is(err, strictjson.ErrType) {
				t.Errorf("%q read as the kind %d: %v", document, of, err)
			}
		}
	}
}

// TestErrorsOfTheCaller has callbacks that fail: their errors are returned as they are.
func TestErrorsOfTheCaller(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	for _, document := range []string{`{"a":[1]}`, `[[1]]`} {
		if err := read(document, strictjson.Limits{}, func(r *strictjson.Reader) error {
			inner := func() error { return r.Array(func() error { return mine }) }
			if r.Peek() == strictjson.KindArray {
				return r.Array(inner)
			}
			return r.Object(func(string) error { return inner() })
		}); err != mine { //nolint:errorlint // not even wrapped
			t.Errorf("%s: %v", document, err)
		}
	}
}

// FuzzStrictJSON checks the reader against encoding/json in both directions: it accepts only JSON, and what it refuses is
// not JSON, or breaks a rule that encoding/json doesn't have.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":"c"}]}`, `[]`, `"x"`, `-0`, `1e5`, `01`, `1.`, `tru`, `nulll`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, "\"\x00\"", `{"a" :1 , "b": [ ] }`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		r := strictjson.NewReader(document, strictjson.Limits{})
		err := r.Skip()
		if err == nil {
			err = r.End()
		}
		switch valid := json.Valid([]byte(document)); {
		case err == nil && !valid:
			t.Errorf("accepted %q, which is not JSON", document)
		case valid && (err == strictjson.ErrSyntax || err == strictjson.ErrType): //nolint:errorlint // they are never wrapped
			t.Errorf("refused %q: %v", document, err)
		}
	})
}
