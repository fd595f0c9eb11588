package mcpauthfasthttp

import (
	"sync"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// headerLines looks up header lines without allocating. The strings alias the request's own buffer: they are good for
// the duration of one decision, and core keeps none.
type headerLines struct {
	header *fasthttp.RequestHeader
	found  []string

	get func(name string) []string // the bound method, made once
}

var headerLinesPool = sync.Pool{New: func() any {
	l := new(headerLines)
	l.get = l.lookup
	return l
}}

func linesOf(header *fasthttp.RequestHeader) *headerLines {
	l, _ := headerLinesPool.Get().(*headerLines)
	l.header = header
	return l
}

func (l *headerLines) release() {
	clear(l.found)
	l.header, l.found = nil, l.found[:0]
	headerLinesPool.Put(l)
}

// lookup compares without regard to case, which fasthttp's own PeekAll does only as long as names are normalized: else
// "authorization" would be no credentials, or a second line that is overlooked.
func (l *headerLines) lookup(name string) []string {
	start := len(l.found)
	for key, value := range l.header.All() {
		if is(key, name) {
			l.found = append(l.found, alias(value))
		}
	}
	return l.found[start:len(l.found):len(l.found)]
}

// alias returns b as a string that changes when b does.
func alias(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // of all of b
}
