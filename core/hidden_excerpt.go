package mcpauth

import (
	"bytes"
	"strconv"
)

const (
	// excerptBegin comes in front of an excerpt: as many bytes of the request as excerptBytes says, from a value on that the
	// go-sdk's JSON reader could not use. excerptMore says that there was more.
	excerptBegin = "cannot unmarshal "
	excerptBytes = 32
	excerptMore  = "..."

	// maxExcerpts is for how many hidden names, and in how many places of an answer, excerpts are looked for. Only a batch or a
	// subscription has more of either. An excerpt comes after other text of the request, so the last places count.
	maxExcerpts = 16
)

// revealExcerpts returns text with the excerpts of the original request. They have to be replaced as a whole: the disguised
// request has other bytes behind the name, and an excerpt may end within the name that was drawn.
func (d *disguise) revealExcerpts(text []byte) []byte {
	if !bytes.Contains(text, []byte(excerptBegin)) || len(d.places) > maxExcerpts {
		return text
	}
	excerpts := d.excerpts()
	end := len(text)
	for range maxExcerpts {
		at := bytes.LastIndex(text[:end], []byte(excerptBegin))
		if at < 0 {
			break
		}
		end = at
		at += len(excerptBegin)
		for _, e := range excerpts {
			if after, found := bytes.CutPrefix(text[at:], e.disguised); found {
				text = bytes.Join([][]byte{text[:at], e.original, after}, nil)
				break
			}
		}
	}
	return text
}

// A pair is an excerpt as the server behind writes it, and as it would write it about the original request.
type pair struct{ disguised, original []byte }

// excerpts returns all excerpts in which a hidden name stands, in the forms that they have in answers: a string of Go or a
// number, in an answer of plain text or in a string of JSON.
func (d *disguise) excerpts() (all []pair) {
	add := func(disguised, original string) {
		all = append(all, pair{[]byte(disguised), []byte(original)})
		for _, html := range []bool{false, true} {
			all = append(all, pair{escaped(disguised, html), escaped(original, html)})
		}
	}
	for _, place := range d.places {
		for _, end := range []int{place.ParamsEnd, place.MessageEnd} {
			for start := max(0, place.Start-excerptBytes); start < place.Start; start++ {
				disguised, original := excerpt(d.body, d.moved(start), d.moved(end)), excerpt(d.original, start, end)
				add(strconv.Quote(disguised), strconv.Quote(original))
				add("number "+disguised+" overflows", "number "+original+" overflows")
			}
		}
	}
	return all
}

// moved returns where a place of the original request is in the disguised one.
func (d *disguise) moved(at int) int {
	by := 0
	for i, place := range d.places {
		if place.End < at {
			by += len(d.drawn(i)) - (place.End - place.Start)
		}
	}
	return at + by
}

// excerpt returns the excerpt of a request that begins at start, in a value that ends at end.
func excerpt(body string, start, end int) string {
	if end-start < excerptBytes {
		return body[start:end]
	}
	return body[start:start+excerptBytes] + excerptMore
}
