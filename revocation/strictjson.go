package mcpauthrevocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// An object is an object of JSON whose members have one value each, by their exact names.
type object map[string]any

const maxDepth = 32

// parseObject reads one object. Repeated members, text that is not UTF-8, and anything behind the object are errors: what
// another reader would take for another value must not be believed. Core's own reader (core/internal/strictjson) can't be
// imported here, because internal packages are visible below core alone; core/differential compares the two.
func parseObject(text []byte) (object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the object")
	}
	o, ok := value.(object)
	if !ok {
		return nil, errors.New("the body is not an object")
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("the body is not JSON")
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == maxDepth:
		return nil, errors.New("the body is nested too deeply")
	case delim == '[':
		return parseArray(d, depth+1)
	}
	o := make(object)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("the body is not JSON")
		}
		member, ok := name.(string)
		if !ok {
			return nil, errors.New("the body is not JSON")
		}
		if _, repeated := o[member]; repeated {
			return nil, errors.New("a member is repeated")
		}
		if o[member], err = parseValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	return o, closed(d)
}

// parseArray reads the values of an array and drops them: nothing that is looked for is in one.
func parseArray(d *json.Decoder, depth int) (any, error) {
	for d.More() {
		if _, err := parseValue(d, depth); err != nil {
			return nil, err
		}
	}
	return nil, closed(d)
}

// closed reads the end of an object or array.
func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("the body is not JSON")
	}
	return nil
}

func (o object) object(name string) (object, error) {
	member, ok := o[name].(object)
	if !ok {
		return nil, fmt.Errorf("%s is not an object", name)
	}
	return member, nil
}

// text returns a member that has to be there.
func (o object) text(name string) (string, error) {
	text, err := o.optionalText(name)
	if err == nil && text == "" {
		err = fmt.Errorf("%s is missing or empty", name)
	}
	return text, err
}

func (o object) optionalText(name string) (string, error) {
	value, found := o[name]
	if !found || value == nil {
		return "", nil
	}
	text, ok := value.(string)
	switch {
	case !ok:
		return "", fmt.Errorf("%s is not a string", name)
	case len(text) > maxID:
		return "", fmt.Errorf("%s is longer than 2,048 bytes", name)
	case strings.ContainsAny(text, "\x00\uFFFD"): // the latter is what encoding/json makes of half a surrogate pair
		return "", fmt.Errorf("%s is not text", name)
	}
	return text, nil
}

func (o object) boolean(name string) (value, found bool, err error) {
	member, found := o[name]
	if !found || member == nil {
		return false, false, nil
	}
	value, ok := member.(bool)
	if !ok {
		return false, true, fmt.Errorf("%s is not a boolean", name)
	}
	return value, true, nil
}
