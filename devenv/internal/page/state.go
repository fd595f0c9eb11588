package page

import (
	"cmp"
	"encoding/json"
	"html/template"
	"slices"
	"strconv"
	"time"
)

// State is what the page shows. It holds no token, code or secret.
type State struct {
	URL, ServerURL, ResourceID, EnvironmentID string

	TokenLife, Delay time.Duration
	Down             bool

	Users         []User
	Organizations []Organization
	Sessions      []Session
	Clients       []Client
	Keys          []Key
	Requests      []Request // the newest first
	Webhooks      []string  // their URLs, without secrets
	Deliveries    []Delivery
}

// A User is a person that one can sign in as.
type User struct {
	ID, Name, Email, OrganizationID, OrganizationName string
	Deactivated                                       bool
	Sessions                                          int // that go on
}

// An Organization has members.
type Organization struct {
	ID, Name string
	Members  int
}

// A Session is what a consent began.
type Session struct {
	ID, UserName, ClientID, ClientName string
	Scopes                             []string
	Started, Ended                     time.Time
	Tokens                             []Token
}

// A Token is what an access token says.
type Token struct {
	KeyID   string
	Claims  map[string]any
	Expires time.Time
}

// A Client is one that registered, or has a metadata document.
type Client struct {
	ID, Name     string
	RedirectURIs []string
	SignedIn     bool
}

// A Key is one that is published.
type Key struct {
	ID    string
	Since time.Time
	Signs bool
}

// A Request is one of the flow, without query, body and headers.
type Request struct {
	At           time.Time
	Method, Path string
	What         string // in words
	Client       string // its id, where the request names one
	Status       int    // 0 when the connection was closed without an answer
	Error        string // the code of OAuth
	Took         time.Duration
}

// A Delivery is the way of one webhook to one URL.
type Delivery struct {
	At                    time.Time
	Type, EventID, Target string
	Tries, Status         int // Status is 0 when there was no answer
	Failure               string
	Delivered, GivenUp    bool
}

// A view is the state with what the template needs in addition.
type view struct {
	State
	CSRF string
	Done string    // what a button has just done
	Now  time.Time // zero where a script fills in how much time is left
}

func (p *Page) view(now time.Time) view { return view{State: p.config.State(), CSRF: p.csrf, Now: now} }

// A button is a form with one button.
type button struct {
	CSRF, Action, Target, Label, Hint string
}

var functions = template.FuncMap{
	"button": func(v view, action, target, label, hint string) button {
		return button{CSRF: v.CSRF, Action: action, Target: target, Label: label, Hint: hint}
	},
	"left":   left,
	"clock":  func(t time.Time) string { return t.Local().Format("15:04:05") },
	"claims": indented,
	"delays": delays,
	"downs":  downs,
	"lives":  lives,
	"words":  words,
	"ms": func(d time.Duration) string {
		if d < time.Millisecond {
			return "<1 ms"
		}
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	},
}

// left says how much time is left. Without a time it says nothing.
func left(v view, until time.Time) string {
	if v.Now.IsZero() {
		return ""
	}
	seconds := int(until.Sub(v.Now) / time.Second)
	switch {
	case seconds < 0:
		return "expired"
	case seconds < 60:
		return strconv.Itoa(seconds) + " s left"
	}
	return strconv.Itoa(seconds/60) + " min " + strconv.Itoa(seconds%60) + " s left"
}

func indented(claims map[string]any) (string, error) {
	text, err := json.MarshalIndent(claims, "", "  ")
	return string(text), err
}

// A choice is one of several buttons, of which one is pressed.
type choice struct {
	Value, Label string
	Chosen       bool
}

// delays, downs and lives are the choices of the section about faults. A value that the program has set, and that the page does
// not offer, has a button too.
func delays(now time.Duration) []choice {
	return durations(now, map[time.Duration]string{0: "at once"}, 0, time.Second, 5*time.Second, 30*time.Second)
}

func lives(now time.Duration) []choice {
	return durations(now, nil, 10*time.Second, time.Minute, 5*time.Minute, time.Hour)
}

func durations(now time.Duration, names map[time.Duration]string, offered ...time.Duration) []choice {
	if !slices.Contains(offered, now) {
		offered = append(offered, now)
		slices.Sort(offered)
	}
	choices := make([]choice, 0, len(offered))
	for _, d := range offered {
		choices = append(choices, choice{Value: d.String(), Label: cmp.Or(names[d], words(d)), Chosen: d == now})
	}
	return choices
}

// words writes a duration in its largest unit that leaves nothing over.
func words(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, " h"}, {time.Minute, " min"}, {time.Second, " s"}} {
		if d != 0 && d%unit.length == 0 {
			return strconv.FormatInt(int64(d/unit.length), 10) + unit.name
		}
	}
	return d.String()
}

func downs(now bool) []choice {
	return []choice{{"false", "up", !now}, {"true", "down", now}}
}
