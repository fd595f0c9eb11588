package flow

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// answers answers requests by a fixed response.
type answers struct {
	status          int
	challenge, body string
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	resp := &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(a.body)),
	}
	if a.challenge != "" {
		resp.Header.Set("WWW-Authenticate", a.challenge)
	}
	return resp, nil
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const refused = `{"error_description":"this operation is not open to clients"}`
	for name, c := range map[string]struct {
		token  string
		answer answers
		want   string
	}{
		"no token":             {"", answers{401, "Bearer", ""}, "== A request without a token\n"},
		"a token that ended":   {"Bearer x", answers{401, "Bearer", ""}, "== A request with a token that is refused\n"},
		"a scope is missing":   {"Bearer x", answers{403, "Bearer", ""}, "== A request with a token that is not enough\n"},
		"a role is missing":    {"Bearer x", answers{403, "", refused}, "error_description: this operation is not open to clients\n"},
		"a page of a proxy":    {"Bearer x", answers{403, "", "<h1>no</h1>"}, "-> Forbidden\n"},
		"a method not allowed": {"Bearer x", answers{405, "", ""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			n := &narrator{next: c.answer, out: &out, endpoint: "http://localhost:3001/mcp"}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.endpoint, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				req.Header.Set("Authorization", c.token)
			}
			resp, err := n.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != c.answer.body {
				t.Errorf("the client gets the body %q, %v", body, err)
			}
			if got := out.String(); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("the story is %q, want %q in it", got, c.want)
			}
		})
	}
}
