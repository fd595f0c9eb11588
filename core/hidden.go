package mcpauth

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/scalekit-mcp/mcpauth/core/internal/operation"
)

// A disguise has the names of operations that are hidden from a caller. The server behind sees random names instead: it
// can't run what it is not asked for, and answers as it does for every name that it does not know.
type disguise struct {
	original, body string
	prefix         string            // of all names that were drawn
	names          []string          // the true ones: the number behind the prefix is the index
	places         []operation.Place // of the names in original
	encoded        []pair            // values of Mcp-Name in base64, as the server behind sees them, and as the client sent them
}

// drawnBytes is the length of the longest name that is drawn for one of 1,000 operations: that of rand.Text, the number, and the
// ampersand.
const drawnBytes = 30

// ampersand ends each name that was drawn. It shows whether the JSON of an answer escapes the characters of HTML, as Go's
// encoding/json does by default: the true name has to be written in the same way.
const ampersand = '&'

// newDisguise returns the disguise of the operations of body that are hidden: those of operations whose entry in hidden is
// true. ok is false if one of their names could not be put back into an answer, because the characters that can't be
// printed have different escapes in JSON and Go.
func newDisguise(body string, operations []Operation, hidden []bool) (d *disguise, ok bool) {
	d = &disguise{original: body, prefix: rand.Text()}
	next := 0
	var err error
	d.body, d.places, err = operation.Rename(body, func(op operation.Operation) string {
		if _, asked := newOperation(op); !asked {
			return ""
		}
		if next++; !hidden[next-1] {
			return ""
		}
		d.names = append(d.names, op.Name)
		return d.drawn(len(d.names) - 1)
	})
	unprintable := func(name string) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	if err != nil || next != len(operations) || slices.ContainsFunc(d.names, unprintable) {
		return nil, false
	}
	return d, true
}

// drawn returns the name that stands for the true name with this index.
func (d *disguise) drawn(i int) string { return d.prefix + strconv.Itoa(i) + string(ampersand) }

// apply returns what to hand on instead of w and r.
func (d *disguise) apply(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	disguised := *r
	body := &replayedBody{Closer: r.Body}
	body.Reset(d.body)
	disguised.Body = body
	disguised.ContentLength = int64(len(d.body))
	disguised.Header = maps.Clone(r.Header)
	delete(disguised.Header, "Accept-Encoding") // compressed names can't be put back
	if values := r.Header["Mcp-Name"]; len(values) > 0 {
		// MCP 2026-07-28 has servers compare this header with the body. They take the first line.
		values = slices.Clone(values[:min(len(values), maxHeaderNames)])
		for i, value := range values {
			values[i] = d.header(value)
		}
		disguised.Header["Mcp-Name"] = values
	}
	return &disguisedWriter{w, d}, &disguised
}

// maxHeaderNames is how many lines of Mcp-Name are handed on with a hidden operation: each is compared with all hidden names,
// and looked for in the answer.
const maxHeaderNames = 16

const encodedBegin, encodedEnd = "=?base64?", "?="

// header returns the value of Mcp-Name for the server behind. Text that HTTP does not allow in a header comes in base64
// (SEP-2243), and stays in that form: the go-sdk compares values without decoding them, and refuses it in any case.
func (d *disguise) header(value string) string {
	if at := slices.Index(d.names, value); at >= 0 {
		return d.drawn(at)
	}
	encoded, begins := strings.CutPrefix(value, encodedBegin)
	encoded, ends := strings.CutSuffix(encoded, encodedEnd)
	text, err := base64.StdEncoding.DecodeString(encoded)
	at := slices.Index(d.names, string(text))
	if !begins || !ends || err != nil || at < 0 {
		return value
	}
	disguised := base64.StdEncoding.EncodeToString([]byte(d.drawn(at)))
	d.encoded = append(d.encoded, pair{[]byte(disguised), []byte(encoded)})
	return encodedBegin + disguised + encodedEnd
}

// A disguisedWriter puts the true names into an answer. A name has to be written in one piece, as SDKs write their messages.
type disguisedWriter struct {
	http.ResponseWriter
	disguise *disguise
}

// WriteHeader removes the length of the body, which changes with the names.
func (w *disguisedWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w *disguisedWriter) Write(p []byte) (int, error) {
	w.Header().Del("Content-Length")
	if _, err := w.ResponseWriter.Write(w.disguise.reveal(p)); err != nil { //nolint:gosec // it names what the client asked for, as the server does
		return 0, err
	}
	return len(p), nil
}

// Flush sends what was written. It is for code that looks for an http.Flusher.
func (w *disguisedWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap returns the writer below, for http.ResponseController.
func (w *disguisedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reveal returns text with the true names. In the JSON of an answer a name is a string, or in an error text that Go's %q
// may have quoted. An error text may also quote the request.
func (d *disguise) reveal(text []byte) []byte {
	text = d.revealExcerpts(text)
	for _, e := range d.encoded {
		text = bytes.ReplaceAll(text, e.disguised, e.original)
	}
	var revealed []byte
	for {
		before, after, found := bytes.Cut(text, []byte(d.prefix))
		if !found {
			if revealed == nil {
				return text
			}
			return append(revealed, text...)
		}
		revealed = append(revealed, before...)
		i, html, rest := d.number(after)
		name := ""
		switch known := i < len(d.names); {
		case known && bytes.HasSuffix(before, []byte(`\\\"`)): // the request itself was quoted
			name = inQuotes(d.original[d.places[i].Start:d.places[i].End])
		case known && bytes.HasSuffix(before, []byte(`\"`)):
			name = inQuotes(d.names[i])
		case known:
			name = d.names[i]
		}
		revealed = append(revealed, escaped(name, html)...)
		text = rest
	}
}

// number returns the number that text begins with, whether the characters of HTML are escaped, and what follows the name.
func (d *disguise) number(text []byte) (i int, html bool, rest []byte) {
	digits := len(text) - len(bytes.TrimLeft(text, "0123456789"))
	i, err := strconv.Atoi(string(text[:digits]))
	if err != nil {
		i = len(d.names)
	}
	rest = text[digits:]
	if after, found := bytes.CutPrefix(rest, []byte(`\u0026`)); found {
		return i, true, after
	}
	return i, false, bytes.TrimPrefix(rest, []byte{ampersand})
}

// inQuotes returns text as it stands within the quotes of Go's %q.
func inQuotes(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// escaped returns text as it stands within a string of JSON.
func escaped(text string, html bool) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(html)
	_ = encoder.Encode(text) // a string can be encoded
	return bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(b.Bytes()), []byte{'"'}), []byte{'"'})
}
