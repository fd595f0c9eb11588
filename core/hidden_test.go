package mcpauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// An unknowing server answers as an MCP SDK does for operations that it does not have.
type unknowing func(w http.ResponseWriter, r *http.Request)

func (f unknowing) ServeSession(w http.ResponseWriter, r *http.Request)           { f(w, r) }
func (unknowing) IsPublic(*http.Request) bool                                     { return false }
func (unknowing) ServePublic(http.ResponseWriter, *http.Request, bool) (ran bool) { return false }

// hideSecrets is a Check that hides names with "secret" in them, and refuses those with "refused".
func hideSecrets(_ context.Context, _ *mcpauth.Session, op mcpauth.Operation) error {
	switch {
	case strings.Contains(op.Name, "secret"):
		return mcpauth.ErrHidden
	case strings.Contains(op.Name, "refused"):
		return fmt.Errorf("no")
	case strings.Contains(op.Name, "late"):
		return mcpauth.NeedScopes("late")
	}
	return nil
}

// hiddenSender returns a function that sends a body through RequireOperations with hideSecrets, to the handler of a server.
func hiddenSender(t *testing.T) func(server unknowing, body string, headers http.Header) *httptest.ResponseRecorder {
	t.Helper()
	send := wrappedSender(t)
	return func(server unknowing, body string, headers http.Header) *httptest.ResponseRecorder {
		return send(server, func(handler http.Handler) http.Handler { return handler }, body, headers)
	}
}

// wrappedSender is hiddenSender with a wrapper around the handler.
func wrappedSender(t *testing.T) func(server unknowing, wrap func(http.Handler) http.Handler, body string, headers http.Header) *httptest.ResponseRecorder {
	t.Helper()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	require := rs.RequireOperations(newPolicy(t, mcpauth.Rules{Check: hideSecrets}))
	return func(server unknowing, wrap func(http.Handler) http.Handler, body string, headers http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader(body))
		maps.Copy(r.Header, headers)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		w := httptest.NewRecorder()
		require(wrap(rs.SDKHandler(server))).ServeHTTP(w, r)
		return w
	}
}

// TestHiddenNames has hidden operations of every kind. The server behind sees other names for them, which differ from request
// to request, and everything else as it was sent.
func TestHiddenNames(t *testing.T) {
	t.Parallel()
	send := hiddenSender(t)
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"secret","arguments":{"name" : "a"}}}`,
		` {"params" : {"arguments":{"x":"y"},"name": "\u0073ecret" ,"_meta":{}},"method":"tools/call"}  `,
		`{"method":"prompts/get","params":{"name":"secret","uri":"u"}}`,
		`{"method":"resources/read","params":{"name":"n","uri":"secret://1"}}`,
		`{"method":"resources/subscribe","params":{"uri":"secret://1"}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"secret","uri":"u"}}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/resource","name":"n","uri":"secret://{id}"}}}`,
		`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a://1","secret://1","b://2"]}}}`,
		`[{"method":"tools/call","params":{"name":"open"}},{"method":"x/y","params":{"name":"n"}},{"method":"tools/call","params":{"name":"secret"}},{"method":"tools/call","params":{"name":"last"}}]`,
	} {
		var seen []string
		for range 2 {
			w := send(unknowing(func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err != nil || r.ContentLength != int64(len(got)) || strings.Contains(string(got), "ecret") {
					t.Errorf("the server behind gets %d bytes, %v: %s", r.ContentLength, err, got)
				}
				seen = append(seen, string(got))
				before, after := commonEnds(body, string(got))
				name := string(got)[len(before) : len(got)-len(after)]
				if len(name) < 26 || strings.ContainsAny(name, `"\{}[] `) {
					t.Errorf("%s became %s", body, got)
				}
				_, _ = fmt.Fprintf(w, `{"message":"unknown: %s"}`, name)
			}), body, nil)
			if w.Code != http.StatusOK {
				t.Errorf("%s: status %d", body, w.Code)
			}
		}
		if len(seen) != 2 || seen[0] == seen[1] {
			t.Errorf("%s became %q", body, seen)
		}
	}
}

// commonEnds returns what two texts have in common at their beginnings and ends, with the quotes around what differs.
func commonEnds(a, b string) (before, after string) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	j := 0
	for j < len(a)-i && j < len(b)-i && a[len(a)-1-j] == b[len(b)-1-j] {
		j++
	}
	return a[:i], a[len(a)-j:]
}

// TestHiddenAnswers has answers in which the names of hidden operations stand in several forms.
func TestHiddenAnswers(t *testing.T) {
	t.Parallel()
	send := hiddenSender(t)
	for name, c := range map[string]struct {
		answer func(name string) string
		want   string
	}{
		"a string of JSON":           {func(n string) string { return `"` + n + `"` }, `"secret <&> \"q\" \\ é"`},
		"with the escapes for HTML":  {func(n string) string { return `"` + strings.ReplaceAll(n, "&", `\u0026`) + `"` }, `"secret \u003c\u0026\u003e \"q\" \\ é"`},
		"quoted by Go within a text": {func(n string) string { return `"unknown \"` + n + `\""` }, `"unknown \"secret <&> \\\"q\\\" \\\\ é\""`},
		"twice":                      {func(n string) string { return n + " " + n }, `secret <&> \"q\" \\ é secret <&> \"q\" \\ é`},
		"not at all":                 {func(string) string { return "not found" }, "not found"},
		"another number":             {func(n string) string { return strings.Replace(n, "0&", "7&", 1) }, ""},
	} {
		w := send(unknowing(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, rest, _ := strings.Cut(string(body), `"name":"`)
			drawn, _, _ := strings.Cut(rest, `"`)
			text := c.answer(drawn)
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			n, err := io.WriteString(w, text)
			if n != len(text) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
			_ = http.NewResponseController(w).Flush()
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}), `{"method":"tools/call","params":{"name":"secret <&> \"q\" \\ é"}}`, nil)
		if w.Body.String() != c.want || w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: %q, length %s, want %q", name, w.Body, w.Header().Get("Content-Length"), c.want)
		}
	}
}

// TestHiddenIsRefused has requests that are not handed on, although something in them is hidden.
func TestHiddenIsRefused(t *testing.T) {
	t.Parallel()
	send := wrappedSender(t)
	call := func(name string) string { return `{"method":"tools/call","params":{"name":"` + name + `"}}` }
	for name, c := range map[string]struct {
		next      func(http.Handler) http.Handler
		body      string
		challenge bool
	}{
		"another handler":            {func(next http.Handler) http.Handler { return http.HandlerFunc(next.ServeHTTP) }, call("secret"), false},
		"a wrapped one":              {func(next http.Handler) http.Handler { return http.StripPrefix("/mcp", next) }, call("secret"), false},
		"with one that is refused":   {nil, "[" + call("secret") + "," + call("refused") + "]", false},
		"with one that needs scopes": {nil, "[" + call("secret") + "," + call("late") + "]", true},
		"a control character":        {nil, call(`secret\u0007`), false},
		"a separator":                {nil, call(`secret\u2028`), false},
	} {
		ran := false
		if c.next == nil {
			c.next = func(next http.Handler) http.Handler { return next }
		}
		w := send(func(http.ResponseWriter, *http.Request) { ran = true }, c.next, c.body, nil)
		if w.Code != http.StatusForbidden || ran || (w.Header().Get("WWW-Authenticate") != "") != c.challenge {
			t.Errorf("%s: status %d, the handler ran: %t, %v", name, w.Code, ran, w.Header())
		}
	}
}

// TestHiddenComesBeforeScopes has a Check of two parts, of which one hides and the other needs scopes. A challenge would tell that
// the operation is there.
func TestHiddenComesBeforeScopes(t *testing.T) {
	t.Parallel()
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []error{
		errors.Join(mcpauth.ErrHidden, mcpauth.NeedScopes("x")), errors.Join(mcpauth.NeedScopes("x"), mcpauth.ErrHidden),
		fmt.Errorf("%w: %w", mcpauth.NeedScopes("x"), mcpauth.ErrHidden),
	} {
		policy := newPolicy(t, mcpauth.Rules{Check: func(context.Context, *mcpauth.Session, mcpauth.Operation) error { return refused }})
		if policy.Visible(t.Context(), nil, mcpauth.OperationTool, []string{"secret"})[0] {
			t.Errorf("%v: it is in lists", refused)
		}
		seen := ""
		handler := rs.RequireOperations(policy)(rs.SDKHandler(unknowing(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			seen = string(body)
		})))
		r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader(`{"method":"tools/call","params":{"name":"secret"}}`))
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Header().Get("WWW-Authenticate") != "" || seen == "" || strings.Contains(seen, "secret") {
			t.Errorf("%v: %d %v, the server behind sees %s", refused, w.Code, w.Header(), seen)
		}
	}
}

// TestHiddenHeaders has headers that name the operation too, and one that would have the answer compressed.
func TestHiddenHeaders(t *testing.T) {
	t.Parallel()
	send := hiddenSender(t)
	lines := append([]string{"secret", "other", "=?base64?c2VjcmV0?=", "=?base64?b3RoZXI=?=", "=?base64?secret?="}, slices.Repeat([]string{"=?base64?c2VjcmV0?="}, 1000)...)
	headers := http.Header{"Mcp-Name": lines, "Accept-Encoding": {"gzip"}, "X-Name": {"secret"}}
	w := send(unknowing(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		names := r.Header["Mcp-Name"]
		_, _ = fmt.Fprint(w, names[:5])
		encoded := "=?base64?" + base64.StdEncoding.EncodeToString([]byte(names[0])) + "?="
		if len(names) != 16 || !slices.Equal(names[1:5], []string{"other", encoded, "=?base64?b3RoZXI=?=", "=?base64?secret?="}) || !strings.Contains(string(body), `"name":"`+names[0]+`"`) || r.Header["Accept-Encoding"] != nil || r.Header.Get("X-Name") != "secret" {
			t.Errorf("headers %v for %s", r.Header, body)
		}
	}), `{"method":"tools/call","params":{"name":"secret"}}`, headers)
	if want := fmt.Sprint(lines[:5]); w.Body.String() != want {
		t.Errorf("the answer is %s, want %s", w.Body, want)
	}
	if headers.Get("Mcp-Name") != "secret" {
		t.Error("the headers of the request were changed")
	}
}

// TestR92HiddenNames has a batch of 1,000 hidden operations, and an answer that names all of them.
func TestR92HiddenNames(t *testing.T) {
	t.Parallel()
	send := hiddenSender(t)
	const one = `{"method":"tools/call","params":{"name":"secret"}}`
	body := "[" + strings.Repeat(one+",", 999) + one + "]"
	w := send(unknowing(func(w http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		_, _ = w.Write(all)
	}), body, nil)
	if w.Body.String() != body {
		t.Errorf("the answer is %.200s", w.Body)
	}
}

// TestHiddenInLongBodies has bodies up to MaxBodyBytes for a server with the same bound: hidden names, and those of operations that
// are not there, have the same answers, although the server sees longer names for the hidden ones.
func TestHiddenInLongBodies(t *testing.T) {
	t.Parallel()
	const most = 1000
	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	bounded := rs.SDKHandler(unknowing(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) > most {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	handler := rs.RequireOperations(newPolicy(t, mcpauth.Rules{Check: hideSecrets, MaxBodyBytes: most}))(bounded)
	token := env.Token(nil)
	statuses := map[int]int{}
	for n := most - 100; n <= most+1; n++ {
		var got []int
		for _, name := range []string{"secret", "absent"} {
			one := `{"method":"tools/call","params":{"name":"` + name + `"}}`
			r := httptest.NewRequest(http.MethodPost, rs.Path(), strings.NewReader("["+one+","+one+strings.Repeat(" ", n-2*len(one)-3)+"]"))
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			got = append(got, w.Code)
			statuses[w.Code]++
		}
		if got[0] != got[1] {
			t.Errorf("%d bytes: %d for what is hidden, and %d for what is not there", n, got[0], got[1])
		}
	}
	if len(statuses) != 2 || statuses[200] < 50 || statuses[413] < 2 {
		t.Errorf("the answers are %v", statuses)
	}
}

// TestHiddenExcerpts has answers that quote a request that the server could not use: the whole of it, and 32 bytes from the
// value on. They are those about the request as the client sent it.
func TestHiddenExcerpts(t *testing.T) {
	t.Parallel()
	send := hiddenSender(t)
	const params = `{"_meta":1,"name":"\u0073ecret","x":"long enough"}`
	quoting := func(params string) string {
		at := strings.Index(params, "1,")
		text, _ := json.Marshal(fmt.Sprintf("unmarshaling %q: cannot unmarshal %q into x", params, params[at:at+32]+"..."))
		return string(text)
	}
	w := send(unknowing(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, after, _ := strings.Cut(string(body), `"params":`)
		_, _ = io.WriteString(w, quoting(strings.TrimSuffix(after, "}")))
	}), `{"method":"tools/call","params":`+params+`}`, nil)
	if want := quoting(params); w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}
