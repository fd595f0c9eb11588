package operations_test

import (
	"sync"
	"testing"
)

// FuzzOperations tries any body, with any headers that name its operation, on all servers. Its seeds are generated: 60
// good messages, and up to eight of each mutation.
func FuzzOperations(f *testing.F) {
	const (
		odd     = 1 << 40 // seeds that no other test uses
		longest = 8 << 10 // a worker has 10 s for a body, on ten servers and a machine that may be busy
	)
	for i := range uint64(60) {
		m := newDraft(random(odd, i)).build()
		f.Add(m.body, m.method, m.name)
	}
	for n, mutation := range mutations {
		for i := range uint64(8) {
			d := newDraft(random(odd+1, uint64(n)*8+i))
			mutation.apply(d)
			if m := d.build(); len(m.body) <= longest {
				f.Add(m.body, m.method, m.name)
			}
		}
	}
	l := newLab(f)
	var one sync.Mutex // the fuzzer may try bodies of the corpus in parallel
	f.Fuzz(func(t *testing.T, body, method, name string) {
		if len(body) > longest {
			return
		}
		one.Lock()
		defer one.Unlock()
		l.try(t, &message{body: body, method: headerValue(method), name: headerValue(name)})
		l.finish(t)
	})
}

// headerValue removes from s what the value of an HTTP header can't hold.
func headerValue(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
