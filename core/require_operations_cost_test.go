package mcpauth_test

import (
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const fourMiB = 4 << 20

// A hostileBody is one of 4 MiB that asks for as much work as its kind can.
type hostileBody struct {
	name, body string
	full       bool // a batch of as many messages as a body has room for
}

// hostileBodies has the most expensive bodies that are known of each kind.
func hostileBodies() []hostileBody {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":`
	read := func(uri string) string { return `{"method":"resources/read","params":{"uri":"` + uri + `"}}` }
	full := func(unit string) string { return strings.Repeat(unit, (8<<10-len("files:///"))/len(unit)) } // of a URI's length
	uri := func(unit string) string { return "files:///" + full(unit) }
	// Objects of as many members as may be, none repeated.
	object := func(members int, name func(int) string) string {
		var b strings.Builder
		for i := range members {
			fmt.Fprintf(&b, `,%q:1`, name(i))
		}
		return "{" + b.String()[1:] + "}"
	}
	short := object(256, func(i int) string { return string(rune('a'+i/16)) + string(rune('a'+i%16)) })
	long := func(size int) string {
		return object(250, func(i int) string { return strings.Repeat("x", size) + strconv.Itoa(100+i) })
	}
	listen := func(uri string) string {
		return `{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["` + uri + `"` + strings.Repeat(`,"`+uri+`"`, 999) + `]}}}`
	}
	listenTo := func(uri func(int) string) string {
		var uris []string
		for i := range 1000 {
			uris = append(uris, strconv.Quote(uri(i)))
		}
		return `{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[` + strings.Join(uris, ",") + `]}}}`
	}
	var all []hostileBody
	// A batch is tried in full and with as many messages as pass.
	batch := func(name, message string) {
		for _, most := range []int{fourMiB, 30_000, 1000, 500, 100, 30, 10} {
			if n := min(most, (fourMiB-2)/(len(message)+1)); n == most || most == fourMiB {
				all = append(all, hostileBody{fmt.Sprintf("%s, %d", name, n), "[" + strings.Repeat(message+",", n-1) + message + "]", most == fourMiB})
			}
		}
	}
	argument := func(name, before, unit, after string) {
		n := (fourMiB - len(call) - len(before) - len(after) - 2) / len(unit)
		all = append(all, hostileBody{name, call + before + strings.Repeat(unit, n) + after + "}}", false})
	}

	argument("white space", " ", " ", "1")
	argument("a string", `"`, "x", `"`)
	argument("a string in Unicode", `"`, "ſ", `"`)
	argument("escapes", `"`, `\n`, `"`)
	argument("escaped letters", `"`, `\u0061`, `"`)
	argument("escaped pairs", `"`, `\ud83d\ude00`, `"`)
	argument("digits", "", "1", "")
	argument("numbers", "[", "1,", "1]")
	argument("small exponents", "[", "1e1,", "1]")
	argument("large exponents", "[", "1e100,", "1]")
	for _, digits := range []int{19, 100, 700} {
		for _, f := range []float64{1e-300, 1e300} {
			argument(fmt.Sprintf("numbers of %d digits between two floats near %g", digits, f), "[", between(f).Text('e', digits)+",", "1]")
		}
	}
	argument("empty arrays", "[", "[],", "1]")
	argument("empty objects", "[", "{},", "1]")
	argument("deep arrays", "[", strings.Repeat("[", 500)+strings.Repeat("]", 500)+",", "1]")
	argument("deep objects", "[", strings.Repeat(`{"":`, 500)+"1"+strings.Repeat("}", 500)+",", "1]")
	argument("members", "{", `"":1,`, `"":1}`)
	argument("literals", "[", "null,", "1]")

	batch("empty messages", `{}`)
	batch("responses", `{"id":1,"result":{}}`)
	batch("notifications", `{"method":"notifications/x"}`)
	batch("calls", `{"method":"tools/call","params":{"name":"a"}}`)
	batch("unlisted calls", `{"method":"tools/call","params":{"name":"`+strings.Repeat("n", 8<<10)+`"}}`)
	batch("unknown methods", `{"method":"`+strings.Repeat("n", 4000)+`"}`)
	batch("messages of many members", short)
	batch("parameters of many members", `{"method":"ping","params":`+short+`}`)
	batch("parameters of many long members", `{"method":"ping","params":`+long(50)+`}`)
	batch("parameters of many longer members", `{"method":"ping","params":`+long(1000)+`}`)
	batch("parameters of many members of 16 KiB", `{"method":"ping","params":`+long(16<<10-10)+`}`)
	batch("lookalikes", `{"method":"ping","params":`+object(256, func(i int) string { return "notificationſ" + strconv.Itoa(i) })+`}`)
	batch("escaped names", `{"method":"tools/call","params":{"name":"`+strings.Repeat(`\u0061`, 8<<10)+`"}}`)
	batch("reads of many segments", read(uri("a/")))
	batch("reads of almost dot segments", read(uri(".x/")))
	batch("reads of escaped segments", read(uri("%2fa")))
	batch("reads of percent signs", read(uri("%25")))
	batch("reads of bad percent signs", read(uri("%")))
	batch("reads of slashes", read(uri("/")))
	batch("reads of backslashes", read(uri(`\\`)))
	batch("reads of capitals", read(uri("AB")))
	batch("reads of Unicode", read(uri("ſ/")))
	batch("reads of encoded Unicode", read(uri("%C5%BF")))
	batch("reads of broken Unicode", read(uri("%ff")))
	batch("reads of spaces in segments", read(uri("%09 .x")))
	batch("reads with a query", read("files:///"+full("?ſA/")))
	batch("reads of needles", read(uri("needleneedl/")))
	batch("reads of needles, with a query", read("files:///%41"+full("/needleneedl")+"?"))
	batch("reads of short needles", read("files:///%41/needleneedl?"))
	batch("reads of dot segments", read("files:///../"))
	batch("reads of what all patterns match", read("files:///n/n/needleneedle/x"))
	batch("reads of the shortest", read("f:"))
	batch("subscriptions to dot segments", listen("files:///../"))
	batch("subscriptions to needles", listen("files:///%41/needleneedl?"))
	batch("subscriptions in lists of another method", strings.Replace(listen("f"), "subscriptions/listen", "ping", 1))
	batch("subscriptions to everything", listenTo(func(i int) string { return "files:///n" + strconv.Itoa(i) + "/x" }))
	batch("completions", `{"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"`+uri("a/")+`"}}}`)
	return all
}

// between returns the number in the middle between f and the next float64.
func between(f float64) *big.Float {
	sum := new(big.Float).SetPrec(2000).Add(big.NewFloat(f), big.NewFloat(math.Nextafter(f, math.Inf(1))))
	return sum.Quo(sum, big.NewFloat(2))
}

// hostilePolicies are those of 1,000 patterns, each with a scope of its own, that take the most work.
func hostilePolicies() map[string]mcpauth.Rules {
	policies := make(map[string]mcpauth.Rules)
	for name, pattern := range map[string]string{
		"exact":    "files:///n%d/x",
		"prefixes": "files:///n%d/{x}",
		"suffixes": "files:///{x}/n%d",
		"parts":    "files:///{x}/needleneedle%d/{y}",
		"short":    "files:///{x}a{y}b{z}%d",
		"all":      "files:///{x}needle{y}n{z}e{u}{v%d}",
	} {
		resources := make(map[string][]string)
		for i := range 1000 {
			resources[fmt.Sprintf(pattern, i)] = []string{"scope:" + strconv.Itoa(i)}
		}
		policies[name] = mcpauth.Rules{Tools: scopeRules(map[string][]string{"a": {"scope:1"}}), Resources: scopeRules(resources)}
	}
	return policies
}

// send has a body checked, and returns the status: 204 if it comes through.
func (h hostileBody) send(t testing.TB, handler http.Handler, session *mcpauth.Session) int {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(mcpauth.NewContext(t.Context(), session), http.MethodPost, "/mcp", strings.NewReader(h.body))
	handler.ServeHTTP(w, r)
	return w.Code
}

func requireOperations(t testing.TB, scopes mcpauth.Rules) http.Handler {
	t.Helper()
	policy, err := mcpauth.NewPolicy(scopes)
	if err != nil {
		t.Fatal(err)
	}
	require := newFixture(t, nil).rs.RequireOperations(policy)
	return require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
}

// TestR92HostileBodies sees full batches refused, and what a tool is called with let through, whatever it costs to read.
func TestR92HostileBodies(t *testing.T) {
	t.Parallel()
	handler := requireOperations(t, hostilePolicies()["parts"])
	session := mcpauthtest.NewSession(m{"scope": "scope:1"})
	for _, body := range hostileBodies() {
		if n := len(body.body); n > fourMiB || body.full && n < fourMiB-512<<10 {
			t.Errorf("%s has %d bytes", body.name, n)
		}
		want := http.StatusNoContent
		switch {
		case body.full, body.name == "digits": // a number beyond float64
			want = http.StatusBadRequest
		case body.body[0] == '[':
			continue // somewhere between the two
		}
		if got := body.send(t, handler, session); got != want {
			t.Errorf("%s: status %d, want %d", body.name, got, want)
		}
	}
}

// BenchmarkHostileBodies prints what the check of a body of 4 MiB takes, reading included. R92 allows 50 ms.
func BenchmarkHostileBodies(b *testing.B) {
	session := mcpauthtest.NewSession(m{"scope": "scope:1"})
	bodies := hostileBodies()
	for name, scopes := range hostilePolicies() {
		handler := requireOperations(b, scopes)
		for _, body := range bodies {
			if name != "exact" && !strings.Contains(body.body, "files://") {
				continue // policies make no difference
			}
			b.Run(name+"/"+body.name, func(b *testing.B) {
				status := 0
				for b.Loop() {
					status = body.send(b, handler, session)
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
				b.ReportMetric(float64(status), "status")
			})
		}
	}
}
