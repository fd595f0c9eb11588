package devenv

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/page"
)

const (
	maxRequests   = 100
	maxShown      = 120     // characters of what a client chose
	maxErrorBytes = 4 << 10 // of an answer, in which the code of an error is looked for
)

// A requestLog keeps the last requests for the page, without what could be a code, a token or a secret: queries, bodies and
// headers.
type requestLog struct {
	mu      sync.Mutex
	list    []page.Request // the newest is last
	changed func()
}

func (l *requestLog) all() []page.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.list)
	slices.Reverse(list)
	return list
}

func (l *requestLog) add(r page.Request) {
	l.mu.Lock()
	if len(l.list) >= maxRequests {
		l.list = slices.Delete(l.list, 0, len(l.list)-maxRequests+1)
	}
	l.list = append(l.list, r)
	l.mu.Unlock()
	l.changed()
}

// record notes each request when it has been answered, or when its connection is closed instead.
func (l *requestLog) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		noting := &notingWriter{ResponseWriter: w}
		answered := false
		defer func() {
			entry := page.Request{
				At: began, Method: shorten(r.Method), Path: shortPath(r.URL), What: what(r), Client: shorten(r.Form.Get("client_id")),
				Took: time.Since(began),
			}
			if answered {
				entry.Status, entry.Error = noting.outcome()
			}
			l.add(entry)
		}()
		next.ServeHTTP(noting, r)
		answered = true
	})
}

// steps say in words what a path is for. The first that matches counts.
var steps = []struct {
	path *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`/oauth-authorization-server|/openid-configuration`), "Metadata"},
	{regexp.MustCompile(`^/keys$`), "Keys"},
	{regexp.MustCompile(`/clients:register$`), "Registration"},
	{regexp.MustCompile(`^/resources/[^/]+/oauth/authorize$`), "Authorization"},
	{regexp.MustCompile(`^/resources/[^/]+/oauth/authorize/`), "Consent"},
	{regexp.MustCompile(`/oauth/token$`), "Token"},
	{regexp.MustCompile(`/oauth/revoke$`), "Revocation"},
	{regexp.MustCompile(`^/scalekit\.|^/api/v1/organizations`), "Scalekit API"},
}

var grantType = regexp.MustCompile(`^[a-z0-9_:.-]{1,80}$`)

func what(r *http.Request) string {
	for _, step := range steps {
		if !step.path.MatchString(r.URL.Path) {
			continue
		}
		if grant := r.PostForm.Get("grant_type"); step.what == "Token" && grantType.MatchString(grant) {
			return step.what + " by " + grant
		}
		return step.what
	}
	return "Other"
}

// shortPath leaves out the id of an open sign-in page, with which a program could answer it.
func shortPath(u *url.URL) string {
	if before, _, ok := strings.Cut(u.Path, "/oauth/authorize/"); ok { // as routed: no letter is hidden by its percent-encoding
		return shorten((&url.URL{Path: before}).EscapedPath() + "/oauth/authorize/...")
	}
	return shorten(u.EscapedPath())
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "..."
	}
	return text
}

// A notingWriter notes how a request was answered.
type notingWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer // the beginning of an error
}

func (w *notingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *notingWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

func (w *notingWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *notingWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.status >= 400 && w.body.Len() < maxErrorBytes {
		w.body.Write(p[:min(len(p), maxErrorBytes-w.body.Len())])
	}
	return w.ResponseWriter.Write(p)
}

var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// outcome returns the status, and the code of an error: that in the body (RFC 6749 §5.2) or in a redirect (§4.1.2.1). A
// description is left out, because it may repeat what the client sent.
func (w *notingWriter) outcome() (status int, code string) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	var answer struct{ Error, Code any }
	if w.status >= 400 && json.Unmarshal(w.body.Bytes(), &answer) == nil {
		code, _ = answer.Error.(string)
	}
	if location, err := url.Parse(w.Header().Get("Location")); err == nil && w.status >= 300 && w.status < 400 {
		code = location.Query().Get("error")
	}
	if !errorCode.MatchString(code) {
		code = ""
	}
	return w.status, code
}
