package operations_test

import (
	"sync"
	"testing"
)

// FuzzOperations tries any body, with any headers that name its operation, on all servers. Its seeds are generated: 60
// good messages, and each mutation eight times.
func FuzzOperations(f *testing.F) {
	const odd = 1 << 40 // a seed of its own
	for i := range uint64(60) {
		m := newDraft(random(odd, i)).build()
		f.Add(m.body, m.method, m.name)
	}
	for n, mutation := range mutations {
		for i := range uint64(8) {
			d := newDraft(random(odd+1, uint64(n)*8+i))
			mutation.apply(d)
			m := d.build()
			f.Add(m.body, m.method, m.name)
		}
	}
	l := newLab(f)
	var one sync.Mutex // bodies of the corpus may be tried side by side
	f.Fuzz(func(t *testing.T, body, method, name string) {
		if len(body) > 8<<10 {
			t.Skip("a worker has 10 s for an input, and the machine may be busy")
		}
		one.Lock()
		defer one.Unlock()
		l.try(t, &message{body: body, method: headerValue(method), name: headerValue(name)})
		l.finish(t)
	})
}

// headerValue returns what a field of HTTP may hold of s.
func headerValue(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
