package operations_test

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// A node is a JSON value that is being made. Mutations change it.
type node struct {
	text     string // of a scalar; "" for objects and arrays
	members  []*node
	names    []string // of members, as JSON text; nil for an array
	isObject bool
}

func scalar(text string) *node { return &node{text: text} }

func (n *node) add(name string, value *node) {
	n.members = append(n.members, value)
	n.names = append(n.names, name)
}

// insert adds a member at a random position.
func (n *node) insert(r *rand.Rand, name string, value *node) {
	i := r.IntN(len(n.names) + 1)
	n.members = slices.Insert(n.members, i, value)
	n.names = slices.Insert(n.names, i, name)
}

func (n *node) write(b *strings.Builder) {
	if n.text != "" {
		b.WriteString(n.text)
		return
	}
	ends := "[]"
	if n.isObject {
		ends = "{}"
	}
	b.WriteByte(ends[0])
	for i, member := range n.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.isObject {
			b.WriteString(n.names[i])
			b.WriteByte(':')
		}
		member.write(b)
	}
	b.WriteByte(ends[1])
}

// String returns the JSON text of the value.
func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

// objects returns all objects in n that have members, itself included, and scalars all values that hold no others.
func (n *node) parts() (objects, scalars []*node) {
	if n.isObject && len(n.members) > 0 {
		objects = append(objects, n)
	}
	if n.text != "" {
		scalars = append(scalars, n)
	}
	for _, member := range n.members {
		o, s := member.parts()
		objects, scalars = append(objects, o...), append(scalars, s...)
	}
	return objects, scalars
}

// copied returns a copy that shares nothing with n.
func (n *node) copied() *node {
	c := *n
	c.names = slices.Clone(n.names)
	c.members = make([]*node, len(n.members))
	for i, member := range n.members {
		c.members[i] = member.copied()
	}
	return &c
}

var (
	goodNumbers = []string{"0", "1", "7", "-3", "42", "1500", "0.5", "-2.25", "9007199254740991", "1e3", "12345678"}
	// Numbers that readers take for others: of float64, of integers, of decimals, and those that write a float64 out again.
	oddNumbers = []string{
		"9007199254740993", "-9007199254740993", "9007199254740993.0", "9007199254740992", "9007199254740994", "1152921504606846976", "1152921504606847000",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
		"12345678901234567890", "100000000000000000000", "1e19", "1e22", "1e23", "-0", "-0.0", "0e5", "0e999999999", "1.0", "1.50", "1e0", "10e-1", "0.1e1", "1E+2", "100e-2",
		"1e400", "-1e400", "1e308", "1.7976931348623157e308", "1.7976931348623159e308", "1e-400", "5e-324", "2e-324", "0.1", "0.10", "0.30000000000000004",
		"0.3000000000000000444", "1.0000000000000001", "3.14159265358979323846", "123456789012345678901234567890e-20", "1" + strings.Repeat("0", 30), "1" + strings.Repeat("0", 400) + "e-400",
		"0." + strings.Repeat("0", 400) + "1e401", "01", "+1", ".5", "1.", "0x10", "NaN", "-Infinity", "1e", "--1", "1_000", "1e5.5", "１", "1f", "0b1", "-",
	}
	// Letters in these words have other letters that only differ in case, by Unicode.
	freeNames = []string{`"a"`, `"x"`, `"Name"`, `"straße"`, `"sk"`, `"\u00e9"`, `"id "`, `"na\"me"`, `"k\u0000"`, `"i"`, `"limit"`, `""`}
)

// newArguments returns a call of one of the operations with arguments, as a client would send it.
func newArguments(r *rand.Rand) (d *draft, arguments *node) {
	d = newDraft(r)
	d.out, d.ref, d.notifications = message{}, nil, nil
	d.method, d.name = "tools/call", pick(r, []string{rawTool, mapTool, structTool, foldTool, structTool, foldTool, prompting})
	if d.name == prompting {
		d.method = "prompts/get"
	}
	arguments = &node{isObject: true}
	for range r.IntN(6) {
		switch d.name {
		case prompting:
			d.member(arguments, pick(r, freeNames), scalar(d.string()))
		case structTool, foldTool:
			d.field(arguments)
		default:
			d.member(arguments, pick(r, freeNames), d.value(0))
		}
	}
	d.params = object{{`"name"`, quote(r, d.name)}, {`"arguments"`, arguments.String()}}
	if r.IntN(2) == 0 {
		d.meta()
	}
	d.message = object{{`"jsonrpc"`, `"2.0"`}, {`"id"`, pick(r, []string{"1", `"a"`})}, {`"method"`, quote(r, d.method)}, {`"params"`, ""}}
	return d, arguments
}

// member adds a member, if n has none of this name yet, in any case.
func (d *draft) member(n *node, name string, value *node) {
	if !slices.ContainsFunc(n.names, func(other string) bool { return strings.EqualFold(other, name) }) {
		n.add(name, value)
	}
}

// field adds one of the members of input.
func (d *draft) field(n *node) {
	integer := func() *node {
		return scalar(pick(d.r, []string{"0", "1", "7", "-3", "42", "1500", "9007199254740991"}))
	}
	order := func() *node {
		o := &node{isObject: true}
		d.member(o, `"size"`, integer())
		d.member(o, `"note"`, scalar(d.string()))
		return o
	}
	switch d.r.IntN(10) {
	case 0, 1:
		d.member(n, `"id"`, integer())
	case 2:
		d.member(n, `"amount"`, scalar(pick(d.r, goodNumbers)))
	case 3:
		d.member(n, `"kind"`, scalar(d.string()))
	case 4:
		d.member(n, `"force"`, scalar(pick(d.r, []string{"true", "false"})))
	case 5:
		d.member(n, `"names"`, &node{members: []*node{scalar(d.string()), scalar(d.string())}})
	case 6:
		d.member(n, `"rest"`, d.value(1))
		if last := n.members[len(n.members)-1]; n.names[len(n.names)-1] == `"rest"` && !last.isObject {
			*last = node{isObject: true}
		}
	case 7:
		o := order()
		d.member(o, `"next"`, order())
		d.member(n, `"order"`, o)
	case 8:
		d.member(n, `"orders"`, &node{members: []*node{order(), order()}})
	case 9:
		d.member(n, `"big"`, scalar(pick(d.r, []string{"0", "5", "9007199254740991", "100000000000000000"})))
	}
}

// string returns a string of any characters, as JSON text.
func (d *draft) string() string {
	return quote(d.r, pick(d.r, []string{"", "a", "secret", "café", "\U0001f511", "a\"b\\c/d", "line\nline", "\u2028", "\u0000", "K\u212ak", "null", "1"}))
}

// value returns a value of any type.
func (d *draft) value(depth int) *node {
	kind := d.r.IntN(8)
	if depth > 3 {
		kind = d.r.IntN(5)
	}
	switch kind {
	case 0, 1:
		return scalar(pick(d.r, goodNumbers))
	case 2, 3:
		return scalar(d.string())
	case 4:
		return scalar(pick(d.r, []string{"true", "false", "null"}))
	case 5:
		n := new(node)
		for range d.r.IntN(4) {
			n.members = append(n.members, d.value(depth+1))
		}
		return n
	}
	n := &node{isObject: true}
	for range d.r.IntN(4) {
		d.member(n, pick(d.r, freeNames), d.value(depth+1))
	}
	return n
}
