package operations_test

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// A mutation changes one thing about a message.
type mutation struct {
	name  string
	apply func(d *draft)
}

// level returns one of the objects of a message that have a meaning, and sets it.
func (d *draft) level() *object {
	levels := []*object{&d.message, &d.message}
	if len(d.params) > 0 {
		levels = append(levels, &d.params, &d.params, &d.params)
	}
	if d.ref != nil {
		levels = append(levels, &d.ref, &d.ref, &d.ref)
	}
	if d.notifications != nil {
		levels = append(levels, &d.notifications)
	}
	return pick(d.r, levels)
}

// add inserts a member at a random position.
func (d *draft) add(o *object, m member) { *o = slices.Insert(*o, d.r.IntN(len(*o)+1), m) }

// other returns another value for a member, as JSON text.
func (d *draft) other(m member) string {
	switch m.name {
	case `"method"`:
		return quote(d.r, pick(d.r, append(harmless, methods...)))
	case `"params"`:
		return pick(d.r, []string{`{"name":"secret"}`, `{"name":"open"}`, `{"uri":"note://1"}`, `{}`, `null`, `[]`})
	case `"name"`:
		return quote(d.r, pick(d.r, append(toolList, promptList...)))
	case `"uri"`:
		return quote(d.r, pick(d.r, append(aliases, resourceList...)))
	case `"type"`:
		return pick(d.r, []string{`"ref/prompt"`, `"ref/resource"`, `"ref/tool"`})
	case `"ref"`:
		return pick(d.r, []string{`{"type":"ref/prompt","name":"secret"}`, `{"type":"ref/prompt","name":"review"}`, `{"type":"ref/resource","uri":"note://{id}"}`, `null`})
	case `"notifications"`:
		return pick(d.r, []string{`{"resourceSubscriptions":["note://1"]}`, `{}`, `null`})
	case `"resourceSubscriptions"`:
		return pick(d.r, []string{`["note://1"]`, `["memo://1"]`, `[]`, `null`, `"note://1"`, `[["note://1"]]`, `{"0":"note://1"}`})
	case `"id"`:
		return pick(d.r, []string{`2`, `null`, `0`, `"x"`, `1.5`, `-1`, `[1]`, `{}`, `1e999`, `true`, `9223372036854775808`, `""`})
	case `"jsonrpc"`:
		return pick(d.r, []string{`"2.0"`, `"1.0"`, `2.0`, `null`, `"2.0 "`, `""`})
	}
	return pick(d.r, []string{`null`, `{"name":"secret"}`, `[]`, `1`, `"secret"`})
}

// respell returns another spelling of a name. Some readers take some of these for the same name.
func respell(r *rand.Rand, s string) string {
	switch r.IntN(9) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):]
	case 2:
		return strings.Replace(s, "s", "ſ", 1)
	case 3:
		return strings.Replace(strings.Replace(s, "k", "\u212a", 1), "e", "\uff45", 1)
	case 4:
		return s + pick(r, []string{"\x00", " ", "\t", "\u00a0", "\u200b", "\u0301", "/", "."})
	case 5:
		return pick(r, []string{"\x00", " ", "\ufeff", "/", "\u200d"}) + s
	case 6:
		return strings.Replace(s, "/", pick(r, []string{"\\", "%2F", "//", "\u2215", "."}), 1)
	case 7:
		i := r.IntN(len(s) + 1)
		return s[:i] + "\x00" + s[i:]
	}
	i := r.IntN(len(s) + 1)
	return s[:i] + strings.ToUpper(s[i:])
}

// unquoted removes the quotes from a name, in which nothing is escaped.
func unquoted(name string) string { return strings.Trim(name, `"`) }

// rename respells a member's name. It returns false when that did not change the name.
func (d *draft) rename(m *member) bool {
	name := jsonString(respell(d.r, unquoted(m.name)))
	changed := name != m.name
	m.name = name
	return changed
}

var mutations = []mutation{
	{"repeat a member", func(d *draft) {
		o := d.level()
		m := pick(d.r, *o)
		m.value = d.other(m)
		if d.r.IntN(3) == 0 {
			m.name = escape(d.r, unquoted(m.name))
		}
		d.add(o, m)
	}},
	{"repeat a member in another spelling", func(d *draft) {
		o := d.level()
		m := pick(d.r, *o)
		m.value = d.other(m)
		d.rename(&m)
		d.add(o, m)
	}},
	{"respell a member's name", func(d *draft) { o := *d.level(); d.rename(&o[d.r.IntN(len(o))]) }},
	{"escape a member's name", func(d *draft) {
		o := *d.level()
		i := d.r.IntN(len(o))
		o[i].name = escape(d.r, unquoted(o[i].name))
	}},
	{"another value", func(d *draft) { o := *d.level(); i := d.r.IntN(len(o)); o[i].value = d.other(o[i]) }},
	{"a value of another type", func(d *draft) {
		o := *d.level()
		i := d.r.IntN(len(o))
		v := o[i].value
		if v == "" {
			v = `{"name":"secret"}`
		}
		o[i].value = pick(d.r, []string{`null`, `1`, `true`, `[` + v + `]`, `{"name":` + v + `}`, jsonString(v), `""`, `{}`, `[]`})
	}},
	{"params of another type", func(d *draft) {
		d.paramsText = pick(d.r, []string{`["secret"]`, `[{"name":"secret"}]`, `"{\"name\":\"secret\"}"`, `null`, `1`, `"secret"`, `[]`, `{}`, `true`})
	}},
	{"a member from elsewhere", func(d *draft) {
		d.add(d.level(), member{pick(d.r, []string{
			`"name"`, `"uri"`, `"ref"`, `"method"`, `"params"`, `"type"`, `"arguments"`, `"_meta"`, `"notifications"`, `"result"`, `"error"`, `"task"`,
			`"header"`, `"Header"`, `"Request"`, `"Extra"`, `"resourceSubscriptions"`, `""`,
		}), pick(d.r, []string{`"secret"`, `"note://1"`, `{"name":"secret"}`, `{"type":"ref/prompt","name":"review"}`, `null`, `1`, `{}`, `["note://1"]`, `{"method":"tools/call","params":{"name":"secret"}}`})})
	}},
	{"respell the name", func(d *draft) { d.setName(respell(d.r, d.name)) }},
	{"respell the method", func(d *draft) { d.set(&d.message, `"method"`, jsonString(respell(d.r, d.method))) }},
	{"another method", func(d *draft) { d.set(&d.message, `"method"`, quote(d.r, pick(d.r, append(harmless, methods...)))) }},
	{"another resource", func(d *draft) {
		name := pick(d.r, aliases)
		if len(d.ref) > 0 || d.method == "resources/read" || d.method == "resources/subscribe" {
			d.name = name
			d.set(&d.params, `"uri"`, quote(d.r, name))
			d.set(&d.ref, `"uri"`, quote(d.r, name))
		}
	}},
	{"an alias of a resource", func(d *draft) {
		d.method, d.name, d.ref, d.notifications = "resources/read", pick(d.r, aliases), nil, nil
		d.params = object{{`"uri"`, quote(d.r, d.name)}}
		if d.r.IntN(2) == 0 {
			d.meta()
		}
		d.set(&d.message, `"method"`, `"resources/read"`)
	}},
	{"bytes that are not UTF-8", func(d *draft) {
		d.change(func(s string) string {
			i := d.r.IntN(len(s) + 1)
			return s[:i] + pick(d.r, []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) + s[i:]
		})
	}},
	{"a name that is not UTF-8", func(d *draft) {
		d.set(&d.params, `"name"`, `"`+pick(d.r, []string{"\xff", "secret\xff", "\xc1\xb3ecret", "\xed\xa0\xbd\xed\xb4\x91"})+`"`)
	}},
	{"half a pair", func(d *draft) {
		o := *d.level()
		text := pick(d.r, []string{`"\ud83d"`, `"\udd11"`, `"\ud83d\ud83d\udd11"`, `"\ud83dsecret"`, `"\ud83d\u0073ecret"`, `"\uD83D\uDD11"`, `"\udd11\ud83d"`})
		if i := d.r.IntN(len(o)); d.r.IntN(2) == 0 {
			o[i].value = text
		} else {
			o[i].name = text
		}
	}},
	{"half a pair in arguments", func(d *draft) { d.set(&d.params, `"arguments"`, `{"text":"cut \ud83d"}`) }},
	{"odd escapes", func(d *draft) {
		o := *d.level()
		o[d.r.IntN(len(o))].value = pick(d.r, []string{`"\x73ecret"`, `"\u{73}ecret"`, `"\163ecret"`, `"\Secret"`, `"\u073"`, `"\U0073ecret"`, `"s\
ecret"`, `"\u0000"`, `"secret\u0000"`, `"\'secret"`, "\"a\nb\"", "\"\x7f\""})
	}},
	{"odd values", func(d *draft) {
		d.set(&d.params, `"arguments"`, pick(d.r, []string{
			`{"x":1e999}`, `{"x":-0}`, `{"x":01}`, `{"x":+1}`, `{"x":.5}`, `{"x":1.}`, `{"x":0x10}`, `{"x":NaN}`, `{"x":Infinity}`, `{"x":1e}`, `{"x":--1}`,
			`{"x":` + strings.Repeat("9", 400) + `}`, `{"x":undefined}`, `{"x":tru}`, `{"x":nulll}`, `{"x":TRUE}`, `{"x":'y'}`, `{x:1}`, `{"x":1,}`, `[1,,2]`, `{"x" 1}`, `{"x"::1}`,
			`{,"x":1}`, `{"x":1 "y":2}`, `{null:1}`, `{1:1}`, `{"x":"a" "b"}`, `{"x":1}}`, `{"x":[1}}`, `{"x":1]`, `(1)`, `"\u0000"`, `{"x":1/**/}`, `{"x":1//` + "\n" + `}`,
		}))
	}},
	{"deep", func(d *draft) {
		n := pick(d.r, []int{10, 100, 500, 509, 510, 511, 512, 600, 1000, 1100, 11_000})
		up, down := "[", "]"
		if d.r.IntN(2) == 0 {
			up, down = `{"a":`, "}"
		}
		d.set(&d.params, `"arguments"`, strings.Repeat(up, n)+pick(d.r, []string{"1", `{"name":"secret"}`})+strings.Repeat(down, n))
	}},
	{"many members", func(d *draft) {
		o := d.level()
		for i := range pick(d.r, []int{200, 250, 256, 300}) {
			*o = append(*o, member{jsonString("m" + strings.Repeat("x", i)), "1"})
		}
		if d.r.IntN(2) == 0 {
			d.add(o, member{`"name"`, `"secret"`})
		}
	}},
	{"a big argument", func(d *draft) {
		d.set(&d.params, `"arguments"`, `{"text":"`+strings.Repeat(pick(d.r, []string{"x", `\n`, "é", `\u00e9`}), pick(d.r, []int{100, 5_000, 30_000, 70_000}))+`"}`)
	}},
	{"white space around", func(d *draft) {
		d.change(func(s string) string {
			spaces := []string{" ", "\n", "\t", "\r", "\v", "\f", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x00", "\x1e", "\u3000", "", "\u180e"}
			return pick(d.r, spaces) + s + pick(d.r, spaces)
		})
	}},
	{"white space inside", func(d *draft) {
		d.change(func(s string) string {
			return strings.Replace(s, pick(d.r, []string{":", ",", "{", "}"}), pick(d.r, []string{":", ",", "{", "}"})+pick(d.r, []string{"\v", "\f", "\u00a0", "\x00", "\ufeff", " \n "}), 1)
		})
	}},
	{"something behind", func(d *draft) {
		d.change(func(s string) string {
			return s + pick(d.r, []string{
				",", "}", "]", "x", "\x00", "null", "{}", "\n" + `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"secret"}}`,
				`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"secret"}}`, "//", "#", "\x1a", "\n\n",
			})
		})
	}},
	{"something in front", func(d *draft) {
		d.change(func(s string) string {
			return pick(d.r, []string{"{}", "null", "[]", `{"jsonrpc":"2.0","id":9,"method":"ping"}`, ",", "x", ")]}',\n", "\xef\xbb\xbf", "\xfe\xff", "data: ", "Content-Length: 9\r\n\r\n", "1"}) + s
		})
	}},
	{"a batch", func(d *draft) {
		d.change(func(s string) string {
			call := `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":` + quote(d.r, pick(d.r, toolList)) + `}}`
			ping := `{"jsonrpc":"2.0","id":6,"method":"ping"}`
			return pick(d.r, []string{
				"[" + s + "]", "[" + s + "," + call + "]", "[" + call + "," + s + "]", "[[" + s + "]]", "[" + ping + ",[" + s + "]]", "[" + s + ",null]", "[" + s + ",1]",
				"[]", "[" + s + ",]", "[" + s, s + "]", "[" + ping + "," + ping + "," + s + "]", `{"0":` + s + `}`, "[" + s + "][" + call + "]", "[" + s + "]" + call, `[{},` + s + "]",
				"[" + call + "," + call + "," + s + "]",
			})
		})
	}},
	{"a response at the same time", func(d *draft) {
		d.add(&d.message, member{pick(d.r, []string{`"result"`, `"error"`}), pick(d.r, []string{`{}`, `null`, `{"code":1,"message":"x"}`, `{"name":"secret"}`, `1`})})
	}},
	{"no method", func(d *draft) { d.set(&d.message, `"method"`, pick(d.r, []string{`""`, `null`, `" "`, `"\u0000"`})) }},
	{"leave a member out", func(d *draft) {
		o := d.level()
		if len(*o) > 1 {
			i := d.r.IntN(len(*o))
			*o = slices.Delete(*o, i, i+1)
		}
	}},
	{"cut off", func(d *draft) { d.change(func(s string) string { return s[:d.r.IntN(len(s)+1)] }) }},
	{"another byte", func(d *draft) {
		d.change(func(s string) string {
			if s == "" {
				return s
			}
			b := []byte(s)
			b[d.r.IntN(len(b))] = pick(d.r, []byte("\"\\{}[]:,\x00 \x80\xff/0aA_\n"))
			return string(b)
		})
	}},
	{"a byte more or less", func(d *draft) {
		d.change(func(s string) string {
			if s == "" {
				return s
			}
			i := d.r.IntN(len(s))
			if d.r.IntN(2) == 0 {
				return s[:i] + s[i+1:]
			}
			return s[:i] + string(pick(d.r, []byte("\"\\{}[]:,\x00 /0a"))) + s[i:]
		})
	}},
	{"another byte order", func(d *draft) {
		d.change(func(s string) string {
			var b strings.Builder
			if d.r.IntN(2) == 0 {
				b.WriteString("\xff\xfe")
			}
			for _, c := range []byte(s) {
				b.WriteByte(c)
				b.WriteByte(0)
			}
			return b.String()
		})
	}},
	{"headers that lie", func(d *draft) {
		d.out.name = pick(d.r, []string{"open", "secret", "=?base64?c2VjcmV0?=", "note://1", "", "memo://1", "Open"})
		d.out.method = pick(d.r, []string{"ping", "tools/call", "TOOLS/CALL", "", "prompts/get"})
	}},
	{"another content type", func(d *draft) {
		d.out.contentType = pick(d.r, []string{
			"application/json; charset=utf-8", "application/json; charset=utf-16", "APPLICATION/JSON", "text/plain", "application/json-patch+json",
			"application/json, text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json;", "application/cbor",
		})
	}},
	{"packed", func(d *draft) {
		d.out.encoding = pick(d.r, []string{"gzip", "gzip", "identity", "deflate", "br", "GZIP, gzip"})
		if d.out.encoding == "gzip" {
			d.change(func(s string) string {
				var b bytes.Buffer
				w := gzip.NewWriter(&b)
				_, _ = w.Write([]byte(s))
				_ = w.Close()
				return b.String()
			})
		}
	}},
	{"of unknown length", func(d *draft) { d.out.chunked = true }},
	{"another verb", func(d *draft) {
		d.out.verb = pick(d.r, []string{http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodHead, "post"})
	}},
	{"another document", func(d *draft) {
		text := pick(d.r, []string{"", " ", "null", "1", `"tools/call"`, "{}", "[]", "[null]", "true", "\x00", `{"method":"tools/call"}`, "[[]]", `{"":""}`, `[{}]`, "\n"})
		d.change(func(string) string { return text })
	}},
}

// change makes f change the whole body, after all earlier changes.
func (d *draft) change(f func(string) string) { d.texts = append(d.texts, f) }

// set gives a member another value, if there is one of that name.
func (d *draft) set(o *object, name, value string) {
	for i := range *o {
		if (*o)[i].name == name {
			(*o)[i].value = value
		}
	}
}

// setName gives the operation another name.
func (d *draft) setName(name string) {
	d.name = name
	for _, o := range []*object{&d.params, &d.ref} {
		for _, m := range []string{`"name"`, `"uri"`} {
			d.set(o, m, quote(d.r, name))
		}
	}
}
