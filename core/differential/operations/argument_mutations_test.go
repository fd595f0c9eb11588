package operations_test

import (
	"slices"
	"strings"
)

// An argumentMutation changes one thing about arguments. It may also change the message around them.
type argumentMutation struct {
	name  string
	apply func(d *draft, n *node)
}

// inObject calls change with one of the objects in n that have members, and with the number of one of these.
func (d *draft) inObject(n *node, change func(o *node, i int)) {
	if objects, _ := n.parts(); len(objects) > 0 {
		o := pick(d.r, objects)
		change(o, d.r.IntN(len(o.names)))
	}
}

// inScalar gives one of the values in n another text.
func (d *draft) inScalar(n *node, text func(old string) string) {
	if _, scalars := n.parts(); len(scalars) > 0 {
		s := pick(d.r, scalars)
		s.text = text(s.text)
	}
}

var (
	notUTF8    = []string{"\xff", "\xc0\xaf", "\xc1\x81", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}
	halves     = []string{`\ud83d`, `\udd11`, `\ud83d\ud83d\udd11`, `\uD83Dx`, `\ud83d\u0041`, `\udd11\ud83d`, `\ud83d\n`}
	someValues = []string{`1`, `2`, `"x"`, `true`, `null`, `{}`, `[]`, `{"id":2}`, `[1]`, `9`, `{"size":3,"Size":4}`}
)

var argumentMutations = []argumentMutation{
	{"repeat an argument", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) { o.insert(d.r, o.names[i], scalar(pick(d.r, someValues))) })
	}},
	{"repeat an argument, escaped", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) { o.insert(d.r, escape(d.r, unquoted(o.names[i])), scalar(pick(d.r, someValues))) })
	}},
	{"repeat an argument in another spelling", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) {
			o.insert(d.r, jsonString(respell(d.r, unquoted(o.names[i]))), scalar(pick(d.r, someValues)))
		})
	}},
	{"respell an argument's name", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) { o.names[i] = jsonString(respell(d.r, unquoted(o.names[i]))) })
	}},
	{"an argument's name in another case", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) {
			name := unquoted(o.names[i])
			o.names[i] = pick(d.r, []string{
				jsonString(strings.ToUpper(name)), jsonString(strings.ToUpper(name[:min(1, len(name))]) + name[min(1, len(name)):]), escape(d.r, strings.ToUpper(name)),
				jsonString(strings.ReplaceAll(name, "k", "\u212a")), jsonString(strings.ReplaceAll(name, "s", "ſ")),
			})
		})
	}},
	{"a field's name in another case", func(d *draft, n *node) {
		if objects, _ := n.parts(); len(objects) > 0 {
			name := pick(d.r, inputNames)
			name = pick(d.r, []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name[:1] + strings.ToUpper(name[1:]), strings.ReplaceAll(name, "k", "\u212a"), strings.ReplaceAll(name, "s", "ſ")})
			pick(d.r, objects).insert(d.r, jsonString(name), scalar(pick(d.r, []string{"3", `"x"`, "true", "5.5", `{"size":8}`, `["y"]`, "null"})))
		}
	}},
	{"escape an argument's name", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) { o.names[i] = escape(d.r, unquoted(o.names[i])) })
	}},
	{"escape a text", func(d *draft, n *node) {
		d.inScalar(n, func(string) string {
			return pick(d.r, []string{`"\u0041"`, `"\u0000"`, `"\u2028\/\b"`, `"\uD83D\uDD11"`, `"\u00C9"`, `"\ufffd"`, `"\uFEFF"`})
		})
	}},
	{"an escape that does not exist", func(d *draft, n *node) {
		d.inScalar(n, func(string) string {
			return pick(d.r, []string{`"\x41"`, `"\u41"`, `"\u{41}"`, `"\101"`, `"\A"`, `"\U0041"`, `"\'"`, `"\`, "\"\t\"", "\"\x00\"", "'x'"})
		})
	}},
	{"arguments that are not UTF-8", func(d *draft, n *node) {
		text := `"a` + pick(d.r, notUTF8) + pick(d.r, []string{"", "b", `\n`}) + `"`
		if d.r.IntN(2) == 0 {
			d.inScalar(n, func(string) string { return text })
			return
		}
		d.inObject(n, func(o *node, i int) { o.names[i] = text })
	}},
	{"half a pair in an argument", func(d *draft, n *node) {
		text := `"` + pick(d.r, []string{"", "x"}) + pick(d.r, halves) + `"`
		if d.r.IntN(2) == 0 {
			d.inScalar(n, func(string) string { return text })
			return
		}
		d.inObject(n, func(o *node, i int) { o.names[i] = text })
	}},
	{"half a pair that becomes the same name", func(d *draft, n *node) {
		d.inObject(n, func(o *node, _ int) {
			o.insert(d.r, `"\ufffd"`, scalar("1"))
			o.insert(d.r, pick(d.r, []string{`"\ud83d"`, "\"\xff\"", `"\udd11"`}), scalar("2"))
		})
	}},
	{"an odd number", func(d *draft, n *node) {
		d.inScalar(n, func(string) string { return pick(d.r, oddNumbers) })
	}},
	{"an odd number in a field", func(d *draft, n *node) {
		d.inObject(n, func(o *node, i int) {
			o.names[i], o.members[i] = pick(d.r, []string{`"id"`, `"big"`, `"amount"`, `"size"`}), scalar(pick(d.r, oddNumbers))
		})
	}},
	{"a value of another type in arguments", func(d *draft, n *node) {
		d.inScalar(n, func(old string) string {
			return pick(d.r, []string{"null", "[" + old + "]", `{"x":` + old + `}`, jsonString(old), `""`, "{}", "[]", "true", "0"})
		})
	}},
	{"arguments of another type", func(d *draft, n *node) {
		*n = *scalar(pick(d.r, []string{"null", "null", "[]", `[{"id":1}]`, `"{\"id\":1}"`, `""`, "0", "1", "true", "false", `{}`, `[[]]`}))
	}},
	{"no arguments", func(d *draft, _ *node) {
		d.params = slices.DeleteFunc(d.params, func(m member) bool { return m.name == `"arguments"` })
	}},
	{"arguments twice", func(d *draft, n *node) {
		other := n.copied()
		if d.r.IntN(2) == 0 {
			other.isObject, other.text = true, ""
			other.insert(d.r, `"id"`, scalar("99"))
		}
		d.add(&d.params, member{pick(d.r, []string{`"arguments"`, `"Arguments"`, `"ARGUMENTS"`, `"argument\u0073"`, `"argumentſ"`, `"args"`, `"input"`, `"_arguments"`}), other.String()})
	}},
	{"the name of arguments in another case", func(d *draft, _ *node) {
		for i := range d.params {
			if d.params[i].name == `"arguments"` {
				d.params[i].name = pick(d.r, []string{`"Arguments"`, `"ARGUMENTS"`, `"argumentſ"`, `"argument\u0073"`, `"args"`, `"\u0061rguments"`, `"arguments "`})
			}
		}
	}},
	{"params twice", func(d *draft, _ *node) {
		d.add(&d.message, member{pick(d.r, []string{`"params"`, `"Params"`, `"PARAMS"`, `"param\u0073"`, `"paramſ"`}), `{"name":` + jsonString(d.name) + `,"arguments":{"id":77,"x":"y"}}`})
	}},
	{"arguments elsewhere", func(d *draft, _ *node) {
		d.add(pick(d.r, []*object{&d.params, &d.message}), member{
			pick(d.r, []string{`"_meta"`, `"meta"`, `"arguments"`, `"input"`, `"RawArguments"`, `"rawArguments"`, `"requestState"`, `"inputResponses"`, `"task"`}),
			pick(d.r, []string{`{"arguments":{"id":5}}`, `{"id":5}`, `null`, `"eyJpZCI6NX0="`, `{"progressToken":1,"arguments":{"id":5}}`}),
		})
	}},
	{"deep arguments", func(d *draft, n *node) {
		depth := pick(d.r, []int{5, 50, 500, 508, 509, 510, 511, 512, 600, 999, 1001, 10_001})
		up, down := "[", "]"
		if d.r.IntN(2) == 0 {
			up, down = `{"a":`, "}"
		}
		d.inScalar(n, func(old string) string { return strings.Repeat(up, depth) + old + strings.Repeat(down, depth) })
	}},
	{"many arguments", func(d *draft, n *node) {
		if n.text != "" {
			return
		}
		n.isObject = true
		for i := range pick(d.r, []int{200, 250, 256, 300}) {
			n.add(jsonString("m"+strings.Repeat("x", i)), scalar("1"))
		}
	}},
	{"broken arguments", func(d *draft, n *node) {
		d.inScalar(n, func(old string) string {
			return pick(d.r, []string{old + ",", "," + old, old + " " + old, old + "}", old + "]", "{" + old, "[" + old, old + `,"id":1}`, old + "//", old + "/**/", " ", "tru", "nulll", "undefined", old + "\x00", "\xef\xbb\xbf" + old})
		})
	}},
	{"two calls", func(d *draft, _ *node) {
		d.change(func(s string) string {
			call := func(name, arguments string) string {
				return `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments + `}}`
			}
			other := call(pick(d.r, []string{rawTool, mapTool, structTool, foldTool}), pick(d.r, []string{`{}`, `{"id":3}`, `{"id":3,"id":4}`, `{"ID":3}`, `null`, `[]`, `{"id":9007199254740993}`}))
			return pick(d.r, []string{"[" + s + "," + other + "]", "[" + other + "," + s + "]", "[" + s + "]", s + other, s + "\n" + other, "[[" + s + "]," + other + "]", "[" + s + "," + s + "]"})
		})
	}},
	{"white space in arguments", func(d *draft, n *node) {
		d.inScalar(n, func(old string) string {
			spaces := []string{" ", "\n", "\t", "\r\n", "\v", "\f", "\u00a0", "\u2028", "\ufeff", ""}
			return pick(d.r, spaces) + old + pick(d.r, spaces)
		})
	}},
}

// generateArguments makes message number i with arguments. It depends only on its arguments.
func generateArguments(seed, i uint64) (names []string, m *message) {
	d, n := newArguments(random(seed, i))
	changes := []int{0, 1, 1, 1, 1, 1, 2, 2, 2, 3}[d.r.IntN(10)]
	var later []mutation
	for range changes {
		if d.r.IntN(4) == 0 {
			later = append(later, pick(d.r, mutations))
			continue
		}
		m := pick(d.r, argumentMutations)
		m.apply(d, n)
		names = append(names, m.name)
	}
	d.set(&d.params, `"arguments"`, n.String())
	for _, m := range later { // they change params, and the whole body
		m.apply(d)
		names = append(names, m.name)
	}
	return names, d.build()
}
