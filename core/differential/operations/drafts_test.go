package operations_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A member is a member of a JSON object. Both parts go into the body as they are.
type member struct{ name, value string }

type object []member

// draft is a message that is being made. Mutations change it.
type draft struct {
	r *rand.Rand

	message, params, ref, notifications object
	paramsText                          string // replaces params
	texts                               []func(string) string

	method, name string // before any mutation
	out          message
}

var (
	toolList     = slices.Sorted(maps.Keys(listedTools))
	promptList   = slices.Sorted(maps.Keys(listedPrompts))
	resourceList = []string{
		"fixed://one", "fixed://two", "files:///secret/a", "files:///secret/deep/b/top", "files:///public/readme", "note://1",
		"memo://1", "db://orders", "db://orders?q=1", "mix://secret/1", "mix://open/1", "files:///etc/hosts",
	}
	// One file under many names, and names that only look alike.
	aliases = []string{
		"files:///public/../secret/a", "files:///./secret/a", "files:////secret//a", "files:///%73ecret/a", "files:///secret%2fa",
		"files:///%2e%2E/secret/a", "files:///public/%2e./secret/a", "files:///../../secret/a", "files:///SECRET/a",
		"FILES:///secret/a", "files:///public/..%5csecret/a", "files:///secret/a?x", "files:///secret/deep/b/top#y",
		"files:///public/../secret/deep/../a", "files:/secret/a", "files:///secret/deep/b//../top", "files:///secret/deep//../b/top",
		"files:///public//../../secret/a", "files:///public/x/%2F../%2e./../secret/a", "files:///%C5%BFecret/a", "files:///public?/../secret/a",
		"files:///public/%2e%2e%2fsecret%2fa", "files:///public/..%2Fsecret/a", "files:///secre%74/deep/b/top", "files:///secret/./deep/././b/top",
		"files:///public/../public/../secret/", "files:///public/../secret", "files:///secret/../public/a", "files:///publicx/../secret/a",
		"files:///x/..//secret/a", "files:///x//..//secret/a", "files:///x///../../secret/a", "files:///public/%00/../../secret/a",
		"note:///1", "NOTE://1", "note:1", "note://%31", "note://x/../y", "memo://../note://1", "memo://1?x", "memo://note",
		"db://orders?q=%31", "DB://orders", "db:///orders", "mix://open%2F..%2Fsecret/1", "mix://secret%2f1/1", "mix://Secret/1",
		"mix://SECRET/1", "mix://open/../secret", "mix://%73ecret/1", "fixed://one?x", "FIXED://one", "fixed://%6Fne", "fixed://one/",
		"fixed://one#", "fixed://two?", "files:///{+path}", "note://{id}", "memo://{id}", "db://{table}{?q}", "*", "files:///*", "",
	}
	methods = []string{
		"tools/call", "tools/call", "tools/call", "tools/call", "tools/call", "prompts/get", "prompts/get", "resources/read", "resources/read",
		"resources/read", "resources/subscribe", "completion/complete", "completion/complete", "subscriptions/listen", "harmless",
	}
	harmless = []string{
		"ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "logging/setLevel", "resources/unsubscribe",
		"server/discover", "initialize", "notifications/initialized", "notifications/progress", "tasks/list", "tasks/get", "custom/run",
	}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// quote writes a string in one of the ways that JSON has for it.
func quote(r *rand.Rand, s string) string {
	plain := jsonString(s)
	if r.IntN(6) > 0 {
		return plain
	}
	return escape(r, s)
}

// escape writes some of a string's characters as escapes.
func escape(r *rand.Rand, s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '/' && r.IntN(2) == 0:
			b.WriteString(`\/`)
		case c < 0x10000 && (r.IntN(3) == 0 || c < ' ' || c == '"' || c == '\\'):
			hex := strconv.FormatInt(int64(c)+0x10000, 16)[1:]
			if r.IntN(2) == 0 {
				hex = strings.ToUpper(hex)
			}
			b.WriteString(`\u` + hex)
		case c >= 0x10000:
			b.WriteString(`\u` + strconv.FormatInt(int64((c-0x10000)>>10)+0xd800, 16) + `\u` + strconv.FormatInt(int64((c-0x10000)&0x3ff)+0xdc00, 16))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			b.WriteString(`\u00` + strconv.FormatInt(int64(c)+0x100, 16)[1:])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// newDraft returns a message as a client would send it.
func newDraft(r *rand.Rand) *draft {
	d := &draft{r: r, method: pick(r, methods)}
	id := pick(r, []string{"1", "1", `"a"`, "7", "123456789"})
	switch d.method {
	case "harmless":
		d.method = pick(r, harmless)
		switch d.method {
		case "logging/setLevel":
			d.params = object{{`"level"`, `"info"`}}
		case "initialize":
			d.params = object{{`"protocolVersion"`, `"2025-06-18"`}, {`"capabilities"`, `{}`}, {`"clientInfo"`, `{"name":"secret","version":"1"}`}}
		case "resources/unsubscribe":
			d.params = object{{`"uri"`, `"note://1"`}}
		case "tasks/get":
			d.params = object{{`"taskId"`, `"secret"`}}
		case "notifications/progress":
			d.params = object{{`"progressToken"`, `1`}, {`"progress"`, `1`}}
		case "custom/run":
			d.params = object{{`"name"`, `"secret"`}}
		}
		if strings.HasPrefix(d.method, "notifications/") {
			id = ""
		}
	case "tools/call":
		d.name = pick(r, toolList)
		if r.IntN(8) == 0 {
			d.name = pick(r, append(unlistedTools, "nowhere", "open"))
		}
		d.params = object{{`"name"`, quote(r, d.name)}, {`"arguments"`, pick(r, []string{`{}`, `{"name":"secret","NAME":1}`, `{"x":[1,{"y":null}],"x":2}`, `{"n":1.5e3}`})}}
		if r.IntN(6) == 0 {
			d.params = append(d.params, member{`"task"`, `{"ttl":60000}`})
		}
		if r.IntN(8) == 0 {
			d.params = append(d.params, member{`"inputResponses"`, `{"a":{"action":"accept","content":{"name":"secret"}}}`}, member{`"requestState"`, `"eyJ"`})
		}
	case "prompts/get":
		d.name = pick(r, promptList)
		d.params = object{{`"name"`, quote(r, d.name)}, {`"arguments"`, `{"code":"x"}`}}
	case "resources/read", "resources/subscribe":
		d.name = pick(r, resourceList)
		d.params = object{{`"uri"`, quote(r, d.name)}}
	case "completion/complete":
		if r.IntN(2) == 0 {
			d.name = pick(r, promptList)
			d.ref = object{{`"type"`, `"ref/prompt"`}, {`"name"`, quote(r, d.name)}}
		} else {
			d.name = pick(r, append(resourceTemplates, resourceList...))
			d.ref = object{{`"type"`, `"ref/resource"`}, {`"uri"`, quote(r, d.name)}}
		}
		d.params = object{{`"ref"`, ""}, {`"argument"`, `{"name":"a","value":"b"}`}}
	case "subscriptions/listen":
		d.name = pick(r, resourceList)
		d.notifications = object{{`"resourceSubscriptions"`, `[` + quote(r, d.name) + `,` + quote(r, pick(r, resourceList)) + `]`}}
		d.params = object{{`"notifications"`, ""}}
		d.meta()
	}
	if r.IntN(3) == 0 {
		d.meta()
	} else if r.IntN(4) == 0 && len(d.params) > 0 && d.method != "subscriptions/listen" {
		d.params = append(d.params, member{`"_meta"`, `{"progressToken":1,"name":"secret"}`})
	}
	d.message = object{{`"jsonrpc"`, `"2.0"`}, {`"id"`, id}, {`"method"`, quote(r, d.method)}}
	if id == "" {
		d.message = slices.Delete(d.message, 1, 2)
	}
	if len(d.params) > 0 || r.IntN(4) == 0 {
		d.message = append(d.message, member{`"params"`, ""})
	}
	if r.IntN(3) == 0 {
		r.Shuffle(len(d.message), func(i, j int) { d.message[i], d.message[j] = d.message[j], d.message[i] })
	}
	if r.IntN(3) == 0 {
		r.Shuffle(len(d.params), func(i, j int) { d.params[i], d.params[j] = d.params[j], d.params[i] })
	}
	return d
}

const metaText = `{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// meta adds what clients of 2026-07-28 send with each message.
func (d *draft) meta() {
	if !slices.ContainsFunc(d.params, func(m member) bool { return m.name == `"_meta"` }) {
		d.params = append(d.params, member{`"_meta"`, metaText})
	}
}

// text writes an object. open returns the values that the object leaves open.
func (d *draft) text(o object, open func(name string) string) string {
	var b strings.Builder
	space := func() {
		if d.r.IntN(12) == 0 {
			b.WriteString(pick(d.r, []string{" ", "\n", "\t", "\r\n", "  \t"}))
		}
	}
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		space()
		b.WriteString(m.name)
		space()
		b.WriteByte(':')
		space()
		if m.value == "" {
			m.value = open(m.name)
		}
		b.WriteString(m.value)
		space()
	}
	b.WriteByte('}')
	return b.String()
}

// build writes the message.
func (d *draft) build() *message {
	none := func(string) string { return "null" }
	m := &d.out
	m.body = d.text(d.message, func(string) string {
		if d.paramsText != "" {
			return d.paramsText
		}
		return d.text(d.params, func(string) string {
			if d.ref != nil {
				return d.text(d.ref, none)
			}
			return d.text(d.notifications, none)
		})
	})
	for _, change := range d.texts {
		m.body = change(m.body)
	}
	if m.method == "" && d.r.IntN(2) == 0 {
		m.method = d.method
	}
	if m.name == "" && d.r.IntN(2) == 0 && d.ref == nil && d.notifications == nil {
		m.name = d.name
	}
	return m
}
