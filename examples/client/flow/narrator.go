package flow

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A narrator describes the requests that pass through it. It never shows a token, a code or a secret.
type narrator struct {
	next     http.RoundTripper
	out      io.Writer
	endpoint string
	clientID string // of a client that does not register

	mu                   sync.Mutex        // also keeps descriptions from mixing
	registration, tokens string            // endpoints, as the metadata names them
	shown                map[string]string // the documents that were shown, by their titles
	granted              int               // how many tokens the client got
}

func (n *narrator) RoundTrip(req *http.Request) (*http.Response, error) {
	form := formOf(req)
	resp, err := n.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	address := req.URL.String()
	switch {
	case address == n.endpoint:
		switch {
		case resp.StatusCode >= http.StatusBadRequest && resp.Header.Get("WWW-Authenticate") != "":
			n.challenge(req, resp)
		case resp.StatusCode == http.StatusForbidden:
			n.refusal(req, resp)
		}
	case strings.Contains(req.URL.Path, "/.well-known/oauth-protected-resource"):
		n.document("Protected resource metadata: who may issue tokens for it", req, resp)
	case strings.Contains(req.URL.Path, "/.well-known/"):
		doc := n.document("Authorization server metadata: where to get one", req, resp)
		if resp.StatusCode == http.StatusOK {
			n.registration, _ = doc["registration_endpoint"].(string)
			n.tokens, _ = doc["token_endpoint"].(string)
			if n.clientID != "" {
				n.heading("No registration: the client's id is the URL of its metadata document")
				n.line("client_id  %s", n.clientID)
			}
		}
	case address == n.registration:
		doc := n.read(resp)
		n.heading("Registration (RFC 7591)")
		n.line("POST %s -> %s", address, resp.Status)
		n.line("client_id  %v", doc["client_id"])
		if n.granted > 0 {
			n.line("The go-sdk's client registers again whenever it asks for more scopes. Others keep their id.")
		}
	case address == n.tokens:
		n.token(req, resp, form)
	}
	return resp, nil
}

func (n *narrator) challenge(req *http.Request, resp *http.Response) {
	switch {
	case req.Header.Get("Authorization") == "":
		n.heading("A request without a token")
	case resp.StatusCode == http.StatusForbidden:
		n.heading("A request with a token that is not enough")
	default:
		n.heading("A request with a token that is refused")
	}
	n.line("%s %s -> %s", req.Method, req.URL, resp.Status)
	for _, value := range resp.Header.Values("WWW-Authenticate") {
		n.line("WWW-Authenticate: %s", value)
	}
}

// refusal tells of a request that no other token of this user would help.
func (n *narrator) refusal(req *http.Request, resp *http.Response) {
	doc := n.read(resp)
	n.heading("A request that is refused, and the server's log says why")
	n.line("%s %s -> %s", req.Method, req.URL, resp.Status)
	if doc["error_description"] != nil {
		n.line("error_description: %v", doc["error_description"])
	}
}

func (n *narrator) document(title string, req *http.Request, resp *http.Response) map[string]any {
	doc := n.read(resp)
	text := indented(doc)
	same := n.shown[title] == text
	heading := title
	if same {
		heading = "The same again: " + strings.ToLower(title[:1]) + title[1:]
	}
	n.heading(heading)
	n.line("%s %s -> %s", req.Method, req.URL, resp.Status)
	if resp.StatusCode == http.StatusOK && !same {
		n.line("%s", text)
		if n.shown == nil {
			n.shown = make(map[string]string)
		}
		n.shown[title] = text
	}
	return doc
}

// token shows the claims of an access token, for demonstration only. They are meant for the resource server: a client that
// reads them breaks when they change, or are encrypted.
func (n *narrator) token(req *http.Request, resp *http.Response, form url.Values) {
	doc := n.read(resp)
	n.heading("Token (" + form.Get("grant_type") + ")")
	n.line("POST %s -> %s", req.URL, resp.Status)
	if resp.StatusCode != http.StatusOK {
		n.line("error      %v: %v", doc["error"], doc["error_description"])
		return
	}
	n.line("resource   %s", form.Get("resource"))
	if doc["refresh_token"] != nil {
		n.line("The response also has a refresh token.")
	}
	access, _ := doc["access_token"].(string)
	parts := strings.Split(access, ".")
	if len(parts) != 3 {
		n.line("The access token is not a JWT.")
		return
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1]) // text that is not base64 fails as JSON below
	var claims map[string]any
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if decoder.Decode(&claims) != nil {
		n.line("The access token's claims can't be read.")
		return
	}
	n.granted++
	if n.granted > 1 {
		n.line("scope      %v", claims["scope"])
		n.line("The rest of the token is as in the first one, apart from ids and times.")
		return
	}
	n.line("The access token's claims:\n%s", indented(claims))
	if exp, ok := claims["exp"].(json.Number); ok {
		if seconds, err := exp.Int64(); err == nil {
			n.line("It ends at %s.", time.Unix(seconds, 0).Format(time.TimeOnly))
		}
	}
}

// signIns returns how often the client got a token.
func (n *narrator) signIns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.granted
}

func (n *narrator) authorization(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heading("Authorization: a person has to agree")
	u, err := url.Parse(address)
	if err != nil {
		return // the caller gets the error
	}
	query := u.Query()
	u.RawQuery = ""
	n.line("GET %s", u)
	for _, name := range []string{"client_id", "scope", "resource", "code_challenge_method"} {
		n.line("%-21s  %s", name, query.Get(name))
	}
}

// read returns the body if it is a JSON object, and leaves it in place.
func (n *narrator) read(resp *http.Response) map[string]any {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var doc map[string]any
	if err != nil || json.Unmarshal(body, &doc) != nil {
		return nil
	}
	return doc
}

// say writes about something that does not happen within a request.
func (n *narrator) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.line(format, args...)
}

// title begins a part of the story.
func (n *narrator) title(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heading(fmt.Sprintf(format, args...))
}

func (n *narrator) heading(title string) { fmt.Fprintf(n.out, "\n== %s\n", title) }

func (n *narrator) line(format string, args ...any) { fmt.Fprintf(n.out, format+"\n", args...) }

var list = regexp.MustCompile(`\[\n[^][{}]*\]`)

// indented returns JSON for people, with lists of plain values in one line.
func indented(v any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // it was decoded from JSON
	return list.ReplaceAllStringFunc(strings.TrimSuffix(text.String(), "\n"), func(list string) string {
		return strings.NewReplacer("[ ", "[", " ]", "]").Replace(strings.Join(strings.Fields(list), " "))
	})
}

// formOf returns the form that a request sends. The request's body stays unread.
func formOf(req *http.Request) url.Values {
	if req.GetBody == nil || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, maxPage))
	if err != nil {
		return nil
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil
	}
	return form
}
