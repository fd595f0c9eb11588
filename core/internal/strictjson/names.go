package strictjson

import "slices"

// addName counts and keeps the name of a member. Those of the same object begin at first.
func (r *Reader) addName(name string, first int) error {
	r.left.AllMembers--
	r.left.AllNameBytes -= len(name)
	if r.names.n-first >= r.left.Members || r.left.AllMembers < 0 || r.left.AllNameBytes < 0 {
		return ErrSize
	}
	if r.names.has(name, first) {
		return ErrDuplicate
	}
	r.names.add(name)
	return nil
}

// names is a list of names. Its first are in an array, without a slice that refers to it: a Reader that points to itself could
// not be on the stack of its caller.
type names struct {
	few  [24]string
	more []string // behind few
	n    int
}

func (n *names) add(name string) {
	if n.n < len(n.few) {
		n.few[n.n] = name
	} else {
		n.more = append(n.more, name)
	}
	n.n++
}

// has reports whether name is in the list, from the index first on.
func (n *names) has(name string, first int) bool {
	few := min(n.n, len(n.few))
	return first < few && slices.Contains(n.few[first:few], name) || slices.Contains(n.more[max(0, first-len(n.few)):], name)
}

// cut leaves the first names in the list.
func (n *names) cut(first int) {
	n.more = n.more[:max(0, first-len(n.few))]
	n.n = first
}
