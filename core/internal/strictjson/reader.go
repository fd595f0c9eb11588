// Package strictjson reads one JSON document (RFC 8259) in one pass, without building it.
//
// It is stricter than encoding/json, which keeps the last of repeated members, matches names without regard to case,
// and replaces broken UTF-8: each of those lets two programs read different things in one document. Here a repeated
// member anywhere is an error, names are compared exactly after unescaping, and the strings returned are substrings
// of the document wherever nothing in them is escaped.
package strictjson

import (
	"cmp"
	"errors"
	"math"
)

// The errors of a [Reader]. They are never wrapped and cost no allocation, however hostile a document is. A reader that has
// returned one must not be used any further.
var (
	ErrSyntax    = errors.New("malformed JSON")
	ErrType      = errors.New("a JSON value of an unexpected type")
	ErrDuplicate = errors.New("a JSON object with a repeated member")
	ErrDepth     = errors.New("JSON nested too deeply")
	ErrSize      = errors.New("JSON objects with too many members, or with names that are too long")
	ErrUTF8      = errors.New("JSON that is not UTF-8")
	ErrNumber    = errors.New("a JSON number beyond what a float64 holds")
)

// Limits say how much a document may hold. A limit of 0 means its default. Members of objects that are skimmed do not count,
// but their nesting does.
type Limits struct {
	Depth        int // how deeply objects and arrays may nest; 16 by default
	Members      int // of one object; 256 by default
	AllMembers   int // of all objects together; any number by default
	AllNameBytes int // of the names of all members together, unescaped; any number by default
}

const (
	defaultDepth   = 16
	defaultMembers = 256
)

// A Reader reads the values of a document in their order. Each method reads one value, with the white space in front of it.
type Reader struct {
	s       string
	i       int
	depth   int
	names   names // of the members so far of all objects that are open
	left    Limits
	lenient bool // within Skim
}

// NewReader returns a reader of document. It is short, so that the compiler can put the reader on the stack of its caller.
func NewReader(document string, limits Limits) *Reader {
	return &Reader{s: document, left: limits.orDefaults()}
}

func (l Limits) orDefaults() Limits {
	return Limits{
		Depth: cmp.Or(l.Depth, defaultDepth), Members: cmp.Or(l.Members, defaultMembers),
		AllMembers: cmp.Or(l.AllMembers, math.MaxInt), AllNameBytes: cmp.Or(l.AllNameBytes, math.MaxInt),
	}
}

// A Kind is the type of a value, judged by its first byte. Whether the value is well formed shows only when it is read.
type Kind int

// The kinds of values.
const (
	KindNone Kind = iota // no value begins here, or the document is over
	KindObject
	KindArray
	KindText
	KindNumber
	KindBool
	KindNull
)

// Peek returns the kind of the next value. It reads only the white space in front of it.
func (r *Reader) Peek() Kind {
	switch c := r.space(); c {
	case '{':
		return KindObject
	case '[':
		return KindArray
	case '"':
		return KindText
	case 't', 'f':
		return KindBool
	case 'n':
		return KindNull
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return KindNumber
	}
	return KindNone
}

// space skips white space and returns the byte that follows, or 0 at the end.
func (r *Reader) space() byte {
	for r.i < len(r.s) {
		switch c := r.s[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

// End returns [ErrSyntax] when something other than white space follows.
func (r *Reader) End() error {
	if r.space(); r.i != len(r.s) {
		return ErrSyntax
	}
	return nil
}

// Object reads an object. It calls member after each name, and member has to read the value. An error of member ends the
// reading, and is returned.
func (r *Reader) Object(member func(name string) error) error {
	if r.space() != '{' {
		return ErrType
	}
	if r.depth++; r.depth > r.left.Depth {
		return ErrDepth
	}
	r.i++
	first := r.names.n
	if r.space() == '}' {
		r.i++
		r.depth--
		return nil
	}
	for {
		if r.space() != '"' {
			return ErrSyntax
		}
		name, err := r.name()
		if err != nil {
			return err
		}
		if !r.lenient {
			if err := r.addName(name, first); err != nil {
				return err
			}
		}
		if r.space() != ':' {
			return ErrSyntax
		}
		r.i++
		if err := member(name); err != nil {
			return err
		}
		switch r.space() {
		case ',':
			r.i++
		case '}':
			r.i++
			r.depth--
			r.names.cut(first)
			return nil
		default:
			return ErrSyntax
		}
	}
}

// name reads the name of a member. Within Skim it is "".
func (r *Reader) name() (string, error) {
	if r.lenient {
		return "", r.skipString()
	}
	return r.Text()
}

// Array reads an array. It calls element in front of each element, and element has to read it. An error of element ends the
// reading, and is returned.
func (r *Reader) Array(element func() error) error {
	if r.space() != '[' {
		return ErrType
	}
	if r.depth++; r.depth > r.left.Depth {
		return ErrDepth
	}
	r.i++
	if r.space() == ']' {
		r.i++
		r.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch r.space() {
		case ',':
			r.i++
		case ']':
			r.i++
			r.depth--
			return nil
		default:
			return ErrSyntax
		}
	}
}

// Skip reads a value of any type.
func (r *Reader) Skip() error {
	switch r.Peek() {
	case KindText:
		return r.skipString()
	case KindObject:
		return r.Object(func(string) error { return r.Skip() })
	case KindArray:
		return r.Array(r.Skip)
	case KindNumber:
		_, err := r.Number()
		return err
	default:
		for _, literal := range [...]string{"true", "false", "null"} {
			if len(r.s)-r.i >= len(literal) && r.s[r.i:r.i+len(literal)] == literal {
				r.i += len(literal)
				return nil
			}
		}
		return ErrSyntax
	}
}

// Skim reads a value of any type whose member names mean nothing to the caller. Members may repeat and do not count against
// [Limits], and in their strings an escaped half of a surrogate pair may stand alone, as in text that was cut in the middle
// of an emoji.
func (r *Reader) Skim() error {
	before := r.lenient
	r.lenient = true
	err := r.Skip()
	r.lenient = before
	return err
}

// Offset returns how many bytes of the document were read.
func (r *Reader) Offset() int { return r.i }

// Raw skims a value of any type, and returns its text, which another reader may read.
func (r *Reader) Raw() (string, error) {
	r.space()
	start := r.i
	err := r.Skim()
	return r.s[start:r.i], err
}
