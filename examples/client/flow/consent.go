package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

const maxPage = 1 << 20

// Consent does what a person does in a browser at the address that a client sends them to: it opens the page, chooses user
// (by id, name or email; "" keeps the choice that the page has made), presses the form's first button, and follows the
// redirect. It returns the user that it chose.
func Consent(ctx context.Context, transport http.RoundTripper, address, user string) (string, error) {
	browser := &http.Client{Transport: transport}
	page, where, err := open(ctx, browser, http.MethodGet, address, nil)
	if err != nil {
		return "", fmt.Errorf("the consent page: %w", err)
	}
	form, err := parseForm(page)
	if err != nil {
		return "", fmt.Errorf("the consent page: %w", err)
	}
	chosen, err := form.choose(user)
	if err != nil {
		return "", fmt.Errorf("the consent page: %w", err)
	}
	action, err := where.Parse(form.action)
	if err != nil {
		return "", fmt.Errorf("the consent form: %w", err)
	}
	if _, _, err := open(ctx, browser, http.MethodPost, action.String(), form.fields); err != nil {
		return "", fmt.Errorf("the consent form: %w", err)
	}
	return chosen, nil
}

// open returns a page, and its address after redirects.
func open(ctx context.Context, browser *http.Client, method, address string, fields url.Values) (string, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(fields.Encode()))
	if err != nil {
		return "", nil, err
	}
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	}
	resp, err := browser.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return "", nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("%s: %s", resp.Status, textOf(string(body)))
	}
	return string(body), resp.Request.URL, nil
}

// A form is the first form of a page: what its first button sends, and the choices in it.
type form struct {
	action  string
	fields  url.Values
	choices []choice
}

type choice struct{ field, value, label string }

func parseForm(page string) (*form, error) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil, err
	}
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == "form" {
			return readForm(node), nil
		}
	}
	return nil, fmt.Errorf("the page has no form: %s", textOf(page))
}

func readForm(root *html.Node) *form {
	f := &form{action: attribute(root, "action"), fields: url.Values{}}
	pressed := false
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || (node.Data != "input" && node.Data != "button") {
			continue
		}
		name, value, kind := attribute(node, "name"), attribute(node, "value"), attribute(node, "type")
		switch {
		case kind == "radio":
			f.choices = append(f.choices, choice{name, value, text(node.Parent)})
			if hasAttribute(node, "checked") {
				f.fields.Set(name, value)
			}
		case kind == "checkbox":
			if hasAttribute(node, "checked") {
				f.fields.Add(name, value)
			}
		case kind == "submit" || node.Data == "button" && kind == "":
			if !pressed && name != "" {
				f.fields.Set(name, value)
			}
			pressed = true
		case node.Data == "input" && name != "":
			f.fields.Add(name, value)
		}
	}
	return f
}

// choose selects the one choice whose value is user or whose label contains it, and returns its label.
func (f *form) choose(user string) (string, error) {
	var labels []string
	for _, c := range f.choices {
		selected := f.fields.Get(c.field) == c.value
		if user != "" {
			selected = c.value == user || strings.Contains(strings.ToLower(c.label), strings.ToLower(user))
		}
		if selected {
			f.fields.Set(c.field, c.value)
			return c.label, nil
		}
		labels = append(labels, fmt.Sprintf("%s (%s)", c.value, c.label))
	}
	if user == "" {
		return "", errors.New("no user is selected; choose one with -user: " + strings.Join(labels, ", "))
	}
	return "", fmt.Errorf("there is no user %q, or more than one; the form offers %s", user, strings.Join(labels, ", "))
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttribute(node *html.Node, name string) bool {
	for _, a := range node.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// text returns what a person reads in node, on one line.
func text(node *html.Node) string {
	var words []string
	for n := range node.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" && n.Parent.Data != "title" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

func textOf(page string) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return ""
	}
	return text(root)
}
