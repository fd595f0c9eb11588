package flow

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const page = `<!DOCTYPE html><title>Sign in</title>
<form method="post" action="/a?b=1&amp;c=2">
<input type="hidden" name="csrf" value="a&#43;b">
<label><input type="radio" name="user" value="usr_ada" checked> <span>Ada Lovelace <small>ada@x.example</small></span></label>
<label><input type="radio" name="user" value="usr_grace"> <span>Grace Hopper</span></label>
<input type="checkbox" name="remember" value="yes"><input type="checkbox" name="more" value="yes" checked>
<button name="decision" value="approve">Approve</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>
<form action="/other"><input name="csrf" value="other"></form>`

func TestForm(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]string{"": "usr_ada", "usr_grace": "usr_grace", "grace hopper": "usr_grace", "ada@x.example": "usr_ada"} {
		form, err := parseForm(page)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := form.choose(user); err != nil {
			t.Errorf("%q: %v", user, err)
		}
		fields := url.Values{"csrf": {"a+b"}, "user": {want}, "more": {"yes"}, "decision": {"approve"}}
		if form.action != "/a?b=1&c=2" || !maps.EqualFunc(form.fields, fields, slices.Equal) {
			t.Errorf("%q: %s %v, want %v", user, form.action, form.fields, fields)
		}
	}
}

func TestFormWithoutChoice(t *testing.T) {
	t.Parallel()
	form, err := parseForm(page)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := form.choose("eve"); err == nil || !strings.Contains(err.Error(), "usr_grace (Grace Hopper)") {
		t.Errorf("an unknown user: %v", err)
	}
	if _, err := parseForm("<style>x</style><h1>This did</h1> not work"); err == nil || !strings.HasSuffix(err.Error(), "This did not work") {
		t.Errorf("a page without a form: %v", err)
	}
}

// A page that guesses the client's port can't answer instead of the authorization server.
func TestCallback(t *testing.T) {
	t.Parallel()
	r := &redirect{expected: make(map[string]chan url.Values)}
	answer := r.expect("right")
	send := func(query string) int {
		w := httptest.NewRecorder()
		r.callback(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/callback?"+query, nil))
		return w.Code
	}
	for query, want := range map[string]int{"code=1": 400, "code=1&state=wrong": 400} {
		if got := send(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if got := send("code=2&state=right"); got != http.StatusOK {
		t.Errorf("the right state: %d", got)
	}
	if got := send("code=3&state=right"); got != http.StatusBadRequest {
		t.Errorf("the right state again: %d", got)
	}
	if got := (<-answer).Get("code"); got != "2" {
		t.Errorf("code = %s", got)
	}
}
