package operation

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Pattern matches the URIs of resources: it is a URI, a URI template (RFC 6570), or a URI with * as a wildcard. {...} and
// * both stand for any text, slashes included, and for none. A Pattern is immutable and safe for concurrent use.
type Pattern struct {
	forms      [uriForms]wildcard // the pattern in each of the forms in which URIs are compared
	namesQuery bool               // whether it has a query or fragment itself
}

// Compile returns the pattern that text describes. The error says what is wrong with text and what to write instead. It is
// the rest of a sentence that begins with text, such as "is not an absolute URI; begin with the scheme, as in
// orders://{id}", and holds nothing of it.
func Compile(text string) (Pattern, error) {
	literals, err := split(text)
	if err != nil {
		return Pattern{}, err
	}
	p := Pattern{namesQuery: strings.ContainsAny(text, "?#")}
	for form := range p.forms {
		p.forms[form] = make(wildcard, len(literals))
	}
	for i, literal := range literals {
		forms := formsOf(literal)
		if i < len(literals)-1 {
			forms[formNoEndSlash] = forms[formNoEndSlash-1] // the slash at its end is not at the pattern's end
		}
		for form := range forms {
			p.forms[form][i] = forms[form]
		}
	}
	return p, nil
}

// What is wrong with a pattern.
var (
	errEmpty     = errors.New("holds an empty pattern; give a resource's URI, or a template such as orders://{id}")
	errCharacter = errors.New("holds a space, a control character or broken UTF-8, which a URI can't hold; write it percent-encoded")
	errOpened    = errors.New("has an unclosed, empty or nested {; write {name} for the part that varies")
	errClosed    = errors.New("has a } without its {; write {name} for the part that varies")
	errRelative  = errors.New("is not an absolute URI; begin with the scheme, as in orders://{id}")
	errDots      = errors.New("has a dot segment (. or ..); write the path that it leads to")
	errPercent   = errors.New("has a % without two hexadecimal digits behind it; write %25")
)

// split returns the text between the wildcards of a pattern, of which there is one more than there are wildcards.
func split(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, errEmpty
	}
	if strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || 0x7f <= r && r < 0xa0 }) || !utf8.ValidString(pattern) {
		return nil, errCharacter
	}
	literals := []string{""}
	for rest := pattern; rest != ""; {
		at := strings.IndexAny(rest, "*{}")
		if at < 0 {
			literals[len(literals)-1] = rest
			break
		}
		literals[len(literals)-1] = rest[:at]
		wildcard := rest[at]
		rest = rest[at+1:]
		switch wildcard {
		case '{':
			name, after, ok := strings.Cut(rest, "}")
			if !ok || name == "" || strings.Contains(name, "{") {
				return nil, errOpened
			}
			rest = after
		case '}':
			return nil, errClosed
		}
		literals = append(literals, "")
	}
	if !beginsWithScheme(literals) {
		return nil, errRelative
	}
	for _, literal := range literals {
		if hasDotSegment(literal) {
			return nil, errDots
		}
		if strings.Count(literal, "%") != len(percentEncoded.FindAllString(literal, -1)) {
			return nil, errPercent
		}
	}
	return literals, nil
}

// beginsWithScheme reports whether a pattern begins with a scheme and its colon, or with a wildcard that may stand for
// them, or for the rest of them.
func beginsWithScheme(literals []string) bool {
	first := literals[0]
	scheme, _, whole := strings.Cut(first, ":")
	if whole {
		return scheme != ""
	}
	return len(literals) > 1 && (first == "" || !strings.ContainsFunc(first, isNotInScheme))
}

// isNotInScheme is lenient: in addition to what a scheme holds (RFC 3986 §3.1) it takes the rest of what a token holds
// (RFC 9110 §5.6.2).
func isNotInScheme(r rune) bool {
	letter := '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
	return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// A wildcard matches the texts that hold its parts in their order, the first at the beginning and the last at the end.
type wildcard []string

// matches takes what the comparison costs from budget.
func (w wildcard) matches(text string, budget *Budget) bool {
	first, last := w[0], w[len(w)-1]
	*budget -= Budget(1 + (len(first)+len(last))/64)
	if len(w) == 1 {
		return text == first
	}
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first):]
	for _, part := range w[1 : len(w)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			*budget -= Budget(1 + len(text)/16)
			return false
		}
		*budget -= Budget(1 + at/16)
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, last)
}
