// Package page serves the page at the environment's root, for the person who develops: what the environment knows, and
// buttons that change it. It keeps no state of its own.
//
// Like the sign-in page, it takes all other web pages to be hostile. Only navigation gets the page itself; its parts and its
// buttons answer only requests of its own origin, and a button also needs the token of its form.
package page

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

//go:embed page.html style.css live.js icon.svg
var files embed.FS

// Prefix begins the paths of everything but the page itself, which is at the root.
const Prefix = "/devenv/"

const maxFormBytes = 64 << 10

// Config connects the page to the environment. Everything in it is required.
type Config struct {
	State   func() State
	Actions map[string]Action // by the last segment of the path that their buttons post to
	Done    <-chan struct{}   // closed when the environment ends, so that open pages don't delay it
	Logger  *slog.Logger
}

// An Action is what a button does.
type Action struct {
	Done string // what the page says afterwards
	Do   func(target string) error
}

// A Page is the handler of [Prefix] and of the root.
type Page struct {
	config   Config
	csrf     string
	template *template.Template
	mux      *http.ServeMux
	watchers watchers
}

// New returns the page.
func New(config Config) (*Page, error) {
	p := &Page{config: config, csrf: rand.Text(), mux: http.NewServeMux()}
	var err error
	if p.template, err = template.New("").Funcs(functions).ParseFS(files, "page.html"); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	p.mux.HandleFunc("GET /{$}", p.serveIndex)
	p.mux.HandleFunc("GET "+Prefix+"events", p.serveEvents)
	p.mux.HandleFunc("POST "+Prefix+"{action}", p.serveAction)
	for name, mediaType := range map[string]string{
		"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		content, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		p.mux.HandleFunc("GET "+Prefix+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			_, _ = w.Write(content)
		})
	}
	return p, nil
}

// Changed tells the pages that are open that the state is another one.
func (p *Page) Changed() { p.watchers.wake() }

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.URL.Path != "/" && !isOwn(r) {
		p.message(w, http.StatusForbidden, "This address answers only to the environment's own page.")
		return
	}
	p.mux.ServeHTTP(w, r)
}

// secure keeps the page out of frames and away from scripts of other pages, and keeps everything out of it that is not served
// here.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "+
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms would have the origin null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// isOwn reports whether the page itself, the address bar or a program sent the request. Another port of this machine is the
// same site but another origin, and belongs to another program.
func isOwn(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return false
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "http" || u.Host != r.Host {
			return false
		}
	}
	return true
}

func (p *Page) serveIndex(w http.ResponseWriter, r *http.Request) {
	if dest := r.Header.Get("Sec-Fetch-Dest"); (dest != "" && dest != "document") || r.Header.Get("Sec-Purpose") != "" {
		p.message(w, http.StatusForbidden, "Open this address in the address bar of a browser. It does not work in images, frames and scripts.")
		return
	}
	v := p.view(time.Now())
	v.Done = p.config.Actions[r.URL.Query().Get("done")].Done
	p.render(w, http.StatusOK, "index", v)
}

func (p *Page) serveAction(w http.ResponseWriter, r *http.Request) {
	action, ok := p.config.Actions[r.PathValue("action")]
	if !ok {
		p.message(w, http.StatusNotFound, "There is no such button.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		p.message(w, http.StatusBadRequest, "The body is not a form.")
		return
	}
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(p.csrf)) != 1 {
		p.message(w, http.StatusForbidden, "The page is of an environment that has ended, or the field csrf is missing. Load the page again.")
		return
	}
	if err := action.Do(r.PostFormValue("target")); err != nil {
		p.message(w, http.StatusConflict, err.Error())
		return
	}
	p.Changed()
	http.Redirect(w, r, "/?done="+url.QueryEscape(r.PathValue("action")), http.StatusSeeOther)
}

func (p *Page) message(w http.ResponseWriter, status int, text string) {
	p.render(w, status, "message", text)
}

// render executes the template into memory first, so that an error in it does not send half a page.
func (p *Page) render(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := p.template.ExecuteTemplate(&body, name, data); err != nil {
		p.config.Logger.Warn("the page can't be shown", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}
